"""Lines for the user on standard error; standard output carries results only."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print `steelbench: TEXT` as one line on standard error.

    Names of files and classes may hold line ends and commands of a terminal; they are printed as plain text.
    """
    line = "".join(" " if char.isspace() else char for char in text)
    print(f"steelbench: {shown(line)}", file=sys.stderr, flush=True)


def shown(text: str) -> str:
    """Return text as a terminal may print it: what does not print is escaped (`\\x1b`, `\\u202e`), spaces stay."""
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def result(text: str) -> str:
    """Return text for standard output: `shown` on a terminal, as it is where a program or a file reads it."""
    return shown(text) if sys.stdout.isatty() else text


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
