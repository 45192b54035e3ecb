"""Every image decoded once before anything is trained: which can be used, what is in it, what is wrong with the set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from steelbench.data.images import UnreadableImageError, decode, read_bytes
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Dataset, Sample
from steelbench.errors import SteelbenchError
from steelbench.notices import notice
from steelbench.records import Notice

MAX_UNREADABLE = 0.05
MIN_PER_CLASS = 3


@dataclass(frozen=True)
class Inspected:
    """A usable image: sha256 of its bytes and of its decoded pixels, and what its file said."""

    sample: Sample
    bytes_digest: str
    pixels_digest: str
    height: int
    width: int
    bits: int
    largest: int


@dataclass(frozen=True)
class Inspection:
    """The usable images, sorted by path; the skipped ones with their reasons; the digest of all labels and bytes."""

    images: tuple[Inspected, ...]
    skipped: tuple[tuple[str, str], ...]
    classes: tuple[str, ...]
    digest: str
    notices: tuple[Notice, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        found = Counter(image.sample.label for image in self.images)
        return {name: found[name] for name in self.classes}


def inspect_sample(root: Path, sample: Sample, bit_depth: int | None) -> Inspected | tuple[str, str]:
    """Decode one image; a pair (path, reason) if it cannot be used."""
    try:
        data = read_bytes(root / sample.path)
        image = decode(data, bit_depth)
    except UnreadableImageError as error:
        return sample.path, str(error)
    height, width = image.pixels.shape[:2]
    pixels = hashlib.sha256(f"{height} {width} ".encode() + image.pixels.tobytes()).hexdigest()
    return Inspected(sample, hashlib.sha256(data).hexdigest(), pixels, height, width, image.bits, image.largest)


def inspect_dataset(
    dataset: Dataset, bit_depth: int | None = None, progress: Callable[[int], None] = lambda done: None
) -> Inspection:
    """Decode every image once and check that the set can be learned from.

    Raises:
        SteelbenchError: more than 5 % unreadable, one class only, or a class with fewer than 3 images.
    """
    if not dataset.samples:
        raise SteelbenchError(
            f"{dataset.root} holds no labelled images; expected files ending in .bmp .jpg .png .tif or .webp "
            "in one folder for each class."
        )
    images: list[Inspected] = []
    skipped: list[tuple[str, str]] = []
    results = ordered_map(lambda sample: inspect_sample(dataset.root, sample, bit_depth), dataset.samples)
    for done, result in enumerate(results, start=1):
        if isinstance(result, Inspected):
            images.append(result)
        else:
            skipped.append(result)
        progress(done)
    _refuse_unreadable(dataset, skipped)
    counts = Counter(image.sample.label for image in images)
    _refuse_classes(dataset, counts)
    digest = hashlib.sha256()
    for image in images:
        s = image.sample
        digest.update("\0".join((s.path, s.label, s.split, s.group, image.bytes_digest)).encode() + b"\n")
    digest.update(str(bit_depth).encode())
    return Inspection(
        tuple(images), tuple(skipped), tuple(sorted(counts)), digest.hexdigest(), tuple(_notices(images, bit_depth))
    )


def _refuse_unreadable(dataset: Dataset, skipped: list[tuple[str, str]]) -> None:
    share = len(skipped) / len(dataset.samples)
    if share > MAX_UNREADABLE:
        path, reason = skipped[0]
        raise SteelbenchError(
            f"{len(skipped)} of {len(dataset.samples)} images ({share:.0%}) cannot be read, at most "
            f"{MAX_UNREADABLE:.0%} may; the first is {path}: {reason}. Repair or remove them and run again."
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


def _notices(images: list[Inspected], bit_depth: int | None) -> Iterator[Notice]:
    deep = [image for image in images if image.bits == 16]
    if deep and bit_depth is None and max(image.largest for image in deep) <= 4095:
        yield notice("SB102", count=len(deep))
