"""The interval of a paired difference against its formula by hand, and by how often it covers the truth."""

import numpy as np
import pytest

from steelbench.evaluation.statistics.paired import paired_interval

ALONE = np.arange(10_000)


def answers(both, lost, gained, neither):
    before = [1] * (both + lost) + [0] * (gained + neither)
    after = [1] * both + [0] * lost + [1] * gained + [0] * neither
    return np.array(before, bool), np.array(after, bool)


def by_hand(lost, gained, n):
    """Bonett and Price 2012: one image more of each disagreement, z of 97.5 %."""
    p, q = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = 1.959963985 * ((p + q - (p - q) ** 2) / (n + 2)) ** 0.5
    return p - q - half, p - q + half


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (9, 0), (12, 3), (40, 41)])
def test_of_single_images_it_is_the_published_formula(lost, gained):
    n = 120
    before, after = answers(n - lost - gained - 5, lost, gained, 5)

    found = paired_interval(before, after, ALONE[:n])

    assert (found.low, found.high) == pytest.approx(by_hand(lost, gained, n), abs=1e-6)
    assert found.value == pytest.approx((gained - lost) / n)


def test_images_of_one_group_count_as_fewer():
    before, after = answers(100, 20, 0, 0)
    single = paired_interval(before, after, ALONE[:120])
    in_fours = paired_interval(before, after, ALONE[:120] // 4)
    one = paired_interval(before, after, np.zeros(120, int))

    assert in_fours.high - in_fours.low > 1.5 * (single.high - single.low)
    assert one.low <= -0.7 and one.high >= 0.3 and one.value == single.value == pytest.approx(-1 / 6)


def test_it_stays_within_its_range_and_around_its_value():
    before, after = answers(0, 12, 0, 0)

    found = paired_interval(before, after, ALONE[:12])

    assert -1 <= found.low <= found.value == -1 <= found.high < 0


# Few groups do not show that they are answered alike, so the correlation stays below 1: .93, as of other intervals.
@pytest.mark.parametrize(
    ("lost", "gained", "size", "least"),
    [(0.02, 0.0, 1, 0.94), (0.1, 0.02, 1, 0.94), (0.3, 0.1, 1, 0.94), (0.1, 0.02, 3, 0.91)],
)
def test_it_covers_the_true_difference(lost, gained, size, least):
    """Groups of one, or of three images that are answered alike."""
    rng, times, n = np.random.default_rng(1), 800, 120
    kinds = rng.choice(3, (times, n // size), p=[1 - lost - gained, lost, gained]).repeat(size, axis=1)
    covered = 0
    for own in kinds:
        found = paired_interval(own != 2, own != 1, ALONE[:n] // size)
        covered += found.low <= gained - lost <= found.high

    assert covered / times >= least


def test_a_large_difference_is_no_likeness_within_groups():
    """Every fourth answer is lost, whatever the group: as sure as of single images, but for the prior."""
    lost = np.tile([True, False, False, False, False, True, False, False], 15)
    before = np.ones(120, bool)

    alone = paired_interval(before, ~lost, ALONE[:120])
    in_pairs = paired_interval(before, ~lost, ALONE[:120] // 2)

    assert in_pairs.value == alone.value == -0.25
    assert in_pairs.high - in_pairs.low < 1.06 * (alone.high - alone.low)
