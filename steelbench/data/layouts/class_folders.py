"""One folder of images for each class."""

from __future__ import annotations

from pathlib import Path

from steelbench.data.layouts.folders import content_words, contents, only_annotations
from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def has_folders(path: Path) -> bool:
    """Return whether a folder holds visible folders."""
    return path.is_dir() and bool(visible_folders(path))


def read_class_folders(root: Path, options: DataOptions) -> Dataset:
    """Return every image below a class folder, labelled by that folder's name.

    Raises:
        SteelbenchError: if a folder holds files that may be images of a class, and none that is read.
    """
    folders = visible_folders(root)
    samples = [make_sample(root, path, folder.name) for folder in folders for path in image_files(folder)]
    filled = {sample.path.split("/")[0] for sample in samples}
    empty, notes = [], []
    for folder in (folder for folder in folders if folder.name not in filled):
        found = contents(folder)
        if only_annotations(found):
            notes.append(f"{folder.name} is no class: it holds {content_words(found)} and no image.")
        elif found and not options.drop_small:
            raise SteelbenchError(
                f"{root}: the folder {folder.name} holds no image: {content_words(found)}. If it is a class, convert "
                "its files to .png; if not, move it out of the data folder."
            )
        else:
            empty.append(folder.name)
    left_out = {"in no class folder": count_loose(root)}
    return Dataset(root, tuple(samples), left_out, tuple(empty), notes=tuple(notes))
