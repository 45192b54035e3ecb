"""Stopwatch: seconds of repeated calls, after a warm-up and within a limit of time."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psutil

# Calls before the first that counts; fewer where one takes long.
WARM_UP = 5
WARM_UP_SECONDS = 0.2
# However long a call takes, so many count.
LEAST = 3


@dataclass(frozen=True)
class Spread:
    """Median, 99th percentile and median absolute deviation of seconds.

    Below 100 calls the 99th percentile lies between the two slowest ones.
    """

    p50: float
    p99: float
    mad: float

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        """Return the spread of one or more calls."""
        p50, p99 = np.percentile(seconds, [50, 99])
        return cls(float(p50), float(p99), float(np.median(np.abs(np.array(seconds) - p50))))


def time_calls(
    call: Callable[[], object],
    *,
    most: int,
    limit: float,
    least: int = LEAST,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """Return the seconds of each call.

    Args:
        call: what is timed.
        most: calls that count, at most.
        limit: seconds for all of them; only `least` may take longer.
        least: calls that count, at least.
        clock: returns seconds.
    """
    start = clock()
    for _ in range(WARM_UP):
        call()
        if clock() - start >= WARM_UP_SECONDS:
            break
    seconds: list[float] = []
    start = clock()
    while len(seconds) < least or (len(seconds) < most and clock() - start < limit):
        before = clock()
        call()
        seconds.append(clock() - before)
    return seconds


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep Python from looking for garbage inside the block, which would fall on some calls and not on others."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class OtherPrograms:
    """Measures what other programs use of the machine's cores, from when it is made."""

    def __init__(self) -> None:
        self.start = _seconds()

    def share(self) -> float:
        """Return the share of all cores that other programs used since then, 0..1."""
        wall, busy, own = (now - before for now, before in zip(_seconds(), self.start, strict=True))
        return float(np.clip((busy - own) / ((psutil.cpu_count() or 1) * wall + 1e-9), 0, 1))


def _seconds() -> tuple[float, float, float]:
    """Return the seconds that passed, that all cores together were busy, and that this process computed."""
    times = psutil.cpu_times()
    return time.perf_counter(), times.user + times.system, time.process_time()
