"""A worker process's talk with its parent: its turn, its events, and its end when the parent is gone. No TensorFlow."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

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
    """Return a function that writes events to standard output; what libraries print goes to the log from now on."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        events.write(event.model_dump_json() + "\n")

    return emit
