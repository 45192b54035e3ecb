"""The worker process of one job: read the job, run it, write events to standard output.

python -m steelbench.runs.worker JOB.json      events as JSON lines; started by `worker_process.run_job`
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from steelbench.errors import SteelbenchError
from steelbench.runs.job_execution import Worker
from steelbench.runs.jobs import Event, read_job


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


def main() -> None:
    """Run the job named on the command line."""
    turn = listen_to_parent()
    emit = open_events()
    job = read_job(Path(sys.argv[1]))
    tf.config.experimental.enable_op_determinism()
    try:
        Worker(job, emit, turn.wait).run()
    except SteelbenchError as error:
        for task in job.tasks:
            emit(Event(kind="failed", run=task.key.run_name, text=str(error)))


if __name__ == "__main__":
    main()
