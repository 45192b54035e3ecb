"""On made-up features: the draws are nested, and a point is the score of a plain fit."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from steelbench.evaluation.learning_curve import (
    BUDGETS,
    Budget,
    Point,
    learning_curve,
    nested_subsets,
    summarise,
)

SIZES = (60, 25, 12)


@pytest.fixture(scope="module")
def data():
    """Features, labels, training and test rows of three classes that overlap."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 2 * np.array(SIZES))
    centres = rng.standard_normal((3, 8))
    features = (centres[labels] + 1.2 * rng.standard_normal((len(labels), 8)) + 50).astype(np.float32)
    order = rng.permutation(len(labels))
    train = np.sort(np.concatenate([order[labels[order] == k][:size] for k, size in enumerate(SIZES)]))
    return features, labels, train, np.setdiff1d(order, train)


def curve(data, **more):
    return list(learning_curve("vgg19", *data, **{"seed": 0, "draws": 3, **more}))


def plain_fit(features, labels, train, test):
    """Standardised by hand, then scikit-learn's classifier; accuracy and macro-F1 counted one by one."""
    mean, spread = features[train].mean(axis=0, dtype=float), features[train].std(axis=0, dtype=float)
    model = LogisticRegression(C=0.1, max_iter=1000).fit((features[train] - mean) / spread, labels[train])
    pairs = list(zip(labels[test], model.predict((features[test] - mean) / spread), strict=True))
    f1 = []
    for k in range(3):
        right, said, there = (
            sum(rule) for rule in zip(*((a == b == k, b == k, a == k) for a, b in pairs), strict=True)
        )
        f1.append(2 * right / (said + there))
    return np.mean([a == b for a, b in pairs]), np.mean(f1)


def test_with_all_training_images_it_is_the_plain_fit(data):
    (whole,) = [point for point in curve(data) if point.share == 1.0]

    assert (whole.accuracy, whole.macro_f1) == pytest.approx(plain_fit(*data))
    assert whole.images == sum(SIZES)


def test_with_a_part_it_is_the_plain_fit_to_that_part(data):
    features, labels, train, test = data
    part = nested_subsets(labels, train, [Budget(per_class=5)], (4, 1))[0]

    (point,) = [p for p in curve(data, seed=4, draws=2) if p.per_class == 5 and p.draw == 1]

    assert (point.accuracy, point.macro_f1) == pytest.approx(plain_fit(features, labels, part, test))


def test_test_images_decide_nothing_but_the_score(data):
    features, labels, train, test = data
    other = features.copy()
    other[np.setdiff1d(np.arange(len(labels)), np.concatenate([train, test[:1]]))] = 1e6

    first, second = (
        [point.accuracy for point in curve((given, labels, train, test[:1]))] for given in (features, other)
    )

    assert first == second


@pytest.mark.parametrize(
    ("budget", "sizes"),
    [
        (Budget(share=0.01), (1, 1, 1)),
        (Budget(share=0.1), (6, 2, 1)),
        (Budget(share=0.5), (30, 12, 6)),
        (Budget(share=1.0), SIZES),
        (Budget(per_class=1), (1, 1, 1)),
        (Budget(per_class=10), (10, 10, 10)),
    ],
)
def test_a_budget_labels_so_many_training_images_of_each_class(data, budget, sizes):
    _, labels, train, _ = data

    rows = nested_subsets(labels, train, [budget], 0)[0]

    assert Counter(labels[rows].tolist()) == dict(enumerate(sizes))
    assert set(rows) <= set(train) and list(rows) == sorted(set(rows))


def test_smaller_budgets_lie_within_larger_ones_and_draws_differ(data):
    _, labels, train, _ = data
    ordered = sorted(BUDGETS, key=lambda budget: budget.sizes(np.array(SIZES)).sum())

    first, second = ([set(rows) for rows in nested_subsets(labels, train, ordered, (0, draw))] for draw in (0, 1))

    shares = [rows for rows, budget in zip(first, ordered, strict=True) if budget.share]
    counts = [rows for rows, budget in zip(first, ordered, strict=True) if budget.per_class]
    for chain in (shares, counts):
        assert all(small <= large for small, large in pairwise(chain))
    assert first[:-1] != second[:-1] and first[-1] == second[-1] == set(train)


def test_every_backbone_meets_the_same_draws_and_the_seed_changes_them(data):
    first, again, other = (
        [point.accuracy for point in learning_curve(name, *data, seed=seed, draws=2)]
        for name, seed in (("vgg19", 0), ("xception", 0), ("xception", 1))
    )

    assert first == again != other


def test_a_budget_that_a_class_cannot_fill_is_left_out_and_the_whole_set_is_fitted_once(data):
    features, labels, train, test = data
    # Nine images of the smallest class are left.
    short = np.setdiff1d(train, train[labels[train] == 2][:3])

    found = Counter((point.share, point.per_class) for point in curve((features, labels, short, test), draws=4))

    assert (None, 10) not in found and found[None, 5] == 4
    assert found[1.0, None] == 1 and found[0.5, None] == 4
    assert len(found) == len(BUDGETS) - 1


def test_more_labels_help(data):
    levels = {(level.share, level.per_class): level for level in summarise(curve(data, draws=8))}

    assert levels[None, 1].accuracy < levels[None, 5].accuracy < levels[1.0, None].accuracy


def test_the_summary_is_mean_and_percentiles_of_the_fits():
    point = Point("vgg19", 0, None, 5, 15, 0, 0.0, 0.5)
    points = [replace(point, draw=draw, accuracy=draw / 100) for draw in range(101)]
    # Of the draws 3, 25 and 80 it loses the last only.
    points += [replace(point, backbone="xception", draw=draw, accuracy=0.25, images=9) for draw in (3, 25, 80)]

    first, second = summarise(points)

    assert (first.accuracy, first.low, first.high) == pytest.approx((0.5, 0.05, 0.95))
    assert (first.fits, first.images, first.macro_f1) == (101, 15, 0.5)
    assert (first.best, second.best) == pytest.approx((100 / 101, 2 / 3))
    assert (second.backbone, second.accuracy, second.low, second.high) == ("xception", 0.25, 0.25, 0.25)
