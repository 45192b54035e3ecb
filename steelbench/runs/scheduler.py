"""Scheduler of a run's jobs: how many workers are alive at once, and which one may extract features.

A worker spends seconds on importing, building and converting, and again on saving and verifying, mostly on one core.
Extraction alone keeps every core busy, so one worker at a time does it, while others get ready or train heads.

With two GPUs or more each worker has one to itself, from its start to its end, as TensorFlow never gives a GPU's memory
back; there are as many workers as GPUs, and none waits for another to extract. A single job that trains on images
with a method that divides its batches has all of them.

Another scheduler, on a cluster for example, needs only this interface:
run_jobs(jobs, results, on_event) -> failures; every job is complete in itself (`Job.data`), events go to `on_event`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from steelbench.files import write_json
from steelbench.machine import total_memory_gib, usable_gpus
from steelbench.methods import METHODS
from steelbench.records import RunKey
from steelbench.runs.jobs import DATA_FILE, Event, Job
from steelbench.runs.worker_process import Workers, run_job

# A worker holds 1 to 3 GiB; a machine with less memory than this has two at a time instead of three.
THREE_FROM_GIB = 12


def most_alive() -> int:
    """Return how many workers may be alive on this machine."""
    return 3 if total_memory_gib() >= THREE_FROM_GIB else 2


class Gpus:
    """The GPUs of the machine, of which each job takes one, or all, and gives them back.

    Attributes:
        names: in `CUDA_VISIBLE_DEVICES`; none unless there are two at least, as workers then share what there is.
        most_alive: how many workers may be alive.

    Args:
        jobs: of the run. A single one that can divide its batches takes all GPUs.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        found = usable_gpus()
        self.names = found if len(found) > 1 else []
        whole = len(jobs) == 1 and divides_batches(jobs[0])
        self.free = queue.SimpleQueue[list[str]]()
        for names in [self.names] if whole else [[name] for name in self.names]:
            self.free.put(names)
        # As many GiB for each worker as for three of them.
        memory = max(most_alive(), int(total_memory_gib() * 3 // THREE_FROM_GIB))
        self.most_alive = min(len(self.names), memory) if self.names else most_alive()

    @contextmanager
    def lend(self, job: Job) -> Iterator[Job]:
        """Lend a job its GPUs, the ones that have been free for longest; wait until there are some."""
        if not self.names:
            yield job
            return
        names = self.free.get()
        try:
            yield job.model_copy(update={"gpus": names})
        finally:
            self.free.put(names)


def divides_batches(job: Job) -> bool:
    """Return whether a job has a run that trains on images and divides its batches between GPUs."""
    methods = [(METHODS[task.key.method], task.settings) for task in job.tasks]
    return any(method.divides_batches and method.settings(**settings).on_images for method, settings in methods)


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
    speaking, turns, workers, gpus = threading.Lock(), Turns(), Workers(), Gpus(jobs)

    def run(job: Job) -> dict[RunKey, str]:
        # The turn ends when the worker has extracted, or with the worker.
        with ExitStack() as turn:

            def hear(event: Event) -> None:
                if event.kind == "extracted":
                    turn.close()
                with speaking:
                    on_event(job, event)

            with gpus.lend(job) as equipped:
                return run_job(equipped, results, hear, lambda: turn.enter_context(turns), workers)

    failures: dict[RunKey, str] = {}
    try:
        # As many threads as workers may be alive; each waits for its worker.
        with ThreadPoolExecutor(gpus.most_alive) as pool:
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
