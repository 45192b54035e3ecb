"""Readers: a folder or CSV to labelled paths. Each layout is a row of `DATASETS`, recognised by the files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from steelbench.data.boxes import with_boxes
from steelbench.data.filters import filter_dataset
from steelbench.data.layouts.class_folders import has_folders, read_class_folders
from steelbench.data.layouts.coco import is_coco, read_coco
from steelbench.data.layouts.csv_table import read_csv_table
from steelbench.data.layouts.folders import content_words, contents, loose_images
from steelbench.data.layouts.gc10_det import is_gc10, read_gc10
from steelbench.data.layouts.mvtec import has_objects, read_object
from steelbench.data.layouts.name_prefixes import has_class_names, read_name_prefixes
from steelbench.data.layouts.neu_det import is_neu_det, read_neu_det
from steelbench.data.layouts.neu_names import has_neu_names, read_neu_names
from steelbench.data.layouts.nonsense import refuse_nonsense
from steelbench.data.layouts.severstal import is_severstal, read_severstal
from steelbench.data.layouts.split_folders import has_split_folders, read_split_folders
from steelbench.data.layouts.voc import is_voc, read_voc
from steelbench.data.layouts.yolo import is_yolo, read_yolo
from steelbench.data.samples import Dataset, visible_folders
from steelbench.errors import SteelbenchError, choose
from steelbench.experiment import DataOptions
from steelbench.files import cache_folder

# Folders that hold one folder each, as archives unpack (`NEU-DET/NEU-DET/train`), and are looked through.
WRAPPERS = 3


@dataclass(frozen=True)
class Reader:
    """A layout of `DATASETS`.

    Attributes:
        matches: whether a path has the layout.
        read: the data set of a resolved path.
        layout: description for messages and `steelbench list datasets`.
        boxes: whether the layout is one of boxes, which `read` makes crops or labels of.
        may_be_said: whether `--layout` takes it for a folder that it would not be recognised in.
    """

    matches: Callable[[Path], bool]
    read: Callable[[Path, DataOptions], Dataset]
    layout: str
    boxes: bool = False
    may_be_said: bool = False


def read_dataset(options: DataOptions | str) -> tuple[str, Dataset]:
    """Read `demo`, a CSV or a folder.

    Args:
        options: `data` and how it is read; a text stands for `data` with the usual options.

    Returns:
        The reader's name and the data set, samples sorted by path.

    Raises:
        SteelbenchError: if `data` does not exist, no reader knows its layout, it would train nonsense, or what was
            listed is gone when it is read.
    """
    if isinstance(options, str):
        options = DataOptions(data=options)
    try:
        return _read(options)
    except FileNotFoundError as error:
        raise SteelbenchError(
            f"--data {options.data}: {error.filename} was there when its folder was listed, and is gone now; expected "
            "a folder that nothing changes. Wait until it is complete and run again."
        ) from None


def _read(options: DataOptions) -> tuple[str, Dataset]:
    name, path = recognise(options)
    found = DATASETS[name].read(path.resolve(), options)
    if options.boxes and not DATASETS[name].boxes:
        found = with_boxes(found, options)
    found = filter_dataset(found, options, listed=path.is_file())
    left_out = {reason: count for reason, count in found.left_out.items() if count}
    ordered = tuple(sorted(found.samples, key=lambda sample: sample.path))
    dataset = replace(found, samples=ordered, left_out=left_out)
    if name in ("class_folders", "split_folders") and options.layout is None:
        refuse_nonsense(dataset, name)
    return name, dataset


def recognise(options: DataOptions) -> tuple[str, Path]:
    """Return the name of the layout of `--data`, and the folder that has it.

    Args:
        options: `data`, and what the user says about it.

    Raises:
        SteelbenchError: if `data` does not exist, has no known layout, or not the one that the options ask for.
    """
    path = _place(options.data)
    if options.data == "demo":
        return "demo", path
    places = list(_places(path))
    if options.layout is not None:
        name, place = _said(options, places)
    else:
        name, place = _found(options, places)
    if options.object is not None and name != "mvtec":
        raise SteelbenchError(
            f"--object {options.object}, but {path} is read as {name}, which has no objects; leave it out."
        )
    return name, place


def fitting(path: Path) -> list[str]:
    """Return the names of all layouts that a path has, most specific first."""
    return [name for name, reader in DATASETS.items() if name != "demo" and reader.matches(path)]


def _place(data: str) -> Path:
    if data == "demo":
        # Imported here: OpenCV obeys the limits that `images` sets only if that is imported first.
        from steelbench.data.demo import cached_demo

        return cached_demo(cache_folder())
    try:
        path = Path(data).expanduser()
        # An empty string, as from an unset shell variable, would be the current folder.
        there = bool(data) and path.exists()
    except (OSError, RuntimeError):  # too long a name, an unknown ~user
        there = False
    if not there:
        raise SteelbenchError(
            f"--data {data or repr(data)} does not exist; expected a folder of images, a CSV file, or the word demo."
        )
    return path


def _places(path: Path) -> list[Path]:
    """Return the path, and the only folder in it as long as there is nothing else in sight."""
    found = [path]
    while path.is_dir() and len(found) <= WRAPPERS:
        inner = visible_folders(path)
        if len(inner) != 1 or loose_images(path):
            break
        path = inner[0]
        found.append(path)
    return found


def _found(options: DataOptions, places: list[Path]) -> tuple[str, Path]:
    for place in places:
        for name, row in DATASETS.items():
            if name not in ("demo", "class_folders") and row.matches(place):
                return name, place
    # Every folder around another has class folders, so the innermost counts.
    for place in reversed(places):
        if DATASETS["class_folders"].matches(place):
            return "class_folders", place
    seen = content_words(contents(places[-1])) if places[-1].is_dir() else "a file"
    known = "; ".join(row.layout for row in DATASETS.values())
    raise SteelbenchError(f"--data {options.data} holds no layout that is known; seen: {seen}. Known: {known}.")


def _said(options: DataOptions, places: list[Path]) -> tuple[str, Path]:
    name = choose("layout", options.layout or "", set(DATASETS) - {"demo"})
    for place in places:
        if DATASETS[name].matches(place):
            return name, place
    if DATASETS[name].may_be_said and places[-1].is_dir():
        return name, places[-1]
    others = [other for place in places for other in fitting(place)]
    like = f" It looks like {others[0]}: leave --layout out." if others else ""
    raise SteelbenchError(f"--data {options.data} is not laid out as {name}; expected {DATASETS[name].layout}.{like}")


# The first row that matches reads the data: the most specific stands first. COCO and YOLO say by a file of their own
# what they are; Pascal VOC stands behind the layouts whose folders or names tell the class of a whole image.
DATASETS = {
    "demo": Reader(lambda path: True, read_class_folders, "demo: seven procedural steel textures, made on the spot"),
    "csv": Reader(Path.is_file, read_csv_table, "a CSV with path,label and optional split,group"),
    "severstal": Reader(is_severstal, read_severstal, "Severstal's train.csv beside train_images/"),
    "coco": Reader(is_coco, read_coco, "COCO: a JSON file beside the images or in annotations/", boxes=True),
    "yolo": Reader(is_yolo, read_yolo, "YOLO: images/ and labels/ with data.yaml or classes.txt", boxes=True),
    "mvtec": Reader(
        has_objects, read_object, "objects like MVTec's: train/good/, test/DEFECT/, ground_truth/; --object says which"
    ),
    "neu_det": Reader(
        is_neu_det,
        read_neu_det,
        "NEU-DET's images/ beside annotations/, also in train/ and validation/; class folders, or crazing_1.jpg",
        may_be_said=True,
    ),
    "gc10_det": Reader(is_gc10, read_gc10, "GC10-DET's numbered class folders beside lable/ with XML files"),
    "voc": Reader(is_voc, read_voc, "Pascal VOC: XML files beside the images or in Annotations/", boxes=True),
    "split_folders": Reader(
        has_split_folders, read_split_folders, "train/, val/ or valid/, test/ (or other words), each with class folders"
    ),
    "neu_cls": Reader(has_neu_names, read_neu_names, "NEU-CLS names (Cr_1.bmp, In_1.bmp, ...) in one folder"),
    "name_prefixes": Reader(
        has_class_names,
        read_name_prefixes,
        "images in one folder, the class in the name (crazing_1.jpg)",
        may_be_said=True,
    ),
    "class_folders": Reader(has_folders, read_class_folders, "one folder of images for each class"),
}
