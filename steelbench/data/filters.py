"""What is taken out of a data set after its layout was read: other files, masks, small classes; labels are joined."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable

from steelbench.data.label_names import count_labels, join_labels
from steelbench.data.masks import REASON as MASK
from steelbench.data.masks import find_masks
from steelbench.data.other_files import other_files
from steelbench.data.samples import Dataset, LeftOut
from steelbench.data.small_classes import small_classes, small_reason
from steelbench.experiment import DataOptions


def filter_dataset(found: Dataset, options: DataOptions, *, listed: bool) -> Dataset:
    """Return a data set without masks and, on request, without small classes and with joined labels.

    Args:
        found: what a layout read.
        options: `keep_masks`, `join_labels` and `drop_small` are used.
        listed: whether a table names each image, so that the files beside them mean nothing.
    """
    dataset = found if listed else leave_out(found, other_files(found))
    if not options.keep_masks:
        masks = find_masks(dataset.root, dataset.samples, listed=listed)
        dataset = _without(dataset, masks, MASK)
    if options.join_labels:
        dataset = dataclasses.replace(dataset, samples=join_labels(dataset.samples))
    if options.drop_small is None:
        return dataset
    small = small_classes(count_labels(dataset.samples), options.drop_small)
    paths = {sample.path for sample in dataset.samples if sample.label in small}
    # A class folder without an image is the smallest class.
    return dataclasses.replace(_without(dataset, paths, small_reason(options.drop_small)), empty=())


def leave_out(dataset: Dataset, files: Iterable[LeftOut]) -> Dataset:
    """Return a data set that counts more files that are not used."""
    named = tuple(files)
    counts = Counter(dataset.left_out) + Counter(file.reason for file in named)
    return dataclasses.replace(dataset, left_out=dict(counts), passed_over=(*dataset.passed_over, *named))


def _without(dataset: Dataset, paths: Collection[str], reason: str) -> Dataset:
    """Return a data set without some samples, which are counted under a reason."""
    rest = tuple(sample for sample in dataset.samples if sample.path not in paths)
    return leave_out(dataclasses.replace(dataset, samples=rest), (LeftOut(path, reason) for path in sorted(paths)))
