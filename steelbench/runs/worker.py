"""The worker process of one job: read the job, run it, write events to standard output.

python -m steelbench.runs.worker JOB.json      events as JSON lines; started by `worker_process.run_job`
"""

from __future__ import annotations

import sys
from pathlib import Path

import tensorflow as tf

from steelbench.errors import SteelbenchError
from steelbench.runs.job_execution import Worker
from steelbench.runs.jobs import Event, read_job
from steelbench.runs.parent import listen_to_parent, open_events


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
