"""`python -m steelbench`, the same as `steelbench`."""

from __future__ import annotations

import io
import sys

from steelbench.cli.exit import main


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # File names may hold what a terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main())


if __name__ == "__main__":
    entry()
