"""Readers: a folder or CSV to labelled paths. Each layout is a row of `DATASETS`, recognised by the files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steelbench.data.boxes import with_boxes
from steelbench.data.layouts.class_folders import has_folders, read_class_folders
from steelbench.data.layouts.coco import is_coco, read_coco
from steelbench.data.layouts.csv_table import read_csv_table
from steelbench.data.layouts.neu_names import has_neu_names, read_neu_names
from steelbench.data.layouts.severstal import is_severstal, read_severstal
from steelbench.data.layouts.split_folders import has_split_folders, read_split_folders
from steelbench.data.layouts.voc import is_voc, read_voc
from steelbench.data.layouts.yolo import is_yolo, read_yolo
from steelbench.data.samples import Dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions
from steelbench.files import cache_folder


@dataclass(frozen=True)
class Reader:
    """A layout of `DATASETS`.

    Attributes:
        matches: whether a path has the layout.
        read: the data set of a resolved path.
        layout: description for messages and `steelbench list datasets`.
        boxes: whether the layout is one of boxes, which `read` makes crops or labels of.
    """

    matches: Callable[[Path], bool]
    read: Callable[[Path, DataOptions], Dataset]
    layout: str
    boxes: bool = False


def read_dataset(options: DataOptions | str) -> tuple[str, Dataset]:
    """Read `demo`, a CSV or a folder.

    Args:
        options: `data` and how it is read; a text stands for `data` with the usual options.

    Returns:
        The reader's name and the data set, samples sorted by path.

    Raises:
        SteelbenchError: if `data` does not exist, or no reader knows its layout.
    """
    if isinstance(options, str):
        options = DataOptions(data=options)
    data = options.data
    if data == "demo":
        # Imported here: OpenCV obeys the limits that `images` sets only if that is imported first.
        from steelbench.data.demo import cached_demo

    path = cached_demo(cache_folder()) if data == "demo" else _existing(data)
    if path is None:
        raise SteelbenchError(
            f"--data {data or repr(data)} does not exist; expected a folder of images, a CSV file, or the word demo."
        )
    for name, reader in DATASETS.items():
        if (name == "demo") == (data == "demo") and reader.matches(path):
            found = reader.read(path.resolve(), options)
            if options.boxes and not reader.boxes:
                found = with_boxes(found, options)
            left_out = {reason: count for reason, count in found.left_out.items() if count}
            ordered = tuple(sorted(found.samples, key=lambda sample: sample.path))
            return name, dataclasses.replace(found, samples=ordered, left_out=left_out)
    layouts = "; ".join(reader.layout for reader in DATASETS.values())
    raise SteelbenchError(f"--data {data} holds no layout that is known. Known: {layouts}.")


def _existing(data: str) -> Path | None:
    try:
        path = Path(data).expanduser()
        # An empty string, as from an unset shell variable, would be the current folder.
        return path if data and path.exists() else None
    except (OSError, RuntimeError):  # too long a name, an unknown ~user
        return None


# The first row that matches reads the data.
DATASETS = {
    "demo": Reader(lambda path: True, read_class_folders, "demo: seven procedural steel textures, made on the spot"),
    "csv": Reader(Path.is_file, read_csv_table, "a CSV with path,label and optional split,group"),
    "severstal": Reader(is_severstal, read_severstal, "Severstal's train.csv beside train_images/"),
    "coco": Reader(is_coco, read_coco, "COCO: a JSON file beside the images or in annotations/", boxes=True),
    "yolo": Reader(is_yolo, read_yolo, "YOLO: images/ and labels/ with data.yaml or classes.txt", boxes=True),
    "voc": Reader(is_voc, read_voc, "Pascal VOC: XML files beside the images or in Annotations/", boxes=True),
    "split_folders": Reader(
        has_split_folders, read_split_folders, "train/, val/ or valid/, test/, each with class folders"
    ),
    "neu_cls": Reader(has_neu_names, read_neu_names, "NEU-CLS names (Cr_1.bmp, In_1.bmp, ...) in one folder"),
    "class_folders": Reader(has_folders, read_class_folders, "one folder of images for each class"),
}
