"""A parallel `map` in threads that keeps order and bounds memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ordered_map(function: Callable[[In], Out], items: Iterable[In], threads: int = 4, ahead: int = 64) -> Iterator[Out]:
    """Yield `function(item)` in the order of the items, computed by threads that are at most `ahead` results ahead.

    Not `joblib.Parallel(return_as="generator")`: its `pre_dispatch` bounds the tasks in the queue, not the results
    that wait to be taken. Of 1000 items with `pre_dispatch=7` all were computed before the second was taken.

    Args:
        function: called in a thread.
        items: read one by one, as results are taken.
        threads: number of threads.
        ahead: most items that are computed or waiting and not yet taken.

    Raises:
        Exception: whatever `function` raises, in the item's turn.
    """
    iterator = iter(items)
    pool = ThreadPoolExecutor(threads)
    try:
        waiting = deque(pool.submit(function, item) for item in islice(iterator, ahead))
        while waiting:
            done = waiting.popleft()
            waiting.extend(pool.submit(function, item) for item in islice(iterator, 1))
            yield done.result()
    finally:
        # A caller who stops early waits only for what runs, not for what was only looked ahead.
        pool.shutdown(cancel_futures=True)
