"""Many things at once, in their order, within a bound of memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ordered_map(function: Callable[[In], Out], items: Iterable[In], threads: int = 4, ahead: int = 64) -> Iterator[Out]:
    """`map` in threads with bounded look-ahead, in order: the whole set is never held."""
    iterator = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting = [pool.submit(function, item) for item in islice(iterator, ahead)]
        while waiting:
            done = waiting.pop(0)
            for item in islice(iterator, 1):
                waiting.append(pool.submit(function, item))
            yield done.result()
    finally:
        # Whoever stops early does not wait for what was only looked ahead.
        pool.shutdown(cancel_futures=True)
