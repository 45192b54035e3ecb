"""A worker process's ear for its parent: words on standard input, and its end when the parent is gone."""

from __future__ import annotations

import os
import threading


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
