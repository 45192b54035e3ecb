"""The stopwatch on a clock that the test turns: what counts, how often, and how the seconds are summed up."""

import gc

import pytest

from steelbench.features.stopwatch import OtherPrograms, Spread, time_calls, without_collection


class Clock:
    """Stands still, but for calls, which take the seconds that they are given in turn, the last one for ever."""

    def __init__(self, *takes):
        self.now, self.takes, self.calls = 0.0, list(takes), 0

    def __call__(self):
        return self.now

    def call(self):
        self.now += self.takes[min(self.calls, len(self.takes) - 1)]
        self.calls += 1


def test_five_calls_warm_up_and_do_not_count():
    clock = Clock(0.03, 0.03, 0.03, 0.03, 0.03, 0.01)

    found = time_calls(clock.call, most=7, limit=1, clock=clock)

    assert found == pytest.approx([0.01] * 7)
    assert clock.calls == 12


def test_a_slow_call_warms_up_once_and_counts_three_times():
    clock = Clock(2.0)

    assert time_calls(clock.call, most=30, limit=0.8, clock=clock) == pytest.approx([2.0] * 3)
    assert clock.calls == 4


def test_the_limit_ends_the_calls():
    clock = Clock(0.1)

    assert len(time_calls(clock.call, most=30, limit=0.75, clock=clock)) == 8


def test_spread_of_known_seconds():
    found = Spread.of([1.0, 2.0, 3.0, 4.0, 10.0])

    assert found == Spread(p50=3.0, p99=pytest.approx(4 + 0.96 * 6), mad=1.0)


def test_garbage_is_collected_again_after_an_error():
    with pytest.raises(ValueError), without_collection():
        assert not gc.isenabled()
        raise ValueError

    assert gc.isenabled()


@pytest.mark.parametrize(
    ("after", "share"),
    [
        # Six busy seconds of two on four cores, two of them our own.
        ((12.0, 106.0, 3.0), 0.5),
        # Less than our own: the system counts in steps.
        ((12.0, 101.0, 3.0), 0.0),
    ],
)
def test_what_others_use_is_a_share_without_what_this_process_uses(monkeypatch, after, share):
    seconds = iter([(10.0, 100.0, 1.0), after])
    monkeypatch.setattr("steelbench.features.stopwatch._seconds", lambda: next(seconds))
    monkeypatch.setattr("steelbench.features.stopwatch.psutil.cpu_count", lambda: 4)

    assert OtherPrograms().share() == pytest.approx(share)
