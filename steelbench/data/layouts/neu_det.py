"""NEU-DET as downloaded: images/ beside annotations/, also below train/ and validation/; class folders or names."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from steelbench.data.folder_walk import paths_below
from steelbench.data.layouts.folders import (
    BESIDE_IMAGES,
    IMAGE_FOLDERS,
    content_words,
    contents,
    holds_image,
    loose_images,
)
from steelbench.data.layouts.name_prefixes import class_in_name, names_tell_classes
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.samples import Dataset, Sample, count_loose, image_files, make_sample, visible_folders
from steelbench.experiment import DataOptions


class Place(NamedTuple):
    """A folder of images, the part of the split that it is ("" for none), and its class folders."""

    folder: Path
    split: str
    classes: tuple[Path, ...]


def _place(folder: Path, split: str) -> Place:
    # Class folders of a part itself are another layout's.
    named = folder.name.lower() in IMAGE_FOLDERS
    return Place(folder, split, tuple(filter(holds_image, visible_folders(folder))) if named else ())


def is_neu_det(root: Path) -> bool:
    """Return whether a folder holds a folder of images with class folders in it, or with classes in their names."""
    return root.is_dir() and any(_tells_classes(place) for place in _places(root) if place.split in ("", "train"))


def _tells_classes(place: Place) -> bool:
    if place.classes:
        return not split_parts(folder.name for folder in place.classes)
    beside = [folder for folder in visible_folders(place.folder.parent) if folder != place.folder]
    return names_tell_classes(loose_images(place.folder), [place.folder, *beside])


def _places(root: Path) -> list[Place]:
    """Return where images lie; parts of a split may hold them in a folder of images, or themselves."""
    folders, beside = visible_folders(root), _images_in(root)
    parts = split_parts(folder.name for folder in folders)
    found = [_place(_images_in(folder) or folder, parts[folder.name]) for folder in folders if folder.name in parts]
    others = [folder for folder in folders if folder.name not in parts]
    if beside is None and len(others) == 1 and parts and "train" not in parts.values():
        # `NEU-DET/IMAGES` with `Validation_Images` beside `NEU-DET`.
        beside = _images_in(others[0])
    return found + ([_place(beside, "")] if beside else [])


def _images_in(root: Path) -> Path | None:
    """Return the folder of images, if no other folder but parts of a split and masks holds some."""
    folders = visible_folders(root)
    named = [folder for folder in folders if folder.name.lower() in IMAGE_FOLDERS]
    if len(named) != 1:
        return None
    parts = split_parts(folder.name for folder in folders)
    others = [folder for folder in folders if folder not in named and folder.name not in parts]
    alone = not any(holds_image(folder) for folder in others if folder.name.lower() not in BESIDE_IMAGES)
    return named[0] if alone else None


def read_neu_det(root: Path, options: DataOptions) -> Dataset:
    """Return the images of every place, labelled by their folder, else by what stands before the number."""
    places = _places(root)
    labelled = {place: _samples(root, place) for place in places}
    known = {sample.label for place in places if place.split in ("", "train") for sample in labelled[place]}
    # Names without a class begin with something else, which the part for training does not have.
    samples = [sample for place in places for sample in labelled[place] if place.classes or sample.label in known]
    images = sum(1 for place in places for _ in image_files(place.folder))
    loose = count_loose(root) + sum(count_loose(place.folder.parent) for place in places if place.folder.parent != root)
    left_out = {"no class in folder or name": images - len(samples), "in no folder of images": loose}
    notes = () if options.boxes else tuple(_notes(root, places))
    # What `_notes` tells of them is enough; they are not counted as other files again.
    return Dataset(root, tuple(samples), left_out, annotations=paths_below(root, ".xml"), notes=notes)


def _samples(root: Path, place: Place) -> list[Sample]:
    if place.classes:
        return [
            make_sample(root, path, folder.name, place.split)
            for folder in place.classes
            for path in image_files(folder)
        ]
    images = loose_images(place.folder)
    return [make_sample(root, path, class_in_name(path), place.split) for path in images if class_in_name(path)]


def _notes(root: Path, places: list[Place]) -> list[str]:
    """Return what lies beside the images and is not needed."""
    used = {place.folder for place in places} | {place.folder.parent for place in places}
    beside = {folder for place in places for folder in visible_folders(place.folder.parent)} - used
    return [
        f"{folder.relative_to(root).as_posix()} holds {content_words(contents(folder))}, not needed for whole images."
        for folder in sorted(beside)
    ]
