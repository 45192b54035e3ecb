"""COCO: a JSON file with images, annotations and categories, one for each part of a split, beside or above images."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from steelbench.data.annotations import (
    MAX_FAULTY,
    MAX_NAME,
    AnnotatedImage,
    AnnotationError,
    Box,
    count_faulty,
    make_box,
    refuse_many_boxes,
)
from steelbench.data.boxes import use_boxes
from steelbench.data.folder_walk import files_below, paths_below
from steelbench.data.images import EXTENSIONS
from steelbench.data.layouts.split_names import SPLIT_NAMES
from steelbench.data.quoting import quoted
from steelbench.data.samples import Dataset, make_sample, visible_folders
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions
from steelbench.files import read_file

MAX_JSON = 256 * 1024 * 1024  # bytes
LISTS = ("images", "annotations", "categories")
_HEAD = 4096
_WHOLE = re.compile("0|-?[1-9][0-9]{0,17}")


def is_coco(path: Path) -> bool:
    """Return whether a folder, its `annotations` or a part of a split in it, holds a COCO file."""
    return path.is_dir() and bool(_files(path))


def _files(root: Path) -> list[Path]:
    places = [
        folder
        for folder in visible_folders(root)
        if folder.name.lower() in SPLIT_NAMES or folder.name.lower() in ("annotation", "annotations")
    ]
    found = [
        path
        for place in (root, *places)
        for path in sorted(place.iterdir())
        if path.suffix.lower() == ".json" and not path.name.startswith(".") and path.is_file() and _looks_like(path)
    ]
    # COCO itself comes with files of key points beside those of boxes, for the same images.
    return [path for path in found if path.name.startswith("instances")] or found


def _looks_like(path: Path) -> bool:
    """Whether a file has COCO's keys; all of a small file is looked at, of a large one both ends."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            text = file.read(MAX_JSON if size < 2**20 else _HEAD)
            if size >= 2**20:
                file.seek(-_HEAD, 2)
                text += file.read(_HEAD)
    except OSError:
        return False
    # In UTF-16 and UTF-32, which `json` reads, these are the bytes of ASCII with zeros between.
    text = text.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    keys = [f'"{name}"'.encode() in text for name in LISTS]
    return all(keys) if size < 2**20 else text[:1] == b"{" and any(keys) and b'"id"' in text


def read_coco(root: Path, options: DataOptions) -> Dataset:
    """Return crops of the boxes, or whole images labelled by them; the part is that of the file's name or folder.

    Raises:
        SteelbenchError: for a file that is no COCO, an image or identifier that is given twice, or too many faulty
            annotations.
    """
    files = [path.relative_to(root).as_posix() for path in files_below(root, *EXTENSIONS)]
    entries, of_no_image = [], dict[str, int]()
    for file in _files(root):
        own, lost = _entries(file, file.relative_to(root).as_posix())
        entries += own
        of_no_image |= lost
    placed, left_out = _place(entries, files)
    left_out.update(of_no_image)
    faults = {f"{entry.source}, {entry.listed}": entry.fault for entry in placed.values() if entry.fault}
    left_out.update(count_faulty(root, faults, len(entries)))
    images = [
        AnnotatedImage(make_sample(root, root / path, "", entry.split), entry.boxes)
        for path, entry in placed.items()
        if not entry.fault
    ]
    found = use_boxes(root, images, options)
    annotations = paths_below(root, ".json")
    counts = {**left_out, **found.left_out}
    return Dataset(root, found.samples, counts, annotations=annotations, notices=found.notices)


@dataclass(frozen=True)
class _Entry:
    """An image as a COCO file lists it: the file, the image's name there, the part, and boxes or what is wrong."""

    source: str
    listed: str
    split: str
    boxes: tuple[Box, ...] = ()
    fault: str = ""


def _place(entries: Iterable[_Entry], files: Sequence[str]) -> tuple[dict[str, _Entry], Counter[str]]:
    """Find the file of each entry; count what has none."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_name[file.rpartition("/")[2]].append(file)
    placed: dict[str, _Entry] = {}
    left_out = Counter[str]()
    for entry in entries:
        found = _matches(entry, by_name)
        if len(found) != 1:
            left_out["images that several files may be" if found else "images without a file"] += 1
        elif found[0] in placed:
            raise SteelbenchError(
                f"{entry.source} names {found[0]}, which {placed[found[0]].source} names as well; keep one COCO file "
                "for each part of the data, and each image in one of them once."
            )
        else:
            placed[found[0]] = entry
    left_out["in no COCO file"] = len(files) - len(placed)
    return placed, left_out


def _matches(entry: _Entry, by_name: Mapping[str, list[str]]) -> list[str]:
    """The files that an entry may mean: of several with its name those that fit it better."""
    listed = entry.listed.replace("\\", "/").lstrip("/")
    found = by_name.get(listed.rpartition("/")[2], [])
    beside = PurePosixPath(entry.source).parent.as_posix()
    tests: tuple[Callable[[str], bool], ...] = (
        lambda path: path == listed or path.endswith(f"/{listed}"),
        lambda path: PurePosixPath(path).parent.as_posix() == beside,
        lambda path: bool(entry.split) and split_of(path.rpartition("/")[0]) == entry.split,
    )
    for fits in tests:
        if len(found) > 1:
            found = [path for path in found if fits(path)] or found
    return found


def split_of(name: str) -> str:
    """Return the part of a split that a word of a name says: `train` of `instances_train2017.json`; "" if none."""
    words = re.findall("[a-z]+", name.lower())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), "")


def _entries(path: Path, name: str) -> tuple[list[_Entry], dict[str, int]]:
    """The images of a file, and how many of its annotations are of none, by the words for that."""
    content = _read(path, name)
    images, annotations, categories = (_listed(content, key, name) for key in LISTS)
    labels = _by_key(categories, "categories", "name", name)
    boxes: dict[int | str, list[dict[str, Any]]] = {key: [] for key in _by_key(images, "images", "file_name", name)}
    lost = []
    for found in annotations:
        key = _key(found.get("image_id"))
        if key in boxes:
            boxes[key].append(found)
        else:
            lost.append(found.get("image_id"))
    return [_entry(image, boxes, labels, name) for image in images], _count_lost(name, lost, len(annotations))


def _entry(
    image: Mapping[str, Any],
    boxes: Mapping[int | str, list[dict[str, Any]]],
    labels: Mapping[int | str, object],
    name: str,
) -> _Entry:
    listed, key = str(image.get("file_name", ""))[:MAX_NAME], _key(image.get("id"))
    try:
        if key is None:
            raise AnnotationError("the image has no id, by which its boxes would be known")
        refuse_many_boxes(len(boxes[key]))
        return _Entry(name, listed, split_of(name), tuple(_box(found, labels) for found in boxes[key]))
    except AnnotationError as error:
        return _Entry(name, listed, split_of(name), fault=str(error))


def _by_key(entries: Iterable[Mapping[str, Any]], kind: str, named: str, source: str) -> dict[int | str, object]:
    """The names of images or categories by their identifiers.

    Raises:
        SteelbenchError: for an identifier of two images, or of two categories with different names.
    """
    found: dict[int | str, object] = {}
    for entry in entries:
        key, name = _key(entry.get("id")), entry.get(named)
        if key is None:
            continue
        if key in found and (kind == "images" or found[key] != name):
            raise SteelbenchError(
                f"{source} gives the id {quoted(key)} to two {kind}, {quoted(found[key])} and {quoted(name)}, so "
                f"that their boxes cannot be told apart; give each of the {kind} an id of its own, or export it again."
            )
        found[key] = name
    return found


def _count_lost(name: str, lost: Sequence[object], total: int) -> dict[str, int]:
    """Return the reason and number for `Dataset.left_out` of annotations whose image is not there.

    Raises:
        SteelbenchError: if they are more than `MAX_FAULTY` of all, as boxes of images that would seem to have none.
    """
    if len(lost) > MAX_FAULTY * total:
        raise SteelbenchError(
            f"{name}: {len(lost)} of {total} annotations have an image_id that no image has, at most {MAX_FAULTY:.0%} "
            f"may; the first has {quoted(lost[0])}. Remove them or export the file again."
        )
    if not lost:
        return {}
    return {f"annotations of {name} whose image_id no image has (the first has {quoted(lost[0])})": len(lost)}


def _read(path: Path, name: str) -> object:
    try:
        if path.stat().st_size > MAX_JSON:
            raise SteelbenchError(f"{name} has more than the {MAX_JSON} bytes that are read; split it.")
        return json.loads(read_file(path, MAX_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise SteelbenchError(f"{name} cannot be read as JSON ({str(error)[:120]}); export it again.") from None


def _listed(content: object, key: str, name: str) -> list[dict[str, Any]]:
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise SteelbenchError(f"{name} has no list of {key}; expected COCO's {', '.join(LISTS)}.")
    return found


def _key(value: object) -> int | str | None:
    """An identifier that can be looked up: 1, 1.0 and "1" are the same one; None for what is none."""
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _box(found: Mapping[str, Any], labels: Mapping[int | str, object]) -> Box:
    key = _key(found.get("category_id"))
    label = None if key is None else labels.get(key)
    if not isinstance(label, str):
        raise AnnotationError(f"a box has the category {quoted(found.get('category_id'))}, which has no name")
    numbers = found.get("bbox")
    if not isinstance(numbers, list) or len(numbers) != 4:
        raise AnnotationError("an annotation has no bbox of 4 numbers")
    try:
        x, y, width, height = (float(number) for number in numbers)
    except (TypeError, ValueError, OverflowError):
        raise AnnotationError(f"the bbox {str(numbers)[:60]} does not hold 4 numbers") from None
    return make_box(label, x, y, width, height)
