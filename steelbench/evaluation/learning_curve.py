"""How accuracy grows with labelled images: a linear classifier fitted to nested parts of the training images."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

# Fixed: with one image of each class there is nothing to choose it by, and the test images must not.
C = 0.1
# Per cent of the draws that lie in a band, as many below it as above.
BAND = 90


@dataclass(frozen=True)
class Budget:
    """How many training images are labelled: a share (0..1] of each class, or so many of each class."""

    share: float | None = None
    per_class: int | None = None

    def sizes(self, available: Indices) -> Indices:
        """Labelled images of each class, int64 [C], at least one, from the numbers of images that there are."""
        if self.per_class is not None:
            return np.minimum(self.per_class, available)
        return np.maximum(1, np.rint((self.share or 0.0) * available)).astype(np.int64)

    def fits(self, available: Indices) -> bool:
        """Whether every class has as many images as are asked for."""
        return self.per_class is None or self.per_class <= int(available.min())


BUDGETS = (
    *(Budget(share=share) for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)),
    *(Budget(per_class=count) for count in (1, 5, 10)),
)


@dataclass(frozen=True)
class Point:
    """One fit: on how many labelled images, and what it scores on the test images (0..1)."""

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

    `accuracy` and `macro_f1` are means; `low` and `high` bound the middle 90 % of the fits' accuracies. That is how
    far single draws lie apart, not how well the mean is known. `best` is the share of the fits that no other backbone
    beats on the same images: bands may overlap where one backbone is always ahead.
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
    features: NDArray[np.float32],
    labels: Indices,
    train: Indices,
    test: Indices,
    *,
    seed: int,
    draws: int,
    budgets: Sequence[Budget] = BUDGETS,
) -> Iterator[Point]:
    """Fit to each budget's images in each draw, score on the test images.

    Every backbone meets the same draws. A budget that some class cannot fill is left out, and all training images
    are fitted once, as they can be drawn in one way only.

    Args:
        backbone: its name, for the record.
        features: float32 [N, D], of all images.
        labels: int64 [N], class numbers.
        train: the images that may be labelled, ascending.
        test: the images that are scored.
        seed: of the split; with the draw's number it decides what is drawn.
        draws: how many.
        budgets: from which a curve is made.
    """
    available = np.unique(labels[train], return_counts=True)[1]
    budgets = [budget for budget in budgets if budget.fits(available)]
    for draw in range(draws):
        for budget, rows in zip(budgets, nested_subsets(labels, train, budgets, (seed, draw)), strict=True):
            if draw == 0 or len(rows) < len(train):
                accuracy, macro_f1 = fit_and_score(features, labels, rows, test)
                yield Point(backbone, seed, budget.share, budget.per_class, len(rows), draw, accuracy, macro_f1)


def nested_subsets(
    labels: Indices, train: Indices, budgets: Sequence[Budget], seed: tuple[int, int] | int
) -> list[Indices]:
    """The training images that each budget labels, ascending; a smaller budget's are among a larger one's."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(train[labels[train] == label]) for label in np.unique(labels[train])]
    available = np.array([len(order) for order in orders], np.int64)
    return [
        np.sort(np.concatenate([order[:size] for order, size in zip(orders, budget.sizes(available), strict=True)]))
        for budget in budgets
    ]


def fit_and_score(features: NDArray[np.float32], labels: Indices, train: Indices, test: Indices) -> tuple[float, float]:
    """Accuracy and macro-F1 (0..1) on the test images of logistic regression on standardised features.

    Only the labelled images are seen, for the standardisation, too.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import accuracy_score, f1_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    # One thread is several times as fast as two that wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features[train], labels[train])
    truth, predicted = labels[test], model.predict(features[test])
    macro_f1 = f1_score(truth, predicted, labels=np.unique(labels), average="macro", zero_division=0)
    return float(accuracy_score(truth, predicted)), float(macro_f1)


def summarise(points: Sequence[Point]) -> list[Level]:
    """The points of each backbone and budget as one, in the order in which they first appear."""
    highest: dict[tuple[float | None, int | None, int, int], float] = defaultdict(float)
    for point in points:
        key = _drawn(point)
        highest[key] = max(highest[key], point.accuracy)
    piles: dict[tuple[str, float | None, int | None], list[Point]] = defaultdict(list)
    for point in points:
        piles[point.backbone, point.share, point.per_class].append(point)
    levels = []
    for (backbone, share, per_class), pile in piles.items():
        accuracies = [point.accuracy for point in pile]
        low, high = np.percentile(accuracies, [50 - BAND / 2, 50 + BAND / 2])
        images, macro_f1 = (float(np.mean([getattr(p, name) for p in pile])) for name in ("images", "macro_f1"))
        mean = float(np.mean(accuracies))
        best = float(np.mean([point.accuracy == highest[_drawn(point)] for point in pile]))
        levels.append(
            Level(backbone, share, per_class, images, len(pile), mean, float(low), float(high), macro_f1, best)
        )
    return levels


def _drawn(point: Point) -> tuple[float | None, int | None, int, int]:
    """What points of all backbones have in common that were fitted to the same images."""
    return point.share, point.per_class, point.seed, point.draw
