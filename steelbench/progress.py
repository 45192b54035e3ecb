"""The callback by which a long computation reports how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Reports how much of a step is done; the command line shows it, a library call may ignore it."""

    def __call__(self, step: str, name: str, done: int, total: int, /) -> None:
        """Report.

        Args:
            step: a short word for what is being done, such as "decode" or "features".
            name: what it is done to, such as a backbone or a file; "" where the step says enough.
            done: units finished so far, from 0.
            total: units in all; 0 where that is not known.
        """


def no_progress(step: str, name: str, done: int, total: int, /) -> None:
    """Report to nobody: the default of functions that take a `Progress`."""
