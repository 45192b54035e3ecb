"""One folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.experiment import DataOptions


def has_folders(path: Path) -> bool:
    """Return whether a folder holds visible folders."""
    return path.is_dir() and bool(visible_folders(path))


def read_class_folders(root: Path, _options: DataOptions) -> Dataset:
    """Return every image below a class folder, labelled by that folder's name."""
    samples = [make_sample(root, path, folder.name) for folder in visible_folders(root) for path in image_files(folder)]
    filled = {sample.path.split("/")[0] for sample in samples}
    empty = tuple(folder.name for folder in visible_folders(root) if folder.name not in filled)
    return Dataset(root, tuple(samples), {"in no class folder": count_loose(root)}, empty)
