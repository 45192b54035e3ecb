"""AUROC and false alarms against scikit-learn and plain loops; intervals by groups."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from steelbench.evaluation.detection import (
    Evidence,
    Scored,
    area_interval,
    auroc,
    false_alarms,
    measure,
    threshold_on_known,
)


def both(known, unknown, rate):
    return rate(known, unknown, np.ones((1, len(known))), np.ones((1, len(unknown))))[0]


def sides(seed=0, known=60, unknown=40, ties=False, shift=1.0):
    random = np.random.default_rng(seed)
    found = random.normal(0, 1, known), random.normal(shift, 1, unknown)
    return tuple(np.round(side) if ties else side for side in found)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_area_is_that_of_scikit_learn_with_weights_and_ties(seed, ties):
    known, unknown = sides(seed, ties=ties)
    weights = np.random.default_rng(seed).integers(0, 4, (3, 100)).astype(float)
    truth, scores = np.repeat([0, 1], [60, 40]), np.concatenate([known, unknown])

    found = auroc(known, unknown, weights[:, :60], weights[:, 60:])

    expected = [roc_auc_score(truth, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert both(known, unknown, auroc) == pytest.approx(roc_auc_score(truth, scores))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("unknown_images", [1, 7, 20, 40])
def test_false_alarms_are_counted_at_the_highest_threshold_that_finds_95_per_cent(ties, unknown_images):
    known, unknown = sides(1, unknown=unknown_images, ties=ties)

    enough = [limit for limit in unknown if np.mean(unknown >= limit) >= 0.95]

    assert both(known, unknown, false_alarms) == pytest.approx(np.mean(known >= max(enough)))


def test_an_image_that_counts_twice_is_the_same_as_two_images():
    known, unknown = sides(2, 15, 25)
    random = np.random.default_rng(0)
    times = random.integers(0, 3, 15), random.integers(0, 3, 25)

    for rate in (auroc, false_alarms):
        weighted = rate(known, unknown, times[0][None].astype(float), times[1][None].astype(float))[0]
        assert weighted == pytest.approx(both(np.repeat(known, times[0]), np.repeat(unknown, times[1]), rate))


def test_a_replicate_without_a_side_is_no_number():
    known, unknown = sides()

    assert np.isnan(auroc(known, unknown, np.ones((1, 60)), np.zeros((1, 40)))).all()
    assert np.isnan(false_alarms(known, unknown, np.zeros((1, 60)), np.ones((1, 40)))).all()
    assert np.isnan(false_alarms(known, unknown, np.ones((1, 60)), np.zeros((1, 40)))).all()


def test_the_threshold_flags_at_most_one_known_image_in_twenty():
    scores = np.random.default_rng(0).permutation(100).astype(float)

    assert np.sum(scores > threshold_on_known(scores)) == 4
    assert np.sum(np.zeros(50) > threshold_on_known(np.zeros(50))) == 0
    assert threshold_on_known(np.array([3.0])) == 3


def evidence_of(known, unknown, start=0, threshold=1.0):
    rows = start + np.arange(len(known) + len(unknown))
    return Evidence(rows[: len(known)], rows[len(known) :], {"knn": Scored(known, unknown, threshold)})


def test_measured_values_are_those_of_the_rates_and_the_mean_over_classes():
    first, second = sides(0), sides(1, shift=3)

    found, mean = measure([evidence_of(*first), evidence_of(*second, start=100)], np.arange(200))

    for own, (known, unknown) in zip(found, (first, second), strict=True):
        assert own["knn"].auroc == pytest.approx(both(known, unknown, auroc))
        assert own["knn"].false_alarms == pytest.approx(both(known, unknown, false_alarms))
        assert own["knn"].detected == np.mean(unknown > 1) and own["knn"].flagged == np.mean(known > 1)
        assert own["knn"].auroc_low < own["knn"].auroc < own["knn"].auroc_high
    for field in ("auroc", "false_alarms", "detected"):
        assert getattr(mean["knn"], field) == pytest.approx(np.mean([getattr(own["knn"], field) for own in found]))
    # Two classes tell more than one.
    widths = [own["knn"].auroc_high - own["knn"].auroc_low for own in (*found, mean)]
    assert widths[2] < max(widths[:2])


def test_the_same_seed_gives_the_same_interval_and_copies_make_it_no_narrower():
    known, unknown = sides()
    copied = evidence_of(np.repeat(known, 4), np.repeat(unknown, 4))

    once = measure([evidence_of(known, unknown)], np.arange(100))[0][0]["knn"]
    again = measure([evidence_of(known, unknown)], np.arange(100))[0][0]["knn"]
    grouped = measure([copied], np.repeat(np.arange(100), 4))[0][0]["knn"]
    alone = measure([copied], np.arange(400))[0][0]["knn"]

    assert once == again
    assert grouped.auroc_high - grouped.auroc_low == pytest.approx(once.auroc_high - once.auroc_low, rel=0.1)
    assert alone.auroc_high - alone.auroc_low < 0.7 * (grouped.auroc_high - grouped.auroc_low)


def test_the_interval_holds_the_true_area_about_as_often_as_it_says():
    truth, held = norm.cdf(1 / np.sqrt(2)), 0
    for seed in range(60):
        found = measure([evidence_of(*sides(seed))], np.arange(100))[0][0]["knn"]
        held += found.auroc_low <= truth <= found.auroc_high

    # Binomial, 60 times .95: fewer than 51 is one in a hundred.
    assert held >= 51


def test_sides_that_do_not_overlap_have_an_interval_all_the_same():
    found = measure([evidence_of(np.zeros(30), np.ones(20))], np.arange(50))[0][0]["knn"]
    fewer = measure([evidence_of(np.zeros(30), np.ones(20))], np.repeat(np.arange(25), 2))[0][0]["knn"]

    assert found.auroc == found.auroc_high == 1 and 0.7 < found.auroc_low < 1
    assert fewer.auroc_low < found.auroc_low
    assert found.false_alarms == found.false_alarms_low == 0 and 0 < found.false_alarms_high < 0.2


@pytest.mark.parametrize(("area", "known", "unknown"), [(1.0, 30, 20), (0.9, 50, 50), (0.0, 10, 10)])
def test_the_interval_at_the_edge_is_the_root_of_its_formula(area, known, unknown):
    def variance(p):
        half = (known + unknown) / 2 - 1
        return p * (1 - p) / (known * unknown) * (1 + half * (1 - p) / (2 - p) + half * p / (1 + p))

    def excess(p):
        return abs(area - p) - 1.959964 * np.sqrt(variance(p))

    low, high = area_interval(area, known, unknown)

    assert low == (0 if area == 0 else pytest.approx(brentq(excess, 0.01, area - 1e-6), abs=2e-5))
    assert high == (1 if area == 1 else pytest.approx(brentq(excess, area + 1e-6, 0.9999), abs=2e-5))
