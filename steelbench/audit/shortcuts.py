"""What gives the class away without a look at the surface: format, size, compression, brightness, contrast."""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.image_statistics import ImageStatistics

FOLDS = 5
# A shortcut is worth a warning if the tree beats the majority by this much, and by more than chance (2.6 standard
# errors, so that of six attributes of harmless data about one in thirty sets shows one).
_GAIN = 0.05
_SIGMAS = 2.6


OUTSIDE = ("file format", "image size", "JPEG quality")


@dataclass(frozen=True)
class Shortcut:
    """How well a small decision tree names the class from one attribute alone, on images it was not fitted to.

    `accuracy` is None if the attribute is the same for all images or a class has too few groups of images.
    `facts` are sentences on what stands out.
    """

    attribute: str
    accuracy: float | None
    majority: float
    images: int
    facts: tuple[str, ...] = ()

    @property
    def outside(self) -> bool:
        """Whether nothing of the surface is in the attribute; what the others tell may partly be the defect itself."""
        return self.attribute in OUTSIDE

    @property
    def notable(self) -> bool:
        """Whether the attribute tells the class clearly better than naming the largest one."""
        if self.accuracy is None:
            return False
        error = np.sqrt(self.majority * (1 - self.majority) / self.images)
        return self.accuracy - self.majority > max(_GAIN, _SIGMAS * float(error))


@dataclass(frozen=True)
class Brightness:
    """A class's mean gray level and the spread of its images' means, before and after homogenisation."""

    label: str
    mean: float
    spread: float
    mean_after: float
    spread_after: float


FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WebP")
# Each attribute as numbers for one image; None where it has none.
ATTRIBUTES: dict[str, Callable[[ImageStatistics], tuple[float, ...] | None]] = {
    "file format": lambda look: tuple(float(look.format == name) for name in FORMATS),
    "image size": lambda look: (look.height, look.width),
    "JPEG quality": lambda look: None if look.quality is None else (look.quality,),
    "bytes per pixel": lambda look: (look.bytes_per_pixel,),
    "brightness": lambda look: (look.brightness,),
    "contrast": lambda look: (look.contrast,),
}


def find_shortcuts(looks: Sequence[ImageStatistics], groups: Sequence[int], seed: int = 0) -> list[Shortcut]:
    """Try each of `ATTRIBUTES` as a predictor of the class.

    Args:
        looks: one for each image.
        groups: images of one group stay in one fold, so that copies do not count as prediction.
        seed: of the folds.
    """
    facts = {"file format": format_facts(looks), "image size": _size_facts(looks)}
    found = []
    for name, describe in ATTRIBUTES.items():
        rows = [
            (value, look.label, group) for look, group in zip(looks, groups, strict=True) if (value := describe(look))
        ]
        if rows:
            values, labels, own = (np.array(column) for column in zip(*rows, strict=True))
            majority = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
            accuracy = tree_accuracy(values, labels, own, seed)
            found.append(Shortcut(name, accuracy, majority, len(rows), tuple(facts.get(name, ()))))
    return found


def tree_accuracy(
    values: NDArray[np.float64], labels: NDArray[np.str_], groups: NDArray[np.int64], seed: int = 0
) -> float | None:
    """Cross-validated accuracy of a decision tree of depth 3, float [N, D] to labels; None if it cannot be had."""
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.tree import DecisionTreeClassifier

    fewest = min(len(np.unique(groups[labels == label])) for label in np.unique(labels))
    folds = min(FOLDS, fewest)
    if folds < 2 or len(np.unique(labels)) < 2 or np.ptp(values, axis=0).max() == 0:
        return None
    predicted = np.empty_like(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(values, labels, groups):
            tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=3, random_state=seed)
            predicted[test] = tree.fit(values[train], labels[train]).predict(values[test])
    return float((predicted == labels).mean())


def format_facts(looks: Sequence[ImageStatistics]) -> list[str]:
    """Sentences on formats that only some classes have."""
    return _facts(looks, lambda look: look.format, lambda value: value)


def _size_facts(looks: Sequence[ImageStatistics]) -> list[str]:
    return _facts(looks, lambda look: f"{look.width} x {look.height}", lambda value: f"Size {value}")


def _facts(
    looks: Sequence[ImageStatistics], value: Callable[[ImageStatistics], str], name: Callable[[str], str]
) -> list[str]:
    sizes = Counter(look.label for look in looks)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for look in looks:
        found[value(look)][look.label] += 1
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


def brightness_by_class(looks: Sequence[ImageStatistics]) -> list[Brightness]:
    """Mean brightness of each class as it is, and with each image moved to the set's mean and clipped to 0..255."""
    target = float(np.mean([look.brightness for look in looks]))
    before, after = defaultdict(list), defaultdict(list)
    for look in looks:
        moved = np.clip(np.arange(256) - look.brightness + target, 0, 255)
        before[look.label].append(look.brightness)
        after[look.label].append(float(look.levels @ moved / look.levels.sum()))
    return [
        Brightness(label, *_mean_and_spread(before[label]), *_mean_and_spread(after[label])) for label in sorted(before)
    ]


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))
