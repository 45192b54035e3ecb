"""The exception for a user's mistake, and the wording of a wrong choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SteelbenchError(Exception):
    """A mistake that the user can mend; faults of the program stay ValueError, TypeError and the like.

    The message says what happened (with the value), what was expected and how to mend it.
    The command line prints it without a traceback and exits with 2.
    """


def choose(kind: str, value: str, choices: Iterable[str]) -> str:
    """Return `value` if it is one of `choices`.

    Args:
        kind: what is chosen, for the message, such as "backbone".
        value: as the user typed it.
        choices: every value that is allowed.

    Raises:
        SteelbenchError: if it is not; names the closest choice, then all of them.
    """
    known = sorted(choices)
    if value in known:
        return value
    close = difflib.get_close_matches(value, known, n=1)
    hint = f" did you mean '{close[0]}'?" if close else ""
    raise SteelbenchError(f"unknown {kind} '{value}';{hint} Choices: {', '.join(known)}.")
