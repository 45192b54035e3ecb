"""Readers: a folder or CSV to labelled paths. Each layout is a row of `DATASETS`, recognised by the files."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.data.samples import Dataset, Sample, clean_text, count_loose, image_files, make_sample, visible_folders
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions
from steelbench.files import cache_folder

NEU_CLASSES = {
    "Cr": "crazing",
    "In": "inclusion",
    "Pa": "patches",
    "PS": "pitted_surface",
    "RS": "rolled-in_scale",
    "Sc": "scratches",
}
NEU_NAME = re.compile(r"(Cr|In|Pa|PS|RS|Sc)_\d+")
SPLIT_NAMES = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Reader:
    """A layout of `DATASETS`.

    Attributes:
        matches: whether a path has the layout.
        read: the data set of a resolved path.
        layout: description for messages and `steelbench list datasets`.
    """

    matches: Callable[[Path], bool]
    read: Callable[[Path, DataOptions], Dataset]
    layout: str


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
            left_out = {reason: count for reason, count in found.left_out.items() if count}
            ordered = tuple(sorted(found.samples, key=lambda sample: sample.path))
            return name, Dataset(found.root, ordered, left_out, found.empty)
    layouts = "; ".join(reader.layout for reader in DATASETS.values())
    raise SteelbenchError(f"--data {data} holds no layout that is known. Known: {layouts}.")


def _existing(data: str) -> Path | None:
    try:
        path = Path(data).expanduser()
        # An empty string, as from an unset shell variable, would be the current folder.
        return path if data and path.exists() else None
    except (OSError, RuntimeError):  # too long a name, an unknown ~user
        return None


def _class_folders(root: Path, _options: DataOptions) -> Dataset:
    samples = [make_sample(root, path, folder.name) for folder in visible_folders(root) for path in image_files(folder)]
    filled = {sample.path.split("/")[0] for sample in samples}
    empty = tuple(folder.name for folder in visible_folders(root) if folder.name not in filled)
    return Dataset(root, tuple(samples), {"in no class folder": count_loose(root)}, empty)


def _split_folders(root: Path, _options: DataOptions) -> Dataset:
    parts = [
        (part, SPLIT_NAMES[part.name.lower()]) for part in visible_folders(root) if part.name.lower() in SPLIT_NAMES
    ]
    samples = [
        make_sample(root, path, folder.name, split)
        for part, split in parts
        for folder in visible_folders(part)
        for path in image_files(folder)
    ]
    others = [folder for folder in visible_folders(root) if folder.name.lower() not in SPLIT_NAMES]
    left_out = {
        f"in {folder.name}, neither train, val nor test": sum(1 for _ in image_files(folder)) for folder in others
    }
    left_out["in no class folder"] = count_loose(root) + sum(count_loose(part) for part, _ in parts)
    return Dataset(root, tuple(samples), left_out)


def _has_split_folders(root: Path) -> bool:
    if not root.is_dir():
        return False
    parts = [folder for folder in visible_folders(root) if folder.name.lower() in SPLIT_NAMES]
    # The others may hold unlabelled images only; classes called train and test they are not.
    return len(parts) > 1 and any(SPLIT_NAMES[part.name.lower()] == "train" and visible_folders(part) for part in parts)


def _neu_names(root: Path, _options: DataOptions) -> Dataset:
    images = [path for path in sorted(root.iterdir()) if is_image(path) and not path.is_dir()]
    named = [path for path in images if NEU_NAME.fullmatch(path.stem)]
    samples = [make_sample(root, path, NEU_CLASSES[path.stem.split("_")[0]]) for path in named]
    return Dataset(root, tuple(samples), {"no NEU-CLS name": len(images) - len(named)})


def _csv_rows(path: Path, columns: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Return each row with the number of the line that it ends on."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            found = [name.strip() for name in table.fieldnames or []]
            gone = sorted(columns - set(found))
            if gone:
                raise SteelbenchError(
                    f"{path} lacks the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}; "
                    f"its first line must name {', '.join(sorted(columns))}. It names: {', '.join(found) or 'nothing'}."
                )
            table.fieldnames = found
            return [
                (table.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
                for row in table
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SteelbenchError(f"{path} is no CSV file in UTF-8 ({error}); save it as one and run again.") from None


def _csv(path: Path, _options: DataOptions) -> Dataset:
    root, samples, seen = path.parent, [], Counter[str]()
    for number, row in _csv_rows(path, {"path", "label"}):
        name, label, split = row["path"], row["label"], row.get("split", "").lower()
        if not name or not label:
            raise SteelbenchError(f"{path}, line {number}: path or label is empty; fill both or delete the line.")
        target = _target(root, name)
        if target is None or not target.is_relative_to(root):
            raise SteelbenchError(f"{path}, line {number}: {name!r} leaves the CSV's folder; move the images below it.")
        if split and split not in SPLIT_NAMES:
            raise SteelbenchError(f"{path}, line {number}: split '{split}'; expected train, val, test or nothing.")
        relative = target.relative_to(root).as_posix()
        seen[relative] += 1
        if seen[relative] > 1:
            raise SteelbenchError(f"{path}, line {number}: {name} is listed twice; keep one line for each image.")
        samples.append(Sample(relative, clean_text(label, "label"), SPLIT_NAMES.get(split, ""), row.get("group", "")))
    return Dataset(root, tuple(samples))


def _target(root: Path, name: str) -> Path | None:
    try:
        return (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL character
        return None


def _severstal(root: Path, options: DataOptions) -> Dataset:
    labels: dict[str, set[str]] = {}
    for _, row in _csv_rows(root / "train.csv", {"ImageId", "ClassId"}):
        if row["ClassId"] and row.get("EncodedPixels", "1"):
            labels.setdefault(row["ImageId"], set()).add(row["ClassId"])
    samples, left_out = [], Counter[str]()
    folder = root / "train_images"
    for path in sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir()):
        classes = labels.pop(path.name, set())
        if len(classes) > 1:
            left_out["several classes in one image"] += 1
        elif classes or options.include_none:
            samples.append(make_sample(root, path, f"defect_{classes.pop()}" if classes else "none"))
        else:
            left_out["no defect marked (--include-none uses them)"] += 1
    if labels:
        left_out["in train.csv, but no such file"] += len(labels)
    return Dataset(root, tuple(samples), dict(left_out))


# The first row that matches reads the data.
DATASETS = {
    "demo": Reader(lambda path: True, _class_folders, "demo: seven procedural steel textures, made on the spot"),
    "csv": Reader(lambda path: path.is_file(), _csv, "a CSV with path,label and optional split,group"),
    "severstal": Reader(
        lambda path: (path / "train.csv").is_file() and (path / "train_images").is_dir(),
        _severstal,
        "Severstal's train.csv beside train_images/",
    ),
    "split_folders": Reader(
        _has_split_folders, _split_folders, "train/, val/ or valid/, test/, each with class folders"
    ),
    "neu_cls": Reader(
        lambda path: path.is_dir() and any(is_image(p) and NEU_NAME.fullmatch(p.stem) for p in path.iterdir()),
        _neu_names,
        "NEU-CLS names (Cr_1.bmp, In_1.bmp, ...) in one folder",
    ),
    "class_folders": Reader(
        lambda path: path.is_dir() and bool(visible_folders(path)),
        _class_folders,
        "one folder of images for each class",
    ),
}
