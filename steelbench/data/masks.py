"""Masks among the samples: pictures of few gray values that mark where the defect is in another picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from steelbench.data.crops import split_address
from steelbench.data.images import UnreadableImageError, decode, read_bytes
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Sample, split_suffix

REASON = "looks like a mask (--keep-masks keeps it)"
FOLDERS = frozenset(
    {
        "annotation", "annotations", "ground-truth", "ground truth", "ground_truth", "groundtruth", "gt", "label",
        "labels", "mask", "masks", "segmentation", "segmentations",
    }
)  # fmt: skip
# `kos01/Part0_label.bmp`, `10000_GT.png`, `000_mask.png`: the picture of the same name lies beside it.
ENDING = re.compile(r"(.+)[_\-. ](?:mask|masks|label|labels|gt|groundtruth|ground_truth|seg|segmentation)", re.I)
LOSSLESS = frozenset({".bmp", ".gif", ".pgm", ".png", ".tif", ".tiff", ".webp"})
# Pictures of a class and extension that are decoded before the rest is judged like them; where there are more classes
# than this, so many of an extension.
SAMPLED, SAMPLED_OF_ALL, MANY_KINDS = 4, 16, 16
# A file so many times larger or smaller than the sampled ones is decoded by itself.
UNLIKE = 4
FEW_VALUES = 16
Item = TypeVar("Item")


@dataclass(frozen=True)
class GrayValues:
    """What of a picture's values tells whether it is a mask.

    Attributes:
        distinct: number of values that occur in the channel with the most.
        pixels: of the picture.
        polar: whether nearly all are black or white, as of a mask that was saved as JPEG.
    """

    distinct: int
    pixels: int
    polar: bool

    @property
    def few(self) -> bool:
        """Whether there are few values for so many pixels: a picture of 16 pixels cannot have more than 16."""
        return self.polar or self.distinct <= max(2, min(FEW_VALUES, self.pixels // 64))


@dataclass(frozen=True)
class Candidate:
    """A picture that its name or place makes a possible mask, and the pictures that it would be the mask of."""

    path: str
    partners: tuple[str, ...] = ()


def find_masks(root: Path, samples: Sequence[Sample], *, listed: bool = False) -> frozenset[str]:
    """Return the paths of the samples that look like masks.

    Evidence is a picture of the same name beside it (`a.jpg` and `a.png`, `a.png` and `a_mask.png`) or a folder
    called `masks`; then few gray values are enough, and of each kind of file in a class some are decoded for all.
    Without it a picture must have exactly two values, and such pictures must be a minority of their class: a class,
    or a data set, of binarised images is kept.

    Args:
        root: the data folder.
        samples: the images; crops of images are never masks.
        listed: whether a table names each image; only evidence counts then.

    Returns:
        Paths as in the samples; empty if nothing else would remain.
    """
    label_of = {sample.path: sample.label for sample in samples if split_address(sample.path)[1] is None}
    look = _Look(root)
    found = _with_partner(label_of, look)
    found |= _in_mask_folder({path: label for path, label in label_of.items() if path not in found}, look)
    if not listed:
        found |= _strays({path: label for path, label in label_of.items() if path not in found}, look)
    return frozenset(found) if len(found) < len(label_of) else frozenset()


class _Look:
    """The gray values and sizes of files, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, GrayValues | None] = {}

    def read(self, paths: Iterable[str]) -> None:
        """Decode files in threads."""
        new = sorted({path for path in paths if path not in self.known})
        self.known.update(zip(new, ordered_map(lambda path: gray_values(self.root / path), new), strict=True))

    def few(self, path: str) -> bool:
        """Return whether a file has few gray values; an unreadable one has not."""
        self.read([path])
        values = self.known[path]
        return values is not None and values.few

    def two(self, path: str) -> bool:
        """Return whether a file has exactly two gray values."""
        self.read([path])
        values = self.known[path]
        return values is not None and values.distinct == 2

    def size(self, path: str) -> int:
        """Return the bytes of a file, 0 if it is gone."""
        try:
            return (self.root / path).stat().st_size
        except OSError:
            return 0


def gray_values(path: Path) -> GrayValues | None:
    """Decode a picture and count its values; None if it cannot be read."""
    try:
        data = read_bytes(path)
        decoded = decode(data)
        if decoded.bits == 16:
            # Read as 16 bits, an image of 12 has 16 gray values.
            decoded = decode(data, min(16, max(8, decoded.largest.bit_length())))
    except UnreadableImageError:
        return None
    pixels = decoded.pixels
    counts = [np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(3)]
    total = pixels.shape[0] * pixels.shape[1]
    # JPEG blurs the edges of a mask, and leaves the rest black or white.
    ends = [(int(count[:16].sum()), int(count[-16:].sum())) for count in counts]
    polar = all(sum(end) >= 0.97 * total and min(end) >= 0.002 * total for end in ends)
    return GrayValues(max(int(np.count_nonzero(count)) for count in counts), total, polar)


def _with_partner(label_of: dict[str, str], look: _Look) -> set[str]:
    """Return masks that lie beside the picture of the same name."""
    stems: dict[str, list[str]] = {}
    for path in sorted(label_of):
        stems.setdefault(split_suffix(path)[0], []).append(path)
    candidates = []
    for stem, paths in stems.items():
        ending = ENDING.fullmatch(stem)
        named = stems.get(ending[1], []) if ending else []
        for path in paths if named or len(paths) > 1 else ():
            candidates.append(Candidate(path, (*named, *(other for other in paths if other != path))))

    def is_mask(candidate: Candidate) -> bool:
        return look.few(candidate.path) and not all(look.few(partner) for partner in candidate.partners)

    return _judge(candidates, label_of, look, is_mask)


def _in_mask_folder(label_of: dict[str, str], look: _Look) -> set[str]:
    """Return masks in a folder that is called so, unless the other pictures have few gray values, too."""
    inside = [path for path in sorted(label_of) if FOLDERS.intersection(path.lower().split("/")[:-1])]
    outside = sorted(set(label_of).difference(inside))
    if not inside or not outside:
        return set()
    others = _spread(outside, 4 * SAMPLED)
    look.read(others)
    if 2 * sum(map(look.few, others)) > len(others):
        return set()
    return _judge([Candidate(path) for path in inside], label_of, look, lambda candidate: look.few(candidate.path))


def _strays(label_of: dict[str, str], look: _Look) -> set[str]:
    """Return pictures of two values that are a minority of their class, of files that are small or of a rare kind."""
    classes: dict[str, list[str]] = {}
    for path in sorted(label_of):
        classes.setdefault(label_of[path], []).append(path)
    found: set[str] = set()
    for paths in classes.values():
        candidates = _small_files(paths, look) | _rare_kind(paths, look)
        look.read(candidates)
        two = {path for path in candidates if look.two(path)}
        found |= two if 2 * len(two) <= len(paths) else set()
    return found


def _small_files(paths: Sequence[str], look: _Look) -> set[str]:
    """Return lossless files below a third of the class's median size; two values need an eighth of eight bits."""
    if not any(_suffix(path) in LOSSLESS for path in paths):
        return set()
    sizes = {path: look.size(path) for path in paths}
    median = sorted(sizes.values())[len(paths) // 2]
    return {path for path, size in sizes.items() if 3 * size < median and _suffix(path) in LOSSLESS}


def _rare_kind(paths: Sequence[str], look: _Look) -> set[str]:
    """Return the files of an extension that at most half of the class has, if the sampled ones have two values."""
    kinds = Counter(map(_suffix, paths))
    found: set[str] = set()
    for kind in sorted(kinds) if len(kinds) > 1 else ():
        if kind in LOSSLESS and 2 * kinds[kind] <= len(paths):
            members = [path for path in paths if _suffix(path) == kind]
            found.update(members if all(map(look.two, _spread(members, SAMPLED))) else ())
    return found


def _judge(
    candidates: Sequence[Candidate], label_of: dict[str, str], look: _Look, is_mask: Callable[[Candidate], bool]
) -> set[str]:
    """Return the candidates that are masks; some of each class and extension are decoded, all where those differ."""
    kinds: dict[tuple[str, ...], list[Candidate]] = {}
    for candidate in candidates:
        kinds.setdefault((_suffix(candidate.path), label_of[candidate.path]), []).append(candidate)
    count = SAMPLED
    if len(kinds) > MANY_KINDS:
        kinds, count = {}, SAMPLED_OF_ALL
        for candidate in candidates:
            kinds.setdefault((_suffix(candidate.path),), []).append(candidate)
    sampled = [(kind, _spread(kind, count)) for kind in kinds.values()]
    look.read(path for _, items in sampled for item in items for path in (item.path, *item.partners))
    return {candidate.path for kind, items in sampled for candidate in _judge_kind(kind, items, look, is_mask)}


def _judge_kind(
    kind: Sequence[Candidate], sampled: Sequence[Candidate], look: _Look, is_mask: Callable[[Candidate], bool]
) -> list[Candidate]:
    """Return the masks of one class and extension, judged like the sampled ones if those are all alike."""
    verdicts = {is_mask(candidate) for candidate in sampled}
    if len(verdicts) > 1:
        look.read(path for item in kind for path in (item.path, *item.partners))
        return [candidate for candidate in kind if is_mask(candidate)]
    verdict, sizes = verdicts.pop(), [look.size(candidate.path) for candidate in sampled]

    def unlike(candidate: Candidate) -> bool:
        size = look.size(candidate.path)
        return size > UNLIKE * max(sizes) if verdict else UNLIKE * size < min(sizes)

    return [candidate for candidate in kind if (is_mask(candidate) if unlike(candidate) else verdict)]


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` items, the first, the last, and evenly spaced ones between."""
    if len(items) <= count:
        return list(items)
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


def _suffix(path: str) -> str:
    return split_suffix(path)[1]
