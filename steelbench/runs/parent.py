"""A worker process's talk with its parent: its turn, its events, why something failed, and its end. No TensorFlow."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

from steelbench.errors import SteelbenchError
from steelbench.files import disk_full_sentence, is_disk_full
from steelbench.printable import PrintableText
from steelbench.runs.jobs import Event


def listen_to_parent() -> threading.Event:
    """Return an event that is set when the parent writes to stdin. Exit this process when stdin closes."""
    turn = threading.Event()

    def watch() -> None:
        # Not `sys.stdin`: a thread that holds its lock makes the interpreter abort at the end of a good run.
        while os.read(0, 64):
            turn.set()
        # The parent is gone, so stop.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return turn


def open_events() -> Callable[[Event], None]:
    """Return a function that writes events to standard output; what libraries print goes to the log from now on.

    The log is standard error, as the parent has opened it; what Python writes there is escaped.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    sys.stderr = PrintableText(os.fdopen(os.dup(2), "wb"), "utf-8", "backslashreplace", line_buffering=True)

    def emit(event: Event) -> None:
        events.write(event.model_dump_json() + "\n")

    return emit


def reason_of(error: Exception, place: str = "while writing") -> str:
    """Return why one of several things failed, as its event, notice or record tells it: one line.

    Args:
        error: that was raised.
        place: where a disk may have been full, for the sentence about it.
    """
    if is_disk_full(error):
        return disk_full_sentence(place)
    text = (str(error).strip().splitlines() or [""])[0].rstrip()[:400]
    return text if isinstance(error, SteelbenchError) else f"{type(error).__name__}: {text}"
