"""The splits of a run: one for each seed and fold, drawn by groups, with the share of test images that leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelbench.arrays import Groups
from steelbench.data.groups import Pair, group_numbers, image_keys, pair_links
from steelbench.data.inspection import Inspection
from steelbench.data.leakage import split_leakage
from steelbench.data.splits import Split, make_splits, refuse_impossible
from steelbench.experiment import RunOptions


@dataclass(frozen=True)
class SplitPlan:
    """The splits of all seeds and folds.

    Attributes:
        splits: by (seed, fold).
        groups: number of groups that stay on one side; with random splits every image is one.
        leaking: largest `split_leakage` of the splits, 0..1; 0 unless the data brings its own split, or the user
            asked for a random one.
        group_of: int64 [N], images that share something, directly or along a chain, have one number.
        naive: a random split that ignores what images share; None where that changes nothing.
        naive_leaking: `split_leakage` of the naive split, 0..1.
        own: whether the data brings the split.
        leaking_files: test images of which a training image shares the group; to train on them, too, ends the leak.
    """

    splits: dict[tuple[int, int], Split]
    groups: int
    leaking: float
    group_of: Groups
    naive: Split | None = None
    naive_leaking: float = 0.0
    own: bool = False
    leaking_files: tuple[str, ...] = ()


def refuse_early(options: RunOptions, inspection: Inspection) -> None:
    """Refuse impossible splits before the audit, which takes its time: pairs that it finds only make fewer groups.

    Raises:
        SteelbenchError: as `refuse_impossible` does.
    """
    labels, keys = inspection.labels, image_keys(inspection.images)
    groups = np.arange(len(labels)) if options.split == "random" else group_numbers(keys)
    refuse_impossible(labels, groups, _given_parts(options, inspection), options.folds, inspection.classes)


def plan_splits(options: RunOptions, inspection: Inspection, pairs: Sequence[Pair] = ()) -> SplitPlan:
    """Draw every split, and measure how much each leaks.

    Args:
        options: kind of split, folds, seeds.
        inspection: the images.
        pairs: files that share pixels, as the audit found them.

    Raises:
        SteelbenchError: as `make_splits` does.
    """
    labels, keys, given = inspection.labels, image_keys(inspection.images), _given_parts(options, inspection)
    links = pair_links((image.sample.path for image in inspection.images), pairs)
    tied, shared, single = group_numbers(keys), group_numbers(keys, links), np.arange(len(labels))
    groups = single if options.split == "random" else shared

    def draw(groups: Groups, seed: int) -> list[Split]:
        return make_splits(labels, groups, given, folds=options.folds, seed=seed, classes=inspection.classes)

    splits = {(seed, fold): split for seed in range(options.seeds) for fold, split in enumerate(draw(groups, seed))}
    grouping_matters = options.split != "random" and shared.max() + 1 < len(labels) and not any(given)
    naive = draw(single, 0)[0] if grouping_matters else None
    worst = max(splits.values(), key=lambda split: split_leakage(split, tied, links))
    torn = worst.test[np.isin(shared[worst.test], shared[worst.train])]
    return SplitPlan(
        splits=splits,
        groups=int(groups.max()) + 1,
        leaking=split_leakage(worst, tied, links),
        group_of=shared,
        naive=naive,
        naive_leaking=split_leakage(naive, tied, links) if naive else 0.0,
        own=any(given),
        leaking_files=tuple(inspection.images[row].sample.path for row in torn),
    )


def count_groups(inspection: Inspection, pairs: Sequence[Pair]) -> dict[str, int]:
    """Return the number of groups that each class has an image in.

    Args:
        inspection: the images.
        pairs: files that share pixels, as the audit found them.
    """
    links = pair_links((image.sample.path for image in inspection.images), pairs)
    numbers = group_numbers(image_keys(inspection.images), links).tolist()
    found = {(image.sample.label, number) for image, number in zip(inspection.images, numbers, strict=True)}
    return dict(Counter(label for label, _ in found))


def _given_parts(options: RunOptions, inspection: Inspection) -> list[str]:
    """The part that the data itself puts each image into, "" where it says nothing or is not asked."""
    if options.split == "regroup":
        return [""] * len(inspection.images)
    return [image.sample.split for image in inspection.images]
