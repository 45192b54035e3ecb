"""The smallest difference that a test set shows: against all outcomes, Connor's formula, and simulated models."""

import numpy as np
import pytest
from scipy import stats

from steelbench.evaluation.statistics import compare_pair, discordance
from steelbench.evaluation.statistics.dependence import PRIOR_GROUPS
from steelbench.evaluation.statistics.power import Discordance, images_needed, mcnemar_power, smallest_difference


@pytest.mark.parametrize(("only_a", "only_b"), [(0.72, 0.02), (0.24, 0.24), (0.015, 0.665), (0.5, 0.5)])
@pytest.mark.parametrize("level", [0.05, 0.01, 0.3])
def test_the_power_is_that_of_all_outcomes(only_a, only_b, level):
    n, cells = 14, [only_a, only_b, 1 - only_a - only_b]
    expected = sum(
        stats.multinomial.pmf([x, y, n - x - y], n, cells)
        for x in range(n + 1)
        for y in range(n + 1 - x)
        if x + y and stats.binomtest(x, x + y).pvalue <= level
    )

    assert mcnemar_power(n, only_a, only_b, level) == pytest.approx(expected)


@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("each_way", [0.01, 0.05, 0.1])
def test_the_smallest_difference_is_close_to_connors_approximation(each_way, power):
    n = 8_000
    found = Discordance(each_way, n)

    difference = smallest_difference(found, power=power)

    discordant = 2 * found.against(difference) + difference
    z = stats.norm.ppf([0.975, power])
    connor = (z[0] * np.sqrt(discordant) + z[1] * np.sqrt(discordant - difference**2)) ** 2 / difference**2
    assert connor == pytest.approx(n, rel=0.05)


def test_models_that_disagree_less_show_smaller_differences():
    differences = [smallest_difference(Discordance(each_way, 1000)) for each_way in (0.0, 0.002, 0.01, 0.05, 0.2)]

    assert differences == sorted(differences)
    # Without any disagreement six images decide: 2 / 2^6 is less than .05. Of 1000 images .008 are eight.
    assert differences[0] == pytest.approx(0.008, abs=0.001)


def test_more_images_show_smaller_differences():
    sizes = [smallest_difference(Discordance(0.05, n)) for n in (30, 100, 400.7, 2000)]

    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[-1] < sizes[0] < 0.95


@pytest.mark.parametrize("n", [1, 3.9, 5])
def test_a_handful_of_images_shows_nothing(n):
    # Five discordant images out of five still have a p-value of 1/16.
    assert smallest_difference(Discordance(0.0, n)) == 1


def test_a_model_that_errs_more_is_alone_right_less_often():
    found = Discordance(0.05, 100)

    assert found.against(0.0) == 0.05
    assert found.against(0.05) == pytest.approx(0.05 / np.sqrt(2))
    assert Discordance(0.0, 100).against(0.0) == 0


def test_equal_models_disagree_as_counted():
    # Three images each way among 100: the difference is 0.
    a, b = np.ones(100), np.ones(100)
    a[:3], b[3:6] = 0, 0

    found = discordance(a, b, np.arange(100), 0.3)

    assert (found.each_way, found.n_effective) == (pytest.approx(0.03), 100)


def test_a_difference_beyond_chance_is_no_disagreement_of_equal_models():
    # 3 against 23: of a difference of 20 the standard error sqrt(26) may be chance.
    a, b = np.ones(100), np.ones(100)
    a[:3], b[3:26] = 0, 0

    assert discordance(a, b, np.arange(100), 0.3).each_way == pytest.approx((26 - (20 - np.sqrt(26))) / 200)


def test_seeds_that_disagree_with_each_other_count_for_less():
    once = discordance(np.array([1.0, 0, 1, 1]), np.array([0, 1.0, 1, 1]), np.arange(4), 0.3)
    thirds = discordance(np.array([2 / 3, 1 / 3, 1, 1]), np.array([1 / 3, 2 / 3, 1, 1]), np.arange(4), 0.3)

    assert thirds.each_way == pytest.approx(once.each_way / 9)


def test_disagreements_that_share_groups_tell_less():
    groups = np.arange(80) // 4
    a, b = np.ones(80), np.ones(80)
    a[:8], b[8:16] = 0, 0

    together = discordance(a, b, groups, 0.0)

    correlation = 4 / (4 + PRIOR_GROUPS)
    assert together.n_effective == pytest.approx(80 / (1 + 3 * correlation))


def test_models_that_agree_take_the_correlation_of_their_errors():
    found = discordance(np.ones(80), np.ones(80), np.arange(80) // 4, 0.25)

    assert (found.each_way, found.n_effective) == (0, pytest.approx(80 / (1 + 3 * 0.25)))


def test_the_smallest_difference_is_found_as_often_as_promised():
    """Two models share most of their errors; the second gets worse by the difference promised for them as equals."""
    rng = np.random.default_rng(0)
    shared, own = rng.standard_normal((600, 1, 400)), rng.standard_normal((600, 2, 400))
    difficulty = np.sqrt(0.8) * shared + np.sqrt(0.2) * own
    limit = stats.norm.ppf(0.08)
    promised, apart = [], np.arange(400)
    for drawn in difficulty[:200] >= limit:
        promised.append(smallest_difference(discordance(*drawn.astype(float), apart, 0.0)))
    difference = np.mean(promised)
    limits = np.array([limit, stats.norm.ppf(0.08 + difference)])

    shown = [compare_pair(*drawn, apart).shows_worse(0.05) for drawn in difficulty[200:] >= limits[:, None]]

    assert difference < 0.8 * smallest_difference(Discordance(0.08 * 0.92, 400))
    assert np.mean(shown) == pytest.approx(0.8, abs=0.06)


def test_so_many_images_show_the_difference_and_a_tenth_fewer_do_not():
    found, images, difference = Discordance(each_way=0.02, n_effective=300), 360, 0.015
    needed = images_needed(found, difference, images)

    def shown_by(count):
        return smallest_difference(Discordance(found.each_way, found.n_effective * count / images))

    assert needed > images and needed % 10 ** (len(str(needed)) - 2) == 0, "two digits"
    assert shown_by(needed) <= difference < shown_by(0.9 * needed)


def test_no_difference_or_one_that_only_a_vast_test_set_shows_needs_no_number():
    found = Discordance(each_way=0.02, n_effective=300)
    assert images_needed(found, 0.0, 360) is None
    assert images_needed(found, 1e-6, 360) is None
