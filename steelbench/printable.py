"""Text from outside as a terminal or a log may hold it: what does not print is escaped."""

from __future__ import annotations

import io


def shown(text: str) -> str:
    """Return text as a terminal may print it: what does not print is escaped (`\\x1b`, `\\u202e`), spaces stay."""
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


class PrintableText(io.TextIOWrapper):
    """A stream that escapes what is written to it, but for line ends and tabs.

    It stands in place of standard error where that is a log: a traceback names files and classes as they are.
    """

    def write(self, text: str) -> int:
        """Write text and return its length."""
        super().write("".join(char if char in "\n\t" else shown(char) for char in text))
        return len(text)
