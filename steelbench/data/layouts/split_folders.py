"""Parts of a split (train/, val/, test/ and other words), each with one folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.layouts.folders import BESIDE_IMAGES, IMAGE_FOLDERS
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.experiment import DataOptions


def read_split_folders(root: Path, _options: DataOptions) -> Dataset:
    """Return the images of each part, labelled by the class folder, with the part as their split."""
    folders = visible_folders(root)
    parts = split_parts(folder.name for folder in folders)
    samples = [
        make_sample(root, path, folder.name, parts[part.name])
        for part in folders
        if part.name in parts
        for folder in visible_folders(part)
        for path in image_files(folder)
    ]
    left_out = {
        f"in {folder.name}, neither train, val nor test": sum(1 for _ in image_files(folder))
        for folder in folders
        if folder.name not in parts
    }
    left_out["in no class folder"] = count_loose(root) + sum(count_loose(root / part) for part in parts)
    return Dataset(root, tuple(samples), left_out)


def has_split_folders(root: Path) -> bool:
    """Return whether a folder holds parts of a split, the training part with class folders."""
    if not root.is_dir():
        return False
    parts = split_parts(folder.name for folder in visible_folders(root))
    # The others may hold unlabelled images only; classes called train and test they are not.
    return len(parts) > 1 and any(_has_classes(root / name) for name, part in parts.items() if part == "train")


def _has_classes(part: Path) -> bool:
    # `images/` beside `labels/` are no classes.
    return any(folder.name.lower() not in IMAGE_FOLDERS | BESIDE_IMAGES for folder in visible_folders(part))
