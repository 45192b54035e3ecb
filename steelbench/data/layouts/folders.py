"""The folders of a data set by the names in them; no file is opened."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.data.samples import image_files, is_passed_over

# Names, in lower case, of folders that hold images or what belongs to images, and are no classes.
IMAGE_FOLDERS = frozenset({"image", "images", "img", "imgs", "jpegimages", "photos", "pictures"})
BESIDE_IMAGES = frozenset(
    {"annotation", "annotations", "ground_truth", "groundtruth", "json", "lable", "label", "labels", "lables"}
    | {"mask", "masks", "xml", "xmls"}
)
# Files that say something about images, and are never pictures themselves.
ANNOTATION_FILES = frozenset(
    {".csv", ".html", ".json", ".jsonl", ".log", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml"}
)
# Whose extensions are counted; the counts are words for the reader.
MOST_FILES = 100_000


def loose_images(folder: Path) -> list[Path]:
    """Return the images that lie in a folder itself, sorted."""
    return sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir())


def holds_image(folder: Path) -> bool:
    """Return whether an image lies anywhere below a folder."""
    # Most folders hold images themselves; `image_files` looks at every file of a folder before it yields one.
    near = any(is_image(path) and path.is_file() for path in folder.iterdir())
    return near or next(image_files(folder), None) is not None


def contents(folder: Path) -> Counter[str]:
    """Return the number of visible files below a folder by extension (lower case, "" for none), up to `MOST_FILES`."""
    return Counter(path.suffix.lower() for path in islice(_files(folder), MOST_FILES))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_passed_over(name)]
        yield from (Path(place, name) for name in names if not is_passed_over(name))


def only_annotations(found: Counter[str]) -> bool:
    """Return whether there are files, and all of them say something about images elsewhere."""
    return bool(found) and set(found) <= ANNOTATION_FILES


def content_words(found: Counter[str]) -> str:
    """Return `1770 .xml files, 2 files without extension`; the three commonest kinds are named."""
    if not found:
        return "nothing"
    kinds = [
        f"{count} {kind + ' ' if kind else ''}file{'' if count == 1 else 's'}{'' if kind else ' without extension'}"
        for kind, count in found.most_common(3)
    ]
    return ", ".join(kinds) + (", ..." if len(found) > 3 else "")


def listed(names: list[str], most: int = 5) -> str:
    """Return names separated by commas, the first few and how many more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
