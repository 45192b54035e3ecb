"""The threaded map: order, bounded look-ahead, errors in their turn, an early end."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from steelbench.data import parallel
from steelbench.data.parallel import ordered_map


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (4, 2), (4, 64), (8, 3)])
def test_ordered_map_keeps_the_order(threads, ahead):
    assert list(ordered_map(lambda number: number * number, range(50), threads, ahead)) == [n * n for n in range(50)]
    assert list(ordered_map(lambda number: number, [], threads, ahead)) == []


def test_a_result_that_is_ready_early_waits_for_its_turn():
    second_done = threading.Event()

    def function(number):
        if number == 0:
            assert second_done.wait(60)
        else:
            second_done.set()
        return number

    assert list(ordered_map(function, range(2), threads=2)) == [0, 1]


def test_ordered_map_never_looks_further_ahead_than_told():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    for done, _ in enumerate(ordered_map(lambda number: number, items(), threads=2, ahead=7), start=1):
        assert len(taken) <= done + 7
        if done == 30:
            break

    assert len(taken) <= 37


def test_ordered_map_passes_on_what_the_function_raises_in_its_turn():
    def fail(number):
        if number == 5:
            raise ZeroDivisionError("five")
        return number

    results = ordered_map(fail, range(100), ahead=20)

    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ZeroDivisionError, match="five"):
        next(results)


def test_ordered_map_passes_on_what_the_items_raise():
    def items():
        yield 1
        raise KeyError("source")

    with pytest.raises(KeyError, match="source"):
        list(ordered_map(lambda number: number, items()))


def test_closing_ordered_map_early_runs_nothing_that_has_not_begun(monkeypatch):
    started, cancelled, threads_before = [], threading.Event(), threading.active_count()

    class Pool(ThreadPoolExecutor):
        """A pool that lets its tasks end only when those that wait are cancelled."""

        def shutdown(self, wait=True, *, cancel_futures=False):
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            cancelled.set()
            super().shutdown(wait=wait)

    def function(number):
        started.append(number)
        if number:
            assert cancelled.wait(60)
        return number

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", Pool)
    results = ordered_map(function, range(10_000), threads=2, ahead=64)
    next(results)
    results.close()

    assert len(started) <= 3
    assert threading.active_count() == threads_before
