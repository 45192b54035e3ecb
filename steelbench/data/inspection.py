"""Inspection of a data set: every image decoded once before training; digests, unreadable files, too small classes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steelbench.arrays import RowIndices
from steelbench.data.images import Decoded, UnreadableImageError, open_image
from steelbench.data.label_names import spellings
from steelbench.data.masks import REASON as MASK
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Dataset, LeftOut, Sample
from steelbench.data.small_classes import small_classes, small_reason
from steelbench.errors import SteelbenchError
from steelbench.notices import notice
from steelbench.records import Notice

MAX_UNREADABLE = 0.05
MIN_PER_CLASS = 3
SHOWN_NAMES = 3


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
        several: whether the file holds more pages or frames, which are not read.
    """

    sample: Sample
    bytes_digest: str
    pixels_digest: str
    height: int
    width: int
    bits: int
    largest: int
    several: bool = False


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
        notices: sentences for the reader.
        left_out: readable ones of classes that turned out to be too small.
    """

    images: tuple[Inspected, ...]
    skipped: tuple[Skipped, ...]
    classes: tuple[str, ...]
    digest: str
    notices: tuple[Notice, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

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
    dataset: Dataset,
    bit_depth: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
    drop_small: int | None = None,
) -> Inspection:
    """Decode every image once and check that the set can be learned from.

    Args:
        dataset: what a reader found.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the number of images done.
        drop_small: classes with fewer readable images are left out; None refuses those of fewer than 3.

    Raises:
        SteelbenchError: more than 5 % unreadable, one class only, or a class with fewer than 3 images.
    """
    if not dataset.samples:
        raise SteelbenchError(
            f"{dataset.root} holds no labelled images; expected files ending in .bmp .jpg .png .tif or .webp "
            f"in one folder for each class.{_told(dataset.left_out)}"
        )
    images, skipped = inspect_samples(dataset.root, dataset.samples, bit_depth, progress)
    refuse_unreadable(skipped, len(dataset.samples))
    counts = Counter({sample.label: 0 for sample in dataset.samples} | dict.fromkeys(dataset.empty, 0))
    counts.update(image.sample.label for image in images)
    small = small_classes(counts, drop_small)
    everything = _inspection(images, tuple(skipped), bit_depth)
    found = without_classes(everything, small, small_reason(drop_small), bit_depth)
    refuse_classes(dataset, found, {name: count for name, count in counts.items() if name not in small})
    return replace(found, notices=(*dataset.notices, *found.notices))


def without_classes(found: Inspection, names: Collection[str], reason: str, bit_depth: int | None) -> Inspection:
    """Return an inspection without the images of some classes, which are listed under a reason."""
    if not names:
        return found
    rest = [image for image in found.images if image.sample.label not in names]
    gone = [LeftOut(image.sample.path, reason) for image in found.images if image.sample.label in names]
    return replace(_inspection(rest, found.skipped, bit_depth), left_out=(*found.left_out, *gone))


def left_out_counts(dataset: Dataset, inspection: Inspection) -> dict[str, int]:
    """Return the number of files that are not used, by reason: those of the reader and of the inspection."""
    return dict(Counter(dataset.left_out) + Counter(file.reason for file in inspection.left_out))


def _inspection(images: Sequence[Inspected], skipped: tuple[Skipped, ...], bit_depth: int | None) -> Inspection:
    classes = tuple(sorted({image.sample.label for image in images}))
    notices = tuple(_notices(images, bit_depth))
    return Inspection(tuple(images), skipped, classes, _digest(images, bit_depth), notices)


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
    return inspected(sample, opened.digest, image)


def inspected(sample: Sample, bytes_digest: str, image: Decoded) -> Inspected:
    """Return what is known of a decoded image.

    Args:
        sample: its path and label.
        bytes_digest: of its file.
        image: its pixels.
    """
    height, width = image.pixels.shape[:2]
    # The shape counts: a row of pixels is not its column.
    pixels = hashlib.sha256(f"{height} {width} ".encode())
    pixels.update(np.ascontiguousarray(image.pixels).data)
    return Inspected(sample, bytes_digest, pixels.hexdigest(), height, width, image.bits, image.largest, image.several)


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


def refuse_classes(dataset: Dataset, found: Inspection, counts: Mapping[str, int]) -> None:
    """Refuse a class of fewer than 3 images, and a set of one class.

    Args:
        dataset: what a reader found.
        found: what the inspection made of it.
        counts: readable images of each class, 0 for one that has none.

    Raises:
        SteelbenchError: with the options that may mend it.
    """
    left_out = left_out_counts(dataset, found)
    for name in sorted(counts):
        if counts[name] < MIN_PER_CLASS:
            raise SteelbenchError(
                f"class '{name}' has {counts[name]} readable image{'' if counts[name] == 1 else 's'}; at least "
                f"{MIN_PER_CLASS} are needed (training, validation, test). Add images, or leave out such classes with "
                f"--drop-small {MIN_PER_CLASS}.{_hints(left_out, counts, name)}"
            )
    if not counts:
        raise SteelbenchError(f"{dataset.root} holds no class that is large enough.{_told(left_out)}")
    if len(counts) < 2:
        raise SteelbenchError(
            f"{dataset.root} holds one class only ('{next(iter(counts))}'); at least two are needed to compare. "
            f"Expected one folder for each class.{_told(left_out)}"
        )


def _hints(left_out: Mapping[str, int], counts: Mapping[str, int], name: str) -> str:
    """Return sentences on what else may be the cause of a class that is too small."""
    alike = next((labels for labels in spellings(counts) if name in labels), [])
    others = ", ".join([f"'{label}'" for label in alike if label != name][:SHOWN_NAMES])
    joined = f" --join-labels joins it with {others}." if others else ""
    return joined + (_told({MASK: left_out[MASK]}) if MASK in left_out else "")


def _told(left_out: Mapping[str, int]) -> str:
    counts = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES]
    return f" Left out: {'; '.join(f'{count} {reason}' for reason, count in counts)}." if counts else ""


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
    several = [image.sample.path for image in images if image.several]
    if several:
        yield notice("SB106", count=len(several), path=several[0])
    yield from _label_notices(images)


def _label_notices(images: Sequence[Inspected]) -> Iterator[Notice]:
    """Yield notices on spellings of one name, and on pictures under two labels."""
    counts = Counter(image.sample.label for image in images)
    alike = spellings(counts)
    if alike:
        names = [" and ".join(f"'{label}' ({counts[label]})" for label in labels[:SHOWN_NAMES]) for labels in alike]
        yield notice("SB110", names=_first(names))
    pictures: dict[str, dict[str, str]] = {}
    for image in images:
        pictures.setdefault(image.pixels_digest, {}).setdefault(image.sample.label, image.sample.path)
    double = [files for files in pictures.values() if len(files) > 1]
    if double:
        names = [
            " and ".join(f"{path} ('{label}')" for label, path in list(files.items())[:SHOWN_NAMES]) for files in double
        ]
        what = "picture (equal pixels) stands" if len(double) == 1 else "pictures (equal pixels) stand"
        yield notice("SB111", count=len(double), pictures=what, names=_first(names))


def _first(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return "; ".join(names[:SHOWN_NAMES]) + (f"; and {more} more" if more > 0 else "")
