"""Pascal VOC: an XML file for each image, beside it or in a folder of annotations; in parts of a split or not."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from steelbench.data.annotations import AnnotationError
from steelbench.data.boxes import find_annotations, join_annotations, use_boxes
from steelbench.data.folder_walk import files_below, paths_below
from steelbench.data.images import EXTENSIONS, is_image
from steelbench.data.layouts.split_names import SPLIT_NAMES
from steelbench.data.layouts.voc_xml import MAX_XML, parse_voc
from steelbench.data.samples import Dataset, make_sample, visible_folders
from steelbench.experiment import DataOptions

ANNOTATION_FOLDERS = ("annotation", "annotations", "label", "labels", "lable", "xml", "xmls")
IMAGE_FOLDERS = ("image", "images", "img", "imgs", "jpegimages")
# A folder is Pascal VOC's if one of so many of its XML files is.
LOOKED_AT = 5


def is_voc(path: Path) -> bool:
    """Return whether a folder, or a part of a split in it, holds images with Pascal VOC files."""
    if not path.is_dir():
        return False
    parts = [folder for folder in visible_folders(path) if folder.name.lower() in SPLIT_NAMES]
    return any(map(_holds_voc, (path, *parts)))


def _holds_voc(folder: Path) -> bool:
    inner = visible_folders(folder)
    annotations = [found for found in inner if found.name.lower() in ANNOTATION_FOLDERS]
    images = [found for found in inner if found.name.lower() in IMAGE_FOLDERS]
    beside = any(is_image(found) for found in folder.iterdir())
    if not images and not beside:
        return False
    return any(map(_is_voc_file, _xml_files([folder] if beside else []) + _xml_files(annotations)))


def _xml_files(folders: list[Path]) -> list[Path]:
    own = [(path for path in sorted(folder.iterdir()) if path.suffix.lower() == ".xml") for folder in folders]
    return [path for paths in own for path in islice(paths, LOOKED_AT)]


def _is_voc_file(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= MAX_XML and parse_voc(path.read_bytes()) is not None
    except AnnotationError:
        # A box that cannot be is one of Pascal VOC, too.
        return b"<annotation" in path.read_bytes()
    except OSError:
        return False


def read_voc(root: Path, options: DataOptions) -> Dataset:
    """Return crops of the boxes, or whole images labelled by them, with the part's folder as their split."""
    samples = []
    for path in files_below(root, *EXTENSIONS):
        folders = path.relative_to(root).parts[:-1]
        split = SPLIT_NAMES.get(folders[0].lower(), "") if folders else ""
        samples.append(make_sample(root, path, "", split))
    images, left_out = join_annotations(root, samples, find_annotations(root))
    found = use_boxes(root, images, options)
    annotations = paths_below(root, ".xml")
    counts = {**left_out, **found.left_out}
    return Dataset(root, found.samples, counts, annotations=annotations, notices=found.notices)
