"""Lines for the user on standard error; standard output carries results only."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print `steelbench: TEXT` as one line on standard error.

    Names of files and classes may hold line ends and commands of a terminal; they are printed as plain text.
    """
    line = "".join(char if char.isprintable() else " " if char.isspace() else repr(char)[1:-1] for char in text)
    print(f"steelbench: {line}", file=sys.stderr, flush=True)
