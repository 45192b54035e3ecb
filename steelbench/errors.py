"""The one exception that stands for a user's mistake, and the help that its messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteelbenchError(Exception):
    """A mistake that the user can mend.

    The message says what happened (with the value), what was expected and how to mend it.
    The command line prints it without a traceback and exits with 2.
    """


def choose(kind: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        SteelbenchError: if it is not; names the closest choice, then all of them.
    """
    known = sorted(choices)
    if value in known:
        return value
    close = difflib.get_close_matches(value, known, n=1)
    hint = f" did you mean '{close[0]}'?" if close else ""
    raise SteelbenchError(f"unknown {kind} '{value}';{hint} Choices: {', '.join(known)}.")
