"""Inspection of a data set: every image decoded once before training; digests, unreadable files, too small classes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steelbench.arrays import RowIndices
from steelbench.data.images import UnreadableImageError, open_image
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Dataset, Sample
from steelbench.errors import SteelbenchError
from steelbench.notices import notice
from steelbench.records import Notice

MAX_UNREADABLE = 0.05
MIN_PER_CLASS = 3


@dataclass(frozen=True)
class Inspected:
    """A usable image, or a crop of one.

    Attributes:
        sample: its path, label, split and group.
        bytes_digest: sha256 of the file's bytes; of a crop, of those and its rectangle.
        pixels_digest: sha256 of the decoded pixels and their shape.
        height: of the image, pixels.
        width: of the image, pixels.
        bits: of a value as the file stores it, 8 or 16.
        largest: value as the file stores it.
    """

    sample: Sample
    bytes_digest: str
    pixels_digest: str
    height: int
    width: int
    bits: int
    largest: int


class Skipped(NamedTuple):
    """An image that cannot be used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """The images of a data set, decoded once.

    Attributes:
        images: usable ones, sorted by path.
        skipped: unreadable ones.
        classes: names of the classes that have a usable image, sorted.
        digest: sha256 of all paths, labels, splits, groups and bytes, and of the bit depth.
        warnings: sentences for the reader.
    """

    images: tuple[Inspected, ...]
    skipped: tuple[Skipped, ...]
    classes: tuple[str, ...]
    digest: str
    notices: tuple[Notice, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        found = Counter(image.sample.label for image in self.images)
        return {name: found[name] for name in self.classes}

    @property
    def labels(self) -> RowIndices:
        """Class number of each image, a place in `classes`: int64 [N]."""
        number = {name: index for index, name in enumerate(self.classes)}
        return np.array([number[image.sample.label] for image in self.images], np.int64)


def inspect_dataset(
    dataset: Dataset, bit_depth: int | None = None, progress: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Decode every image once and check that the set can be learned from.

    Args:
        dataset: what a reader found.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the number of images done.

    Raises:
        SteelbenchError: more than 5 % unreadable, one class only, or a class with fewer than 3 images.
    """
    if not dataset.samples:
        raise SteelbenchError(
            f"{dataset.root} holds no labelled images; expected files ending in .bmp .jpg .png .tif or .webp "
            "in one folder for each class."
        )
    images, skipped = inspect_samples(dataset.root, dataset.samples, bit_depth, progress)
    refuse_unreadable(skipped, len(dataset.samples))
    counts = Counter(image.sample.label for image in images)
    _refuse_classes(dataset, counts)
    return Inspection(
        tuple(images),
        tuple(skipped),
        tuple(sorted(counts)),
        _digest(images, bit_depth),
        (*dataset.notices, *_notices(images, bit_depth)),
    )


def inspect_samples(
    root: Path, samples: Sequence[Sample], bit_depth: int | None, progress: Callable[[int], None] = lambda done: None
) -> tuple[list[Inspected], list[Skipped]]:
    """Decode and digest every image, in order.

    Args:
        root: folder that relative paths of the samples start from.
        samples: images, labelled or not.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the number of images done.

    Returns:
        The usable images and the unreadable ones.
    """
    images: list[Inspected] = []
    skipped: list[Skipped] = []
    results = ordered_map(lambda sample: _inspect(root, sample, bit_depth), samples)
    for done, result in enumerate(results, start=1):
        if isinstance(result, Inspected):
            images.append(result)
        else:
            skipped.append(result)
        progress(done)
    return images, skipped


def _inspect(root: Path, sample: Sample, bit_depth: int | None) -> Inspected | Skipped:
    try:
        opened = open_image(root / sample.path, bit_depth)
    except UnreadableImageError as error:
        return Skipped(sample.path, str(error))
    image = opened.image
    height, width = image.pixels.shape[:2]
    # The shape counts: a row of pixels is not its column.
    pixels = hashlib.sha256(f"{height} {width} ".encode() + image.pixels.tobytes()).hexdigest()
    return Inspected(sample, opened.digest, pixels, height, width, image.bits, image.largest)


def refuse_unreadable(skipped: Sequence[Skipped], total: int, where: str = "") -> None:
    """Refuse a set with too many unreadable images.

    Args:
        skipped: the unreadable images.
        total: number of all images.
        where: begins the message, such as `--unlabelled DIR: `.

    Raises:
        SteelbenchError: if they are more than `MAX_UNREADABLE` of all.
    """
    share = len(skipped) / total
    if share > MAX_UNREADABLE:
        raise SteelbenchError(
            f"{where}{len(skipped)} of {total} images ({share:.0%}) cannot be read, at most {MAX_UNREADABLE:.0%} may; "
            f"the first is {skipped[0].path}: {skipped[0].reason}. Repair or remove them and run again."
        )


def _refuse_classes(dataset: Dataset, counts: Counter[str]) -> None:
    for name in sorted({*dataset.empty, *(sample.label for sample in dataset.samples)}):
        if counts[name] < MIN_PER_CLASS:
            raise SteelbenchError(
                f"class '{name}' has {counts[name]} readable image{'' if counts[name] == 1 else 's'}; at least "
                f"{MIN_PER_CLASS} are needed (training, validation, test). Add images or remove the class."
            )
    if len(counts) < 2:
        raise SteelbenchError(
            f"{dataset.root} holds one class only ('{next(iter(counts))}'); at least two are needed to compare. "
            "Expected one folder for each class."
        )


def _digest(images: Sequence[Inspected], bit_depth: int | None) -> str:
    digest = hashlib.sha256()
    for image in images:
        s = image.sample
        digest.update("\0".join((s.path, s.label, s.split, s.group, image.bytes_digest)).encode() + b"\n")
    digest.update(str(bit_depth).encode())
    return digest.hexdigest()


def _notices(images: Sequence[Inspected], bit_depth: int | None) -> Iterator[Notice]:
    deep = [image for image in images if image.bits == 16]
    if deep and bit_depth is None and max(image.largest for image in deep) <= 4095:
        yield notice("SB102", count=len(deep))
