"""Scheduler of a run's jobs: how many workers are alive at once, and which one may extract features.

A worker spends seconds on importing, building and converting, and again on saving and verifying, mostly on one core.
Extraction alone keeps every core busy, so one worker at a time does it, while others get ready or train heads.

Another scheduler, on a cluster for example, needs only this interface:
run_jobs(jobs, results, on_event) -> failures; every job is complete in itself (`Job.data`), events go to `on_event`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from steelbench.files import write_json
from steelbench.machine import total_memory_gib
from steelbench.records import RunKey
from steelbench.runs.jobs import DATA_FILE, Event, Job
from steelbench.runs.worker_process import Workers, run_job

# A worker holds 1 to 3 GiB; a machine with less memory than this has two at a time instead of three.
THREE_FROM_GIB = 12


def most_alive() -> int:
    """Return how many workers may be alive on this machine."""
    return 3 if total_memory_gib() >= THREE_FROM_GIB else 2


class Turns:
    """A lock that is taken first come, first served: entering draws a ticket and waits until it is called."""

    def __init__(self) -> None:
        self.changed, self.drawn, self.called = threading.Condition(), 0, 0

    def __enter__(self) -> Self:
        with self.changed:
            ticket, self.drawn = self.drawn, self.drawn + 1
            self.changed.wait_for(lambda: self.called == ticket)
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.called += 1
            self.changed.notify_all()


def run_jobs(jobs: Sequence[Job], results: Path, on_event: Callable[[Job, Event], None]) -> dict[RunKey, str]:
    """Run all jobs, started in order, each in a worker process of its own.

    Args:
        jobs: of one run: they share their data.
        results: the results folder.
        on_event: called with every event, by one thread at a time.

    Returns:
        The reason of every run that failed.
    """
    if not jobs:
        return {}
    data = results / "unfinished" / DATA_FILE
    write_json(data, jobs[0].data)
    speaking, turns, workers = threading.Lock(), Turns(), Workers()

    def run(job: Job) -> dict[RunKey, str]:
        # The turn ends when the worker has extracted, or with the worker.
        with ExitStack() as turn:

            def hear(event: Event) -> None:
                if event.kind == "extracted":
                    turn.close()
                with speaking:
                    on_event(job, event)

            return run_job(job, results, hear, lambda: turn.enter_context(turns), workers)

    failures: dict[RunKey, str] = {}
    try:
        # As many threads as workers may be alive; each waits for its worker.
        with ThreadPoolExecutor(most_alive()) as pool:
            futures = [pool.submit(run, job) for job in jobs]
            try:
                for future in futures:
                    failures |= future.result()
            except BaseException:
                # Ctrl-C, or a fault of this program: start no other worker, end those that are alive.
                pool.shutdown(wait=False, cancel_futures=True)
                workers.end()
                raise
    finally:
        data.unlink(missing_ok=True)
    return failures
