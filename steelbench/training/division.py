"""The splits of a run: groups from what images share, one split for each seed and fold, and what still leaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelbench.data.inspection import Inspection
from steelbench.data.splits import Indices, Split, group_numbers, make_splits
from steelbench.experiment import RunOptions


@dataclass(frozen=True)
class Division:
    """The splits by seed and fold.

    Attributes:
        splits: by (seed, fold).
        groups: number of groups that stay on one side; with random splits every image is one.
        leaking: largest share, over the splits, of test images of which the training images hold a copy or another
            image of the same group. 0 unless the data brings its own split, or the user asked for a random one.
    """

    splits: dict[tuple[int, int], Split]
    groups: int
    leaking: float


def divide(options: RunOptions, inspection: Inspection) -> Division:
    """Draw every split.

    Raises:
        SteelbenchError: as `make_splits` does.
    """
    number = {name: index for index, name in enumerate(inspection.classes)}
    labels = np.array([number[image.sample.label] for image in inspection.images], np.int64)
    # A group column and equal pixels tie images together.
    keys = [
        [f"pixels {image.pixels_digest}", *([f"group {image.sample.group}"] if image.sample.group else [])]
        for image in inspection.images
    ]
    shared = group_numbers(keys)
    groups = shared if options.split == "grouped" else np.arange(len(labels))
    fixed = [image.sample.split for image in inspection.images]
    splits = {
        (seed, fold): split
        for seed in range(options.seeds)
        for fold, split in enumerate(
            make_splits(labels, groups, fixed, folds=options.folds, seed=seed, classes=inspection.classes)
        )
    }
    leaking = max(leaking_share(split, shared) for split in splits.values())
    return Division(splits, int(groups.max()) + 1, leaking)


def leaking_share(split: Split, groups: Indices) -> float:
    """Share of the test images whose group has an image in training, 0..1."""
    return float(np.isin(groups[split.test], groups[split.train]).mean())
