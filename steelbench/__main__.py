"""Start the command line: `python -m steelbench` and `steelbench` are the same."""

from __future__ import annotations

import io
import sys

from steelbench.cli.exit import main
from steelbench.cli.terminal import mute_libraries


def entry() -> None:
    """Run the command line of this process and exit with its code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may hold characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    mute_libraries()
    sys.exit(main())


if __name__ == "__main__":
    entry()
