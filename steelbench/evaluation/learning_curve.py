"""Measure accuracy against labelled images: a linear classifier fitted to nested parts of the training images."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from steelbench.arrays import Features, Labels, RowIndices

# Inverse L2 strength. Fixed, because one image of each class leaves none to choose it on but the test images.
C = 0.1
# Per cent of the fits inside a band; equally many lie below and above it.
BAND = 90


@dataclass(frozen=True)
class Budget:
    """A number of labelled training images.

    Attributes:
        share: of each class, in (0..1]; None if `per_class` is given.
        per_class: images of each class; None if `share` is given.
    """

    share: float | None = None
    per_class: int | None = None

    def sizes(self, available: RowIndices) -> RowIndices:
        """Return the number of labelled images of each class, int64 [C], at least one.

        Args:
            available: int64 [C], training images of each class.
        """
        if self.per_class is not None:
            return np.minimum(self.per_class, available)
        return np.maximum(1, np.rint((self.share or 0.0) * available)).astype(np.int64)

    def fits(self, available: RowIndices) -> bool:
        """Return whether every class has as many images as the budget asks for."""
        return self.per_class is None or self.per_class <= int(available.min())


BUDGETS = (
    *(Budget(share=share) for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)),
    *(Budget(per_class=count) for count in (1, 5, 10)),
)


@dataclass(frozen=True)
class Point:
    """The scores of one fit.

    Attributes:
        backbone: its name.
        seed: of the split.
        share: of the budget.
        per_class: of the budget.
        images: labelled images that the fit saw.
        draw: number of the draw, from 0.
        accuracy: on the test images, 0..1.
        macro_f1: on the test images, 0..1.
    """

    backbone: str
    seed: int
    share: float | None
    per_class: int | None
    images: int
    draw: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class Level:
    """One backbone and budget over all splits and draws.

    Attributes:
        backbone: its name.
        share: of the budget.
        per_class: of the budget.
        images: mean number of labelled images.
        fits: number of points.
        accuracy: mean, 0..1.
        low: lower end of the middle 90 % of the fits' accuracies; single draws differ so much, the mean less.
        high: upper end.
        macro_f1: mean, 0..1.
        best: share of the fits that no other backbone beats on the same images, 0..1; two bands may overlap although
            one backbone is always ahead.
    """

    backbone: str
    share: float | None
    per_class: int | None
    images: float
    fits: int
    accuracy: float
    low: float
    high: float
    macro_f1: float
    best: float


def learning_curve(
    backbone: str,
    features: Features,
    labels: Labels,
    train: RowIndices,
    test: RowIndices,
    *,
    seed: int,
    draws: int,
    budgets: Sequence[Budget] = BUDGETS,
) -> Iterator[Point]:
    """Fit a linear classifier to each budget's images in each draw and yield its scores on the test images.

    The draws depend on the seed and the labels alone, so all backbones have the same. A budget that some class cannot
    fill is left out. All training images together are fitted once, as there is one way to draw them.

    Args:
        backbone: its name, for the record.
        features: float32 [N, D], of all images.
        labels: int64 [N], class numbers.
        train: int64, rows of the images that may be labelled, ascending.
        test: int64, rows of the images that are scored.
        seed: of the split; with the number of the draw it decides which images are drawn.
        draws: number of draws, at least 1.
        budgets: the numbers of labelled images to fit to.
    """
    available = np.unique(labels[train], return_counts=True)[1]
    budgets = [budget for budget in budgets if budget.fits(available)]
    for draw in range(draws):
        for budget, rows in zip(budgets, nested_subsets(labels, train, budgets, (seed, draw)), strict=True):
            if draw == 0 or len(rows) < len(train):
                accuracy, macro_f1 = fit_and_score(features, labels, rows, test)
                yield Point(backbone, seed, budget.share, budget.per_class, len(rows), draw, accuracy, macro_f1)


def nested_subsets(
    labels: Labels, train: RowIndices, budgets: Sequence[Budget], seed: tuple[int, int] | int
) -> list[RowIndices]:
    """Return the rows that each budget labels, ascending; those of a smaller budget are among those of a larger one.

    Args:
        labels: int64 [N], class numbers.
        train: int64, rows that may be labelled.
        budgets: the numbers of labelled images.
        seed: of the order in which the images of a class are labelled.
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(train[labels[train] == label]) for label in np.unique(labels[train])]
    available = np.array([len(order) for order in orders], np.int64)
    return [
        np.sort(np.concatenate([order[:size] for order, size in zip(orders, budget.sizes(available), strict=True)]))
        for budget in budgets
    ]


def fit_and_score(features: Features, labels: Labels, train: RowIndices, test: RowIndices) -> tuple[float, float]:
    """Return accuracy and macro-F1 (0..1) on the test images of logistic regression on standardised features.

    Both the standardisation and the fit see the training rows only.

    Args:
        features: float32 [N, D].
        labels: int64 [N], class numbers.
        train: int64, rows to fit to.
        test: int64, rows to score.
    """
    from sklearn.metrics import accuracy_score, f1_score

    truth, predicted = labels[test], fit_and_predict(features, labels, train, test)
    macro_f1 = f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0)
    return float(accuracy_score(truth, predicted)), float(macro_f1)


def fit_and_predict(features: Features, labels: Labels, train: RowIndices, test: RowIndices) -> Labels:
    """Return the class number, int64 [T], that the classifier of `fit_and_score` gives to each test image.

    Args:
        features: float32 [N, D].
        labels: int64 [N], class numbers.
        train: int64, rows to fit to; where they are of one class, all answers are that class.
        test: int64 [T], rows to name.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if len(np.unique(labels[train])) == 1:
        return np.full(len(test), labels[train[0]])
    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    # One thread is several times as fast as two that wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[train], labels[train])
    return np.asarray(model.predict(features[test]), np.int64)


def summarise(points: Sequence[Point]) -> list[Level]:
    """Return one level for the points of each backbone and budget, in the order in which they first appear."""
    highest: dict[tuple[float | None, int | None, int, int], float] = defaultdict(float)
    for point in points:
        key = _draw_key(point)
        highest[key] = max(highest[key], point.accuracy)
    points_by_level: dict[tuple[str, float | None, int | None], list[Point]] = defaultdict(list)
    for point in points:
        points_by_level[point.backbone, point.share, point.per_class].append(point)
    levels = []
    for (backbone, share, per_class), own in points_by_level.items():
        accuracies = [point.accuracy for point in own]
        low, high = np.percentile(accuracies, [50 - BAND / 2, 50 + BAND / 2])
        images, macro_f1 = (float(np.mean([getattr(p, name) for p in own])) for name in ("images", "macro_f1"))
        mean = float(np.mean(accuracies))
        best = float(np.mean([point.accuracy == highest[_draw_key(point)] for point in own]))
        levels.append(
            Level(backbone, share, per_class, images, len(own), mean, float(low), float(high), macro_f1, best)
        )
    return levels


def _draw_key(point: Point) -> tuple[float | None, int | None, int, int]:
    """Return what identifies the images that a point was fitted to; points of several backbones share it."""
    return point.share, point.per_class, point.seed, point.draw
