"""The splits of a run: groups from what images share, one split for each seed and fold, and what still leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelbench.data.groups import Pair, group_numbers
from steelbench.data.inspection import Inspection
from steelbench.data.leakage import split_leakage
from steelbench.data.splits import Indices, Split, make_splits, refuse_impossible
from steelbench.experiment import RunOptions


@dataclass(frozen=True)
class SplitPlan:
    """The splits by seed and fold.

    Attributes:
        splits: by (seed, fold).
        groups: number of groups that stay on one side; with random splits every image is one.
        leaking: largest share, over the splits, of test images that share pixels or a group with a training image.
            0 unless the data brings its own split, or the user asked for a random one.
        group_of: int64 [N], images that share something, directly or along a chain, have one number.
        naive: a random split that ignores what images share; None where that changes nothing.
        naive_leaking: share of its test images that leak.
    """

    splits: dict[tuple[int, int], Split]
    groups: int
    leaking: float
    group_of: Indices
    naive: Split | None = None
    naive_leaking: float = 0.0


def refuse_early(options: RunOptions, inspection: Inspection) -> None:
    """Find mistakes before the audit, which takes its time: what it ties together only makes fewer groups.

    Raises:
        SteelbenchError: as `refuse_impossible` does.
    """
    labels = labels_of(inspection)
    groups = group_numbers(_keys(inspection)) if options.split == "grouped" else np.arange(len(labels))
    fixed = [image.sample.split for image in inspection.images]
    refuse_impossible(labels, groups, fixed, options.folds, inspection.classes)


def labels_of(inspection: Inspection) -> Indices:
    """The class number of each image, int64 [N]."""
    number = {name: index for index, name in enumerate(inspection.classes)}
    return np.array([number[image.sample.label] for image in inspection.images], np.int64)


def _keys(inspection: Inspection) -> list[list[str]]:
    """What ties images together without a look at their pixels: equal pixels and a group column."""
    return [
        [f"pixels {image.pixels_digest}", *([f"group {image.sample.group}"] if image.sample.group else [])]
        for image in inspection.images
    ]


def divide(options: RunOptions, inspection: Inspection, pairs: Sequence[Pair] = ()) -> SplitPlan:
    """Draw every split.

    Args:
        options: kind of split, folds, seeds.
        inspection: the images.
        pairs: files that share pixels, as the audit found them.

    Raises:
        SteelbenchError: as `make_splits` does.
    """
    labels, keys = labels_of(inspection), _keys(inspection)
    place = {image.sample.path: row for row, image in enumerate(inspection.images)}
    links = np.array([(place[pair.file_a], place[pair.file_b]) for pair in pairs], np.int64).reshape(-1, 2)
    tied = group_numbers(keys)
    for link, ends in enumerate(links):
        for row in ends:
            keys[row].append(f"pair {link}")
    shared, single = group_numbers(keys), np.arange(len(labels))
    fixed = [image.sample.split for image in inspection.images]

    def draw(groups: Indices, seed: int) -> list[Split]:
        return make_splits(labels, groups, fixed, folds=options.folds, seed=seed, classes=inspection.classes)

    groups = shared if options.split == "grouped" else single
    splits = {
        (seed, fold): split for seed in range(options.seeds) for fold, split in enumerate(draw(groups, seed))
    }  # fmt: skip
    tells = options.split == "grouped" and shared.max() + 1 < len(labels) and not any(fixed)
    naive = draw(single, 0)[0] if tells else None
    return SplitPlan(
        splits,
        int(groups.max()) + 1,
        max(split_leakage(split, tied, links) for split in splits.values()),
        shared,
        naive,
        split_leakage(naive, tied, links) if naive else 0.0,
    )
