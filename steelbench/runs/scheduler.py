"""Jobs one behind the other, the next one getting ready while the present one computes.

A worker spends seconds on importing, building and converting, and again on saving and verifying, mostly on one core.
Only seeing the images keeps every core busy: that is done by one worker at a time. One gets ready meanwhile, and one
that has seen its images trains heads, saves and verifies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from steelbench.machine import total_memory_gib
from steelbench.runs.jobs import Event, Job
from steelbench.runs.worker_process import Workers, run_job

# A worker holds 1 to 3 GiB; a machine with less memory than this has two at a time instead of three.
THREE_FROM_GIB = 12


def most_alive() -> int:
    """How many workers may be alive on this machine."""
    return 3 if total_memory_gib() >= THREE_FROM_GIB else 2


class _Stages:
    """How far one job is, for those that wait for it."""

    def __init__(self) -> None:
        self.computing, self.extracted, self.ended = (threading.Event() for _ in range(3))

    def reach(self, kind: str) -> None:
        """A job that has ended has passed every stage."""
        if kind in ("computing", "ended"):
            self.computing.set()
        if kind in ("extracted", "ended"):
            self.computing.set()
            self.extracted.set()
        if kind == "ended":
            self.ended.set()


def run_jobs(jobs: Sequence[Job], results: Path, on_event: Callable[[Job, Event], None]) -> dict[str, str]:
    """Run all jobs; returns the reason of failure by run name.

    Args:
        jobs: in order.
        results: the results folder.
        on_event: called with every event, by one thread at a time.
    """
    alive, before = most_alive(), _Stages()
    before.reach("ended")
    # A job has `alive` others before it in this list, which for the first ones have ended before they began.
    stages = [*[before] * alive, *(_Stages() for _ in jobs)]
    speaking, workers = threading.Lock(), Workers()

    def one(number: int) -> dict[str, str]:
        window = stages[number : number + alive + 1]
        *earlier, own = window
        window[-3].computing.wait()
        window[0].ended.wait()

        def turn() -> None:
            # Of all, not only of the last: that one may have failed while another still computes.
            for stage in earlier:
                stage.extracted.wait()
            own.reach("computing")

        def hear(event: Event) -> None:
            if event.kind == "extracted":
                own.reach("extracted")
            with speaking:
                on_event(jobs[number], event)

        try:
            return run_job(jobs[number], results, hear, turn, workers)
        finally:
            own.reach("ended")

    failures: dict[str, str] = {}
    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        futures = [pool.submit(one, number) for number in range(len(jobs))]
        try:
            for future in futures:
                failures |= future.result()
        except BaseException:
            # Ctrl-C, or a fault of ours: nobody waits for these any more.
            workers.end()
            raise
    return failures
