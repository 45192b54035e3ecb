"""Thresholds below which a person looks: what they promise, and what images it takes."""

import numpy as np
import pytest
from scipy.stats import binom

from steelbench.evaluation.decision import (
    CONFIDENCE,
    PROMISES,
    THRESHOLDS,
    guaranteed_threshold,
    images_needed,
    one_of_each_group,
    promises,
    referral_curve,
)


def test_images_needed_are_the_published_numbers():
    assert [images_needed(share) for share in (0.001, 0.005, 0.01)] == [2995, 598, 299]


def test_referrals_and_escapes_are_counted_by_hand():
    confidence, correct = np.array([0.3, 0.6, 0.8, 0.9]), np.array([False, True, False, True])

    referred, escaped = referral_curve(confidence, correct, np.array([0.0, 0.5, 0.8, 0.95]))

    assert referred.tolist() == [0, 0.25, 0.5, 1]
    assert escaped.tolist() == [0.5, 0.25, 0.25, 0]


@pytest.mark.parametrize(("images", "promised"), [(298, False), (299, True)])
def test_without_an_escape_a_promise_of_one_per_cent_takes_299_images(images, promised):
    confidence, correct = np.full(images, 0.97), np.ones(images, bool)

    assert (guaranteed_threshold(confidence, correct, 0.01) is not None) is promised


def test_the_threshold_is_the_lowest_of_an_unbroken_sequence_of_tests():
    random = np.random.default_rng(0)
    confidence = random.uniform(0, 1, 2000)
    correct = random.random(2000) < confidence**0.2
    # Independent of MAPIE: p-values of the binomial test, from the highest threshold downwards.
    lowest = None
    for threshold in THRESHOLDS[::-1]:
        escapes = np.sum((confidence >= threshold) & ~correct)
        if binom.cdf(escapes, 2000, 0.02) > 1 - CONFIDENCE:
            break
        lowest = threshold

    assert guaranteed_threshold(confidence, correct, 0.02) == pytest.approx(lowest)


def test_one_image_of_each_group_is_drawn_and_the_draw_is_the_same_again():
    groups = np.repeat(np.arange(40), np.arange(40) % 5 + 1)

    rows = one_of_each_group(groups)

    assert sorted(groups[rows]) == list(range(40)) and (np.diff(rows) > 0).all()
    assert rows.tolist() == one_of_each_group(groups).tolist()
    assert rows.tolist() != one_of_each_group(groups, seed=1).tolist()


def test_copies_of_images_promise_no_more_than_the_images():
    confidence, correct = np.full(100, 0.99), np.ones(100, bool)

    alone = promises(confidence, correct, np.arange(100))
    copied = promises(np.tile(confidence, 50), np.tile(correct, 50), np.tile(np.arange(100), 50))

    assert [own.escapes for own in alone] == list(PROMISES)
    assert [own.threshold for own in alone] == [own.threshold for own in copied] == [None] * 4


def test_promises_are_kept_on_simulated_images_in_groups():
    random, broken = np.random.default_rng(1), 0
    for _ in range(60):
        groups = np.repeat(np.arange(400), random.integers(1, 8, 400))
        logit = 4 + random.normal(0, 2, 400)[groups]
        correct = random.random(len(groups)) < 1 / (1 + np.exp(-logit))
        confidence = 1 / (1 + np.exp(-1.5 * logit))
        threshold = promises(confidence, correct, groups)[3].threshold
        if threshold is not None:
            fresh = 4 + random.normal(0, 2, 100_000)
            alone = 1 / (1 + np.exp(-1.5 * fresh)) >= threshold
            broken += np.mean(alone / (1 + np.exp(fresh))) > 0.02

    assert broken <= 8  # 3 are expected at most; 8 or more come up once in a hundred times
