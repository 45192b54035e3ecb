"""Shortcuts: single attributes of the files (format, size, compression, brightness, contrast) that tell the class."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups, RowIndices
from steelbench.audit.image_statistics import ImageStatistics
from steelbench.data.crops import split_address

FOLDS = 5
# Rows to fit to and to test, of each fold.
Folds = Sequence[tuple[RowIndices, RowIndices]]
# A shortcut is worth a warning if the tree beats the majority by this much, and by more than chance (2.6 standard
# errors, so that of six attributes of harmless data about one in thirty sets shows one).
_GAIN = 0.05
_SIGMAS = 2.6


OUTSIDE = ("file format", "image size", "JPEG quality")


@dataclass(frozen=True)
class Shortcut:
    """Accuracy of a small decision tree that names the class from one attribute, on images it was not fitted to.

    Attributes:
        attribute: a key of `ATTRIBUTES`.
        accuracy: of the tree, 0..1; None if the attribute is the same for all images or a class has too few groups.
        majority: share of the largest class, 0..1.
        images: number of images that have the attribute.
        facts: sentences on values that only some classes have.
    """

    attribute: str
    accuracy: float | None
    majority: float
    images: int
    facts: tuple[str, ...] = ()

    @property
    def outside(self) -> bool:
        """Whether the attribute holds nothing of the surface; the others may partly tell the defect itself."""
        return self.attribute in OUTSIDE

    @property
    def notable(self) -> bool:
        """Whether the accuracy is above that of naming the largest class, by `_GAIN` and `_SIGMAS` standard errors."""
        if self.accuracy is None:
            return False
        error = np.sqrt(self.majority * (1 - self.majority) / self.images)
        return self.accuracy - self.majority > max(_GAIN, _SIGMAS * float(error))


@dataclass(frozen=True)
class Brightness:
    """Mean gray level of a class and standard deviation of its images' means, before and after homogenisation."""

    label: str
    mean: float
    spread: float
    mean_after: float
    spread_after: float


FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WebP")
# Each attribute as numbers for one image; None where it has none.
ATTRIBUTES: dict[str, Callable[[ImageStatistics], tuple[float, ...] | None]] = {
    "file format": lambda image: tuple(float(image.format == name) for name in FORMATS),
    "image size": lambda image: (image.height, image.width),
    "JPEG quality": lambda image: None if image.quality is None else (image.quality,),
    "bytes per pixel": lambda image: (image.bytes_per_pixel,),
    "brightness": lambda image: (image.brightness,),
    "contrast": lambda image: (image.contrast,),
}


def find_shortcuts(measured: Sequence[ImageStatistics], groups: Sequence[int], seed: int = 0) -> list[Shortcut]:
    """Try each of `ATTRIBUTES` as a predictor of the class.

    Args:
        measured: statistics of each image.
        groups: of each image; images of one group stay in one fold, so that copies do not count as prediction.
        seed: of the folds.

    Returns:
        One for each attribute that any image has.
    """
    facts = {"file format": format_facts(measured), "image size": _size_facts(measured)}
    found = []
    # The folds take 0.2 ms for each group of images; most attributes are of all images, and share them.
    drawn: dict[bytes, Folds] = {}
    for name, value_of in ATTRIBUTES.items():
        rows = [
            (value, image.label, group)
            for image, group in zip(measured, groups, strict=True)
            if (value := value_of(image))
        ]
        if rows:
            values, labels, own = (np.array(column) for column in zip(*rows, strict=True))
            majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
            key = hashlib.sha256(labels.tobytes() + own.tobytes()).digest()
            accuracy = None
            if np.ptp(values, axis=0).max() > 0:
                folds = drawn[key] if key in drawn else drawn.setdefault(key, grouped_folds(labels, own, seed))
                accuracy = tree_accuracy(values, labels, folds, seed)
            found.append(Shortcut(name, accuracy, majority, len(rows), tuple(facts.get(name, ()))))
    return found


def grouped_folds(labels: NDArray[np.str_], groups: Groups, seed: int = 0) -> Folds:
    """Return the rows to fit to and to test of each fold.

    Args:
        labels: str [N], class names.
        groups: int64 [N]; images of one group stay in one fold.
        seed: of the folds.

    Returns:
        Empty if a class has fewer than 2 groups, or there is one class.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    count = min(FOLDS, fewest)
    if count < 2 or len(np.unique(labels)) < 2:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups))


def tree_accuracy(values: NDArray[np.float64], labels: NDArray[np.str_], folds: Folds, seed: int = 0) -> float | None:
    """Return the cross-validated accuracy of a decision tree of depth 3.

    Args:
        values: float [N, D], the attribute.
        labels: str [N], class names.
        folds: of `grouped_folds`.
        seed: of the trees.

    Returns:
        0..1; None without folds.
    """
    from sklearn.tree import DecisionTreeClassifier

    if not folds:
        return None
    predicted = np.empty_like(labels)
    for train, test in folds:
        tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=3, random_state=seed)
        predicted[test] = tree.fit(values[train], labels[train]).predict(values[test])
    return float((predicted == labels).mean())


def format_facts(measured: Sequence[ImageStatistics]) -> list[str]:
    """Return sentences on formats that only some classes have."""
    return _facts(measured, lambda image: image.format, lambda value: value)


def _size_facts(measured: Sequence[ImageStatistics]) -> list[str]:
    # Hardly two crops are of one size, so that each of them would be a fact.
    if any(split_address(image.file)[1] for image in measured):
        return []
    return _facts(measured, lambda image: f"{image.width} x {image.height}", lambda value: f"Size {value}")


def _facts(
    measured: Sequence[ImageStatistics], value: Callable[[ImageStatistics], str], name: Callable[[str], str]
) -> list[str]:
    sizes = Counter(image.label for image in measured)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for image in measured:
        found[value(image)][image.label] += 1
    if len(found) == 1:
        return [f"All images are alike: {next(iter(found))}."]
    facts = []
    for text, labels in sorted(found.items(), key=lambda item: (-sum(item[1].values()), item[0])):
        if len(labels) == 1:
            label, count = next(iter(labels.items()))
            facts.append(f"{name(text)} occurs in one class only ('{label}', {count} of {sizes[label]}).")
        elif len(labels) < len(sizes):
            facts.append(
                f"{name(text)} occurs in {len(labels)} of {len(sizes)} classes ({sum(labels.values())} images)."
            )
    return facts[:6]


def brightness_by_class(measured: Sequence[ImageStatistics]) -> list[Brightness]:
    """Return the brightness of each class as it is, and with each image moved to the set's mean, clipped to 0..255."""
    target = float(np.mean([image.brightness for image in measured]))
    before, after = defaultdict(list), defaultdict(list)
    for image in measured:
        moved = np.clip(np.arange(256) - image.brightness + target, 0, 255)
        before[image.label].append(image.brightness)
        after[image.label].append(float(image.levels @ moved / image.levels.sum()))
    return [
        Brightness(label, *_mean_and_spread(before[label]), *_mean_and_spread(after[label])) for label in sorted(before)
    ]


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))
