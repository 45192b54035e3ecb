"""GC10-DET as downloaded: numbered class folders beside `lable/` with a Pascal VOC file for each image."""

from __future__ import annotations

import re
from pathlib import Path

from steelbench.data.layouts.folders import content_words, contents, holds_image, only_annotations
from steelbench.data.samples import Dataset, count_loose, image_files, make_sample, visible_folders
from steelbench.experiment import DataOptions

# The order of the paper: Lv et al., "Deep Metallic Surface Defect Detection", Sensors 2020, 20(6) 1562.
GC10_CLASSES = (
    "punching_hole",
    "welding_line",
    "crescent_gap",
    "water_spot",
    "oil_spot",
    "silk_spot",
    "inclusion",
    "rolled_pit",
    "crease",
    "waist_folding",
)
NUMBERED = re.compile(r"(\d{1,2})(?:[ _.-]+(.+))?")


def is_gc10(path: Path) -> bool:
    """Return whether a folder holds numbered class folders, and beside them one with XML files only."""
    if not path.is_dir():
        return False
    folders = visible_folders(path)
    numbered = [folder for folder in folders if NUMBERED.fullmatch(folder.name)]
    others = [folder for folder in folders if folder not in numbered]
    if len(numbered) < 2 or not others or not all(map(holds_image, numbered)):
        return False
    return all(only_annotations(contents(folder)) for folder in others) and any(
        contents(folder)[".xml"] for folder in others
    )


def read_gc10(root: Path, options: DataOptions) -> Dataset:
    """Return the images of the numbered folders, labelled by the name of the defect."""
    folders = visible_folders(root)
    numbered = [folder for folder in folders if NUMBERED.fullmatch(folder.name)]
    label = _labels([folder.name for folder in numbered])
    samples = [make_sample(root, path, label[folder.name]) for folder in numbered for path in image_files(folder)]
    notes = [
        f"{folder.name} holds {content_words(contents(folder))}, not needed for whole images."
        for folder in folders
        if folder not in numbered and not options.boxes
    ]
    return Dataset(root, tuple(samples), {"in no class folder": count_loose(root)}, notes=tuple(notes))


def _labels(names: list[str]) -> dict[str, str]:
    """Return the class of each folder: what follows its number, else the defect of that number."""
    found = {}
    for name in names:
        number, text = NUMBERED.fullmatch(name).groups()  # type: ignore[union-attr]
        known = GC10_CLASSES[int(number) - 1] if 1 <= int(number) <= len(GC10_CLASSES) else name
        found[name] = text or known
    # Two folders of one name, such as `1_hole` and `2_hole`, stay two classes.
    return found if len(set(found.values())) == len(names) else {name: name for name in names}
