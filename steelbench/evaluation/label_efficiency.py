"""Tell how much more labelled images would bring: accuracy by share of the training images, and the gain by class."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from steelbench.arrays import AnyArray, Features, Floats, Groups, Labels, Mask, RowIndices
from steelbench.evaluation.learning_curve import Budget, C, fit_and_predict, nested_subsets
from steelbench.records import ClassGain, EfficiencyLevel, LabelEfficiency

# Halves, so that the last step is one doubling: what the next one brings is hardly ever more.
SHARES = (0.125, 0.25, 0.5, 1.0)
HALF, FULL = SHARES.index(0.5), SHARES.index(1.0)
# One split takes ten fits, three take twelve.
MOST_SPLITS, DRAWS = 3, 3
LEVEL = 0.95


@dataclass(frozen=True)
class _Fit:
    """One fit: how many images it saw, and which test images (rows) it names right."""

    images: int
    test: RowIndices
    right: Mask


def label_efficiency(
    backbone: str,
    image_size: int,
    features: Features,
    labels: Labels,
    groups: Groups,
    classes: Sequence[str],
    splits: Sequence[tuple[RowIndices, RowIndices]],
) -> LabelEfficiency:
    """Fit a linear classifier to an eighth, a quarter, half and all of the training images, and test each.

    Args:
        backbone: its name, for the record.
        image_size: side of the images that it saw, for the record.
        features: float32 [N, D], finite.
        labels: int64 [N], class numbers.
        groups: int64 [N]; images of one group share pixels, and vary together in the intervals.
        classes: C names.
        splits: training and test rows, of one seed, so that no image is tested twice; the first `MOST_SPLITS` are
            used, one alone is drawn from `DRAWS` times.
    """
    start = time.perf_counter()
    splits = splits[:MOST_SPLITS]
    draws = DRAWS if len(splits) == 1 else 1
    fits: list[list[_Fit]] = [[] for _ in SHARES]
    for number, (train, test) in enumerate(splits):
        for draw in range(draws):
            subsets = nested_subsets(labels, train, [Budget(share=share) for share in SHARES], (number, draw))
            for own, rows in zip(fits, subsets, strict=True):
                # There is one way to draw all images.
                if draw == 0 or len(rows) < len(train):
                    right = fit_and_predict(features, labels, rows, test) == labels[test]
                    own.append(_Fit(len(rows), test, right))
    trained = [np.mean([np.sum(labels[train] == label) for train, _ in splits]) for label in range(len(classes))]
    return LabelEfficiency(
        backbone=backbone,
        image_size=image_size,
        c=C,
        splits=len(splits),
        draws=draws,
        levels=[_level(share, own, labels, len(classes)) for share, own in zip(SHARES, fits, strict=True)],
        classes=[
            _gain(name, float(images), fits, labels == label, groups)
            for label, (name, images) in enumerate(zip(classes, trained, strict=True))
            if any((labels[test] == label).any() for _, test in splits)
        ],
        seconds=time.perf_counter() - start,
    )


def _level(share: float, fits: Sequence[_Fit], labels: Labels, num_classes: int) -> EfficiencyLevel:
    accuracies = [float(np.mean(fit.right)) for fit in fits]
    truth, right = np.concatenate([labels[fit.test] for fit in fits]), np.concatenate([fit.right for fit in fits])
    recalls = [
        float(np.mean(right[truth == label])) if (truth == label).any() else None for label in range(num_classes)
    ]
    return EfficiencyLevel(
        share=share,
        images=float(np.mean([fit.images for fit in fits])),
        accuracy=float(np.mean(accuracies)),
        low=min(accuracies),
        high=max(accuracies),
        fits=len(fits),
        recalls=recalls,
    )


def _gain(name: str, images: float, fits: Sequence[Sequence[_Fit]], own: Mask, groups: Groups) -> ClassGain:
    half, full = (_shares(fits[level], len(own)) for level in (HALF, FULL))
    tested = np.flatnonzero(own & np.isfinite(full))
    ahead = full[tested] - half[tested]
    count, half_width = _uncertainty(ahead, groups[tested])
    gain = float(np.mean(ahead))
    recall, before = float(np.mean(full[tested])), float(np.mean(half[tested]))
    # No recall passes 100 %, and none falls below 0.
    low, high = max(gain - half_width, -before), min(gain + half_width, 1 - before)
    return ClassGain(
        name=name,
        images=images,
        tested=len(tested),
        groups=count,
        half=before,
        full=recall,
        gain=gain,
        gain_low=min(low, gain),
        gain_high=max(high, gain),
    )


def _shares(fits: Sequence[_Fit], count: int) -> Floats:
    """Return the share of the fits that name each image right, float64 [N]; NaN where none tests it."""
    right, tests = np.zeros(count), np.zeros(count)
    for fit in fits:
        right[fit.test] += fit.right
        tests[fit.test] += 1
    return np.divide(right, tests, out=np.full(count, np.nan), where=tests > 0)


def _uncertainty(ahead: Floats, groups: AnyArray) -> tuple[int, float]:
    """Return the number of groups, and half the width of the 95 % interval of the mean difference.

    Of the groups' sums, with the t distribution. Where no group changes, as much as one of so many groups could hide:
    the exact limit of zero successes.
    """
    index = np.unique(groups, return_inverse=True)[1]
    count = int(index.max()) + 1
    hidden = 1 - (1 - LEVEL) ** (1 / count)
    if count < 2:
        return count, 1.0
    residues = np.bincount(index, ahead - ahead.mean())
    deviation = float(np.sqrt(count / (count - 1) * np.sum(residues**2))) / len(ahead)
    return count, max(
        float(special.stdtrit(count - 1, (1 + LEVEL) / 2)) * deviation, hidden if not ahead.any() else 0.0
    )
