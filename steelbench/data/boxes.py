"""From boxes to samples: every box a crop, or every image labelled by its boxes; boxes beside whole images."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from steelbench.data.annotations import AnnotatedImage, AnnotationError, Box, count_faulty
from steelbench.data.crops import Crop, crop_address
from steelbench.data.folder_walk import files_below, paths_below
from steelbench.data.image_sizes import image_size
from steelbench.data.layouts.voc_xml import MAX_XML, parse_voc
from steelbench.data.samples import Dataset, Sample
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions
from steelbench.files import read_file
from steelbench.notices import notice
from steelbench.printable import shown

NO_BOX = "without a box (--include-none uses them as class none)"
NO_BOX_TO_CROP = "without a box to crop"
# Pixels by which a side of whole pixels may be off that was written as a share of six digits.
SLACK = 0.01
SEVERAL = "with boxes of several classes"
OUTSIDE = "boxes outside of the image"


@dataclass(frozen=True)
class Annotations:
    """The Pascal VOC files below a folder.

    Attributes:
        boxes: of each usable file, by its path below the folder.
        faults: why the others cannot be used, by their path.
    """

    boxes: Mapping[str, tuple[Box, ...]]
    faults: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.boxes or name in self.faults

    def __len__(self) -> int:
        return len(self.boxes) + len(self.faults)


def with_boxes(dataset: Dataset, options: DataOptions) -> Dataset:
    """Return a data set of whole images as `--boxes` asks: by the Pascal VOC files below its folder.

    Args:
        dataset: of any reader.
        options: `boxes`, and how they are cut.

    Raises:
        SteelbenchError: if there are no boxes.
    """
    found = find_annotations(dataset.root)
    if not any(found.boxes.values()) and not found.faults:
        raise SteelbenchError(
            f"--boxes {options.boxes}, but no boxes were found below {dataset.root}; expected Pascal VOC files (.xml) "
            "beside the images or in a folder such as Annotations. Leave --boxes out to take images as they are."
        )
    images, left_out = join_annotations(dataset.root, dataset.samples, found)
    made = use_boxes(dataset.root, images, options)
    return replace(
        dataset,
        samples=made.samples,
        left_out=_added(dataset.left_out, left_out, made.left_out),
        # Boxes name the classes: a folder without an image holds their files.
        empty=(),
        annotations=dataset.annotations | paths_below(dataset.root, ".xml"),
        notices=(*dataset.notices, *made.notices),
    )


def find_annotations(root: Path) -> Annotations:
    """Read every Pascal VOC file below a folder; XML files of other kinds are passed over."""
    boxes: dict[str, tuple[Box, ...]] = {}
    faults: dict[str, str] = {}
    for path in files_below(root, ".xml"):
        name = path.relative_to(root).as_posix()
        try:
            parsed = parse_voc(_bounded_bytes(path))
        except AnnotationError as error:
            faults[name] = str(error)
            continue
        if parsed is not None:
            boxes[name] = parsed
    return Annotations(boxes, faults)


def _bounded_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_XML:
            raise AnnotationError(f"it has more than {MAX_XML} bytes")
        return read_file(path, MAX_XML)
    except OSError as error:
        raise AnnotationError(f"cannot be opened ({error.strerror or error})") from None


def join_annotations(
    root: Path, samples: Sequence[Sample], found: Annotations
) -> tuple[list[AnnotatedImage], dict[str, int]]:
    """Give each image the annotation of its name: the one in its folder, else the nearest one.

    Args:
        root: the data folder.
        samples: whole images.
        found: of `find_annotations`.

    Returns:
        The images that have one, and what is left out, counted by reason.
    """
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in (*found.boxes, *found.faults):
        by_stem[PurePosixPath(name).stem].append(name)
    images, left_out, faults, used = [], Counter[str](), dict[str, str](), set[str]()
    for sample in samples:
        path = PurePosixPath(sample.path)
        beside = path.with_suffix(".xml").as_posix()
        # Looked up first: where all folders hold the same names, each has as many candidates as there are folders.
        names = [beside] if beside in found else _nearest(path, by_stem[path.stem])
        used.update(names)
        if not names:
            left_out["without an annotation"] += 1
        elif len(names) > 1:
            two = shown(f"{names[0]} and {names[1]}")
            left_out[f"with several annotations of one name (the first are {two})"] += 1
        elif names[0] in found.faults:
            faults[names[0]] = found.faults[names[0]]
        else:
            images.append(AnnotatedImage(sample, found.boxes[names[0]]))
    left_out.update(count_faulty(root, faults, len(found)))
    left_out["annotations without an image"] = len(found) - len(used)
    return images, dict(left_out)


def _nearest(path: PurePosixPath, names: Sequence[str]) -> list[str]:
    """The annotations that share most folders with an image."""
    place = path.parent.parts

    def shared(name: str) -> int:
        other = PurePosixPath(name).parent.parts
        same = (at for at, (a, b) in enumerate(zip(place, other, strict=False)) if a != b)
        return next(same, min(len(place), len(other)))

    best = max(map(shared, names), default=None)
    return sorted(name for name in names if shared(name) == best)


def use_boxes(root: Path, images: Iterable[AnnotatedImage], options: DataOptions) -> Dataset:
    """Return the data set that boxes make: `--boxes crop`, else whole images labelled by their boxes.

    A box no part of which lies in its image is counted and labels nothing.

    Args:
        root: the data folder.
        images: with or without boxes.
        options: `boxes`, `margin`, `min_box`, `square`, `include_none`.
    """
    if options.boxes == "crop":
        return _crop_all(root, images, options)
    samples, left_out = [], Counter[str]()
    for image in images:
        labels = {box.label for box in _inside(image, _size(root, image), left_out)}
        if image.boxes and not labels:
            left_out[f"with {OUTSIDE} alone"] += 1
        elif len(labels) > 1:
            left_out[SEVERAL] += 1
        elif labels or options.include_none:
            samples.append(replace(image.sample, label=labels.pop() if labels else "none"))
        else:
            left_out[NO_BOX] += 1
    told = (notice("SB120", count=len(samples)),) if options.boxes is None else ()
    return Dataset(root, _without_lone_part(samples), dict(left_out), notices=told)


def _crop_all(root: Path, images: Iterable[AnnotatedImage], options: DataOptions) -> Dataset:
    samples: list[Sample] = []
    sources, left_out = 0, Counter[str]()
    for image in images:
        own = _crops(root, image, options, left_out)
        left_out[NO_BOX_TO_CROP] += not image.boxes
        sources += bool(own)
        samples += own
    told = (notice("SB121", count=len(samples), images=sources),) if samples else ()
    return Dataset(root, _without_lone_part(samples), dict(left_out), notices=told)


def _without_lone_part(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Forget the part of the split where all samples are of one: the others have no boxes, and one is no split."""
    if len({sample.split for sample in samples}) == 1:
        return tuple(replace(sample, split="") for sample in samples)
    return tuple(samples)


def _crops(root: Path, image: AnnotatedImage, options: DataOptions, left_out: Counter[str]) -> list[Sample]:
    """The crops of one image."""
    size = _size(root, image)
    labels: dict[Crop, list[str]] = defaultdict(list)
    for box in _inside(image, size, left_out):
        crop = place_crop(box, size, options)
        if crop is None:
            left_out[f"boxes that are narrower or lower than --min-box {options.min_box}"] += 1
        else:
            labels[crop].append(box.label)
    for found in labels.values():
        several = len(set(found)) > 1
        left_out["boxes of several classes in one place"] += len(found) * several
        left_out["boxes that are given twice"] += (len(found) - 1) * (not several)
    return [
        replace(image.sample, path=crop_address(image.sample.path, crop), label=found[0])
        for crop, found in labels.items()
        if len(set(found)) == 1
    ]


def _size(root: Path, image: AnnotatedImage) -> tuple[int, int]:
    """Width and height. Without them an image cannot be read, which `inspect_dataset` finds and reports."""
    return (image.boxes and image_size(root / image.sample.path)) or (10**6, 10**6)


def _inside(image: AnnotatedImage, size: tuple[int, int], left_out: Counter[str]) -> list[Box]:
    """The boxes, in pixels, that lie in an image at least in part."""
    boxes = [_scaled(box, size) if image.shares else box for box in image.boxes]
    inside = [box for box in boxes if not _is_outside(box, size)]
    left_out[OUTSIDE] += len(boxes) - len(inside)
    return inside


def _is_outside(box: Box, size: tuple[int, int]) -> bool:
    """Whether no part of a box lies in the image; rounding leaves some without a width on its side."""
    sides = ((box.x, box.x + box.width, size[0]), (box.y, box.y + box.height, size[1]))
    return any(start < 0 >= end or start >= limit < end for start, end, limit in sides)


def _scaled(box: Box, size: tuple[int, int]) -> Box:
    width, height = size
    return Box(box.label, box.x * width, box.y * height, box.width * width, box.height * height)


def place_crop(box: Box, size: tuple[int, int], options: DataOptions) -> Crop | None:
    """Return the crop of a box, inside of the image; None for a box that is too small.

    Args:
        box: in pixels; what lies outside of the image does not count.
        size: width and height of the image.
        options: `min_box`, the smallest side of the box itself; `margin`, added on each side, as a share of the box's
            sides; `square`, whether the shorter side is widened to the longer one as far as the image goes.
    """
    width, height = size
    left, right = max(box.x, 0.0), min(box.x + box.width, width)
    top, bottom = max(box.y, 0.0), min(box.y + box.height, height)
    if min(right - left, bottom - top) < options.min_box:
        return None
    across, down = options.margin * (right - left), options.margin * (bottom - top)
    x, end_x = _whole(left - across, right + across, width)
    y, end_y = _whole(top - down, bottom + down, height)
    if options.square:
        side = max(end_x - x, end_y - y)
        x, end_x = _widened(x, end_x, side, width)
        y, end_y = _widened(y, end_y, side, height)
    return Crop(x, y, end_x - x, end_y - y)


def _whole(start: float, end: float, limit: int) -> tuple[int, int]:
    """The pixels that an interval touches, inside of 0..limit."""
    return max(math.floor(start + SLACK), 0), min(math.ceil(end - SLACK), limit)


def _widened(start: int, end: int, side: int, limit: int) -> tuple[int, int]:
    """Widen an interval to a length about its centre, moved to lie in 0..limit, at most the whole of it."""
    side = min(side, limit)
    start = min(max((start + end - side) // 2, 0), limit - side)
    return start, start + side


def _added(*counts: Mapping[str, int]) -> dict[str, int]:
    total = Counter[str]()
    for found in counts:
        total.update(found)
    return dict(total)
