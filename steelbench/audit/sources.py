"""The images that crops were cut out of: shared pixels are searched between them; places that two labels claim."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.data.crops import source_path, split_address
from steelbench.data.groups import Kind, Pair
from steelbench.data.inspection import Inspected, inspect_samples
from steelbench.data.samples import Sample

# Two boxes are of one place if they share this much of the area that either of them covers.
ONE_PLACE = 0.7


def source_images(
    root: Path,
    images: Sequence[Inspected],
    bit_depth: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Inspected]:
    """Return each image once: whole images as they are, in place of crops the images that they were cut out of.

    A crop is too small for the search for shared pixels, and what two crops do not share their images may.

    Args:
        root: folder that relative paths start from.
        images: whole images and crops.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the number of images read and their total.

    Returns:
        In the order of first appearance. The label of a crop's image is those of its crops, one a line.
    """
    labels = source_labels(images)
    whole = {image.sample.path: image for image in images if split_address(image.sample.path)[1] is None}
    wanted = [Sample(file, "\n".join(sorted(found))) for file, found in labels.items() if file not in whole]
    read, _ = inspect_samples(root, wanted, bit_depth, lambda done: progress(done, len(wanted)))
    known = whole | {image.sample.path: image for image in read}
    return [known[file] for file in labels if file in known]


def source_labels(images: Sequence[Inspected]) -> dict[str, set[str]]:
    """Return the labels of each image file: its own, or those of its crops."""
    labels: dict[str, set[str]] = defaultdict(set)
    for image in images:
        labels[source_path(image.sample.path)].add(image.sample.label)
    return dict(labels)


def with_crops(pairs: Sequence[Pair], images: Sequence[Inspected]) -> list[Pair]:
    """Return the pairs of image files for a set of crops.

    Two files have the same label if a crop of each has. Pairs of crops are added that show one place, in one file or
    in two files of the same picture, under two labels.

    Args:
        pairs: of the files.
        images: the samples, whole images or crops.
    """
    crops: dict[str, list[Inspected]] = defaultdict(list)
    for image in images:
        source, crop = split_address(image.sample.path)
        if crop:
            crops[source].append(image)
    if not crops:
        return list(pairs)
    labels = source_labels(images)
    told = [_relabelled(pair, labels) for pair in pairs]
    same_picture = [(pair.file_a, pair.file_b) for pair in pairs if pair.kind in ("exact", "near")]
    together = [(file, file) for file in crops] + same_picture
    return sorted([*told, *(pair for a, b in together for pair in _conflicts(crops.get(a, []), crops.get(b, [])))])


def _relabelled(pair: Pair, labels: Mapping[str, set[str]]) -> Pair:
    return dataclasses.replace(pair, same_label=bool(labels[pair.file_a] & labels[pair.file_b]))


def _conflicts(first: Sequence[Inspected], second: Sequence[Inspected]) -> Iterator[Pair]:
    """Pairs of crops of one place with two labels, each once."""
    if len({image.sample.label for image in (*first, *second)}) < 2:
        return
    shared = _overlap(_rectangles(first), _rectangles(second))
    for i, j in np.argwhere(shared >= ONE_PLACE).tolist():
        a, b = sorted((first[i], second[j]), key=lambda image: image.sample.path)
        if a.sample.label != b.sample.label and (first is not second or i < j):
            kind: Kind = "exact" if a.pixels_digest == b.pixels_digest else "near"
            yield Pair(a.sample.path, b.sample.path, kind, round(float(shared[i, j]), 4), 0, 0, False)


def _rectangles(images: Sequence[Inspected]) -> NDArray[np.float64]:
    """Left, top, right, bottom of each crop, float64 [N, 4]."""
    crops = [crop for image in images if (crop := split_address(image.sample.path)[1])]
    corners = [(crop.x, crop.y, crop.x + crop.width, crop.y + crop.height) for crop in crops]
    return np.array(corners, np.float64).reshape(-1, 4)


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of all rectangles of `a` with all of `b`, float64 [N, M]."""
    start, end = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.clip(end - start, 0, None).prod(axis=2)
    area_a, area_b = (np.prod(r[:, 2:] - r[:, :2], axis=1) for r in (a, b))
    return np.asarray(both / (area_a[:, None] + area_b[None, :] - both))
