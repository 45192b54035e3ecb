"""Objects like MVTec's: train/good, test/<defect> and ground_truth/; one object, or several below a root."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.layouts.folders import BESIDE_IMAGES, listed
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.errors import SteelbenchError, choose
from steelbench.experiment import DataOptions

GOOD = "good"
ALL_PARTS = (
    "The part for training holds only good images, which cannot train a classifier: the images of all parts are put "
    "together, and a split is drawn over them."
)


def is_object(path: Path) -> bool:
    """Return whether a folder is an object: its part for training has good images only, beside a part for testing."""
    folders = visible_folders(path)
    parts = split_parts(folder.name for folder in folders)
    train = [path / name for name, part in parts.items() if part == "train"]
    classes = [folder.name.lower() for part in train for folder in visible_folders(part)]
    return classes == [GOOD] and "test" in parts.values()


def has_objects(path: Path) -> bool:
    """Return whether a folder is an object, or holds some."""
    return path.is_dir() and (is_object(path) or bool(_objects(path)))


def read_object(root: Path, options: DataOptions) -> Dataset:
    """Return the images of one object, without a split.

    Raises:
        SteelbenchError: if there are several objects and `--object` names none of them.
    """
    place = root if is_object(root) else _chosen(root, options.object)
    folders = visible_folders(place)
    parts = split_parts(folder.name for folder in folders)
    samples = [
        make_sample(place, path, folder.name)
        for part in parts
        for folder in visible_folders(place / part)
        if folder.name.lower() not in BESIDE_IMAGES
        for path in image_files(folder)
    ]
    masks = [folder for folder in folders if folder.name not in parts]
    left_out = {f"in {folder.name}, no part of the object": sum(1 for _ in image_files(folder)) for folder in masks}
    left_out["in no class folder"] = count_loose(place) + sum(count_loose(place / part) for part in parts)
    return Dataset(place, tuple(samples), left_out, notes=(ALL_PARTS,))


def _objects(root: Path) -> list[str]:
    return [folder.name for folder in visible_folders(root) if is_object(folder)]


def _chosen(root: Path, name: str | None) -> Path:
    names = _objects(root)
    if name is not None:
        return root / choose("object", name, names)
    if len(names) == 1:
        return root / names[0]
    raise SteelbenchError(
        f"{root} holds {len(names)} objects, each a data set of its own: {listed(names, 30)}. Name one of them, as in "
        f"--object {names[0]}."
    )
