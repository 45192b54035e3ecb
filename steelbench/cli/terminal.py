"""Lines for the user on standard error; standard output carries results only."""

from __future__ import annotations

import sys


def shown(text: str) -> str:
    """Return a text as one plain line: line ends become spaces, what a terminal would obey becomes an escape.

    Names of files and classes may hold commands of a terminal, marks that turn the direction of writing, and bytes
    that are no UTF-8.
    """
    return "".join(char if char.isprintable() else " " if char.isspace() else repr(char)[1:-1] for char in text)


def say(text: str) -> None:
    """Print `steelbench: TEXT` as one plain line on standard error."""
    print(f"steelbench: {shown(text)}", file=sys.stderr, flush=True)
