"""train/, val/ and test/, each with one folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.layouts.split_names import SPLIT_NAMES
from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.experiment import DataOptions


def read_split_folders(root: Path, _options: DataOptions) -> Dataset:
    """Return the images of each part, labelled by the class folder, with the part as their split."""
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


def has_split_folders(root: Path) -> bool:
    """Return whether a folder holds parts of a split, the training part with class folders."""
    if not root.is_dir():
        return False
    parts = [folder for folder in visible_folders(root) if folder.name.lower() in SPLIT_NAMES]
    # The others may hold unlabelled images only; classes called train and test they are not.
    return len(parts) > 1 and any(SPLIT_NAMES[part.name.lower()] == "train" and visible_folders(part) for part in parts)
