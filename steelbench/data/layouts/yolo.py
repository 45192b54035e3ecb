"""YOLO: `images/` and `labels/` with a text file for each image, `data.yaml` or `classes.txt`; parts of a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from operator import ne
from pathlib import Path

from steelbench.data.annotations import (
    AnnotatedImage,
    AnnotationError,
    Box,
    count_faulty,
    make_box,
    refuse_many_boxes,
)
from steelbench.data.boxes import use_boxes
from steelbench.data.folder_walk import files_below, named_below, paths_below
from steelbench.data.images import EXTENSIONS
from steelbench.data.layouts.split_names import SPLIT_NAMES
from steelbench.data.layouts.yolo_names import NAME_FILES, names_file, read_names
from steelbench.data.samples import Dataset, make_sample, split_suffix, visible_folders
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions
from steelbench.files import read_text

MAX_TEXT = 4 * 1024 * 1024  # bytes of a label file; one of polygons is long
# Tools round; a box that reaches out of its image by more is in pixels, which this layout has not.
LARGEST_SHARE = 1.01


def is_yolo(path: Path) -> bool:
    """Return whether a folder holds class names and a folder `labels`, itself or in a part of a split."""
    if not path.is_dir() or names_file(path) is None:
        return False
    inner = visible_folders(path)
    parts = [folder for folder in inner if folder.name.lower() in SPLIT_NAMES]
    return any(folder.name.lower() == "labels" for place in [inner, *map(visible_folders, parts)] for folder in place)


def read_yolo(root: Path, options: DataOptions) -> Dataset:
    """Return crops of the boxes, or whole images labelled by them; an image without a text file has no box.

    Raises:
        SteelbenchError: if the class names, or more than 5 % of the label files, cannot be read.
    """
    listed = names_file(root)
    if listed is None:
        raise SteelbenchError(f"{root} names no classes; expected data.yaml with names, or classes.txt.")
    names = read_names(listed)
    # One that is no regular file, such as a link to nothing, may stand for boxes, too.
    texts = {path.relative_to(root).as_posix(): path for path in named_below(root, ".txt")}
    samples = [
        make_sample(root, path, "", _split(path.relative_to(root).parts[:-1]))
        for path in files_below(root, *EXTENSIONS)
    ]
    label_files = _label_files((sample.path for sample in samples), texts)
    images, faults = [], dict[str, str]()
    for sample in samples:
        name = label_files.get(sample.path)
        try:
            boxes = () if name is None else _boxes(texts[name], names)
        except AnnotationError as error:
            faults[str(name)] = str(error)
        else:
            images.append(AnnotatedImage(sample, boxes, shares=True))
    used = set(label_files.values())
    left_out = Counter(count_faulty(root, faults, len(used)))
    left_out["label files without an image"] = sum(
        "labels" in _folders(name) and path.is_file() for name, path in texts.items() if name not in used
    )
    found = use_boxes(root, images, options)
    annotations = paths_below(root, ".txt", ".yaml", ".yml") | used
    counts = {**left_out, **found.left_out}
    return Dataset(root, found.samples, counts, annotations=annotations, notices=found.notices)


def _split(folders: Sequence[str]) -> str:
    return next((SPLIT_NAMES[name.lower()] for name in folders if name.lower() in SPLIT_NAMES), "")


def _folders(path: str) -> list[str]:
    return [] if path.rpartition("/")[2].lower() in NAME_FILES else path.lower().split("/")[:-1]


def _label_files(images: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """The label file of each image that has one: of its exact name, else of that in other letters, small or capital."""
    by_lower: dict[str, list[str]] = defaultdict(list)
    for name in texts:
        by_lower[name.lower()].append(name)
    found: dict[str, str] = {}
    for image in images:
        place = next((place for place in _places(image) if place.lower() in by_lower), "")
        if place:
            found[image] = _closest(place, by_lower[place.lower()])
    exact = {image for image, name in found.items() if _stem(image) == _stem(name)}
    taken = {found[image] for image in exact}
    return {image: name for image, name in found.items() if image in exact or name not in taken}


def _closest(place: str, names: Iterable[str]) -> str:
    """The name with the fewest letters that are small in one and capital in the other."""
    return min(names, key=lambda name: sum(map(ne, name, place)))


def _stem(path: str) -> str:
    return split_suffix(path.rpartition("/")[2])[0]


def _places(path: str) -> list[str]:
    """Where the label file of an image may be: the last `images` made `labels`, or beside it."""
    stem = split_suffix(path)[0]
    parts = stem.split("/")
    folders = [part.lower() for part in parts[:-1]]
    places = [f"{stem}.txt"]
    if "images" in folders:
        at = len(folders) - 1 - folders[::-1].index("images")
        places.insert(0, "/".join([*parts[:at], "labels", *parts[at + 1 :]]) + ".txt")
    else:
        places.append("/".join([*parts[:-1], "labels", parts[-1]]) + ".txt")
    return places


def _boxes(path: Path, names: Sequence[str]) -> tuple[Box, ...]:
    try:
        if path.stat().st_size > MAX_TEXT:
            raise AnnotationError(f"it has more than {MAX_TEXT} bytes")
        lines = read_text(path, MAX_TEXT).removeprefix("\ufeff").splitlines()
    except OSError as error:
        raise AnnotationError(f"it cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise AnnotationError("it cannot be read as text") from None
    filled = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    refuse_many_boxes(len(filled))
    return tuple(_box(words, names, number) for number, words in filled)


def _box(words: Sequence[str], names: Sequence[str], line: int) -> Box:
    """A class number with a centre and a size, or with the corners of a polygon; shares of the image's sides."""
    try:
        values = [float(word) for word in words][1:]
    except ValueError:
        raise AnnotationError(f"line {line} holds more than numbers") from None
    told = f"line {line} has the class {words[0][:40]}"
    try:
        number = int(words[0])
    except ValueError:
        raise AnnotationError(f"{told}, expected a whole number") from None
    if not 0 <= number < len(names):
        raise AnnotationError(f"{told}, and there are {len(names)}: 0 to {len(names) - 1}")
    try:
        # A detector adds its confidence to a box.
        if len(values) in (4, 5):
            x, y, width, height = values[:4]
            return make_box(names[number], x - width / 2, y - height / 2, width, height, largest=LARGEST_SHARE)
        if len(values) < 6 or len(values) % 2:
            raise AnnotationError(f"{len(words)} numbers, expected 5: class, x, y, width, height")
        across, down = values[::2], values[1::2]
        x, y = min(across), min(down)
        return make_box(names[number], x, y, max(across) - x, max(down) - y, largest=LARGEST_SHARE)
    except AnnotationError as error:
        raise AnnotationError(f"line {line}: {error}") from None
