"""All images in one folder, the class at the beginning of the name (`crazing_1.jpg`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from steelbench.data.layouts.folders import IMAGE_FOLDERS, holds_image, loose_images
from steelbench.data.samples import Dataset, make_sample, visible_folders
from steelbench.experiment import DataOptions

# A name that ends in a letter, then numbers: crazing_1, rolled-in_scale_12, scratches (3), Sc7, crazing_1_2.
_NAME = re.compile(r"(.*[^\W\d_])[\s_.()-]*\d[\d\s_.()-]*", re.DOTALL)
# What Roboflow appends to the name of a file.
_EXPORTED = re.compile(r"[_.-](jpe?g|png|bmp|tiff?)\.rf\.\w+$", re.IGNORECASE)
# What cameras and programs call every file.
_NO_DEFECT = frozenset(
    {"cam", "camera", "capture", "dsc", "dscf", "dscn", "file", "frame", "image", "img", "mask", "photo", "pic"}
    | {"picture", "sample", "scan", "screenshot", "snapshot", "untitled"}
)
FEWEST, COVERED, MOST_CLASSES = 3, 0.9, 100
# Annotation files that are opened at most, to see whether they agree with the names, and bytes that are read of each.
OPENED, BYTES = 24, 65536
_OBJECT = re.compile(rb"<name>\s*([^<>]{1,100}?)\s*</name>")


def class_in_name(path: Path) -> str:
    """Return what stands before the number in a file's name; "" if that cannot be told."""
    match = _NAME.fullmatch(_EXPORTED.sub("", path.stem))
    return match[1] if match else ""


def names_tell_classes(images: Sequence[Path], annotations: Sequence[Path]) -> bool:
    """Return whether the names of images name classes, as far as can be told.

    Args:
        images: of one folder.
        annotations: folders where a file of the same name may say what an image shows.
    """
    found = Counter(map(class_in_name, images))
    classes = [name for name, count in found.items() if name and count >= FEWEST and name.lower() not in _NO_DEFECT]
    if not 2 <= len(classes) <= MOST_CLASSES or sum(found[name] for name in classes) < COVERED * len(images):
        return False
    return _annotations_agree(images, annotations)


def _annotations_agree(images: Sequence[Path], folders: Sequence[Path]) -> bool:
    """Return whether annotations, if there are any, name the classes that stand in the names of their images.

    Elsewhere the name may begin with a coil or a camera, and the defect stands in the annotations alone.
    """
    looked, agreed = 0, 0
    for image in images[:: max(1, len(images) // OPENED)][:OPENED]:
        for folder in folders:
            if any((folder / f"{image.stem}{kind}").is_file() for kind in (".txt", ".json")):
                return False
            objects = _objects(folder / f"{image.stem}.xml")
            looked += bool(objects)
            agreed += _plain(class_in_name(image)) in objects
    return 2 * agreed >= looked


def _objects(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    try:
        with path.open("rb") as file:
            return {_plain(name.decode("utf-8", "replace")) for name in _OBJECT.findall(file.read(BYTES))}
    except OSError:
        return set()


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).casefold()


def has_class_names(path: Path) -> bool:
    """Return whether the images of a folder name classes, and no folder in it holds images."""
    if not path.is_dir():
        return False
    images = loose_images(path)
    # Annotations of `images/` lie beside it.
    beside = visible_folders(path.absolute().parent) if path.name.lower() in IMAGE_FOLDERS else []
    return bool(images) and names_tell_classes(images, [path, *visible_folders(path), *beside]) and not _below(path)


def _below(path: Path) -> bool:
    return any(holds_image(folder) for folder in visible_folders(path))


def read_name_prefixes(root: Path, _options: DataOptions) -> Dataset:
    """Return the images whose names begin with a class."""
    images = loose_images(root)
    samples = [make_sample(root, path, class_in_name(path)) for path in images if class_in_name(path)]
    return Dataset(root, tuple(samples), {"no class in the name": len(images) - len(samples)})
