"""Values from outside as sentences quote them: cut, and with what does not print escaped."""

from __future__ import annotations

from steelbench.printable import shown

MOST = 40  # characters
MOST_OF_PATH = 100


def cut(text: str, most: int = MOST) -> str:
    """Return the beginning of a text, with three dots for what is left out.

    Args:
        text: of any length.
        most: characters that are kept.
    """
    return text if len(text) <= most else f"{text[:most]}..."


def quoted(value: object) -> str:
    """Return the beginning of any value as text that prints."""
    return shown(cut(str(value)))
