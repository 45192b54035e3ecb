"""The process of one backbone, started by the runner.

python -m steelbench.runs.worker JOB.json      events as JSON lines on standard output
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

# TensorFlow's chatter belongs on nobody's terminal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Beside other workers the threads of linear algebra wait for each other: a logistic regression took eight times as long
# with two of them as with one. Must be said before numpy is there.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import tensorflow as tf

from steelbench.errors import SteelbenchError
from steelbench.records import read_record
from steelbench.runs.job_execution import Worker
from steelbench.runs.jobs import Event, Job


def _listen_to_parent() -> threading.Event:
    """The parent's word that it is our turn; its end, which closes our standard input, is ours, too."""
    turn = threading.Event()

    def watch() -> None:
        # Not `sys.stdin`: its lock, held by a thread, would abort the interpreter at the end of a good run.
        while os.read(0, 64):
            turn.set()
        # Nobody would read what we go on to write.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return turn


def _wait(turn: threading.Event) -> None:
    turn.wait()


def main() -> None:
    """Run the job named on the command line."""
    turn = _listen_to_parent()
    # Whatever a library prints goes to the log; standard output is for events alone.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        events.write(event.model_dump_json() + "\n")

    job = read_record(Path(sys.argv[1]), Job)
    tf.config.experimental.enable_op_determinism()
    try:
        Worker(job, emit, lambda: _wait(turn)).run()
    except SteelbenchError as error:
        for task in job.tasks:
            emit(Event(kind="failed", text=str(error), step=task.run_name))


if __name__ == "__main__":
    main()
