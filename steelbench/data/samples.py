"""Samples: labelled paths as readers return them, and the listing of folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.errors import SteelbenchError
from steelbench.records import Notice


@dataclass(frozen=True)
class Sample:
    """The path of one image and what the data says about it.

    Attributes:
        path: relative to the data folder, with `/`.
        label: class name; empty for an image without one.
        split: `train`, `validation`, `test`, or empty.
        group: images of one group must stay on one side of a split; empty if the image belongs to none.
    """

    path: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Dataset:
    """The samples of a data folder; nothing is decoded yet.

    Attributes:
        root: the folder that paths start from.
        samples: sorted by path.
        left_out: number of images that are not used, by reason.
        empty: names of class folders without an image.
        notices: for the reader, on how the folder was read.
    """

    root: Path
    samples: tuple[Sample, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def visible_folders(root: Path) -> list[Path]:
    """Return the visible folders, sorted, without links to a folder above.

    Below such a link every image would be read again under another label.
    """
    real = root.resolve()
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not real.is_relative_to(path.resolve())
    )


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder; hidden files and folders are passed over.

    Raises:
        OSError: if a folder may not be read.
    """
    # Not Path.rglob, which enters hidden folders and passes over an unreadable one in silence.
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in (Path(place, name) for name in names) if is_image(path))


def _raise(error: OSError) -> None:
    raise error


def count_loose(folder: Path) -> int:
    """Return the number of images that lie in a folder itself."""
    return sum(is_image(path) and not path.is_dir() for path in folder.iterdir())


def clean_text(name: str, what: str) -> str:
    """Return a name in Unicode's composed form (NFC), the same however a file system stores it.

    Args:
        name: of a file or class.
        what: kind of name, for messages.

    Raises:
        SteelbenchError: if it cannot stand in a CSV in UTF-8.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SteelbenchError(f"the {what} {name!r} is not valid UTF-8; rename it and run again.") from None
    if "\r" in name:
        # CSV readers end a line at it.
        raise SteelbenchError(f"the {what} {name!r} holds a carriage return; rename it and run again.")
    return unicodedata.normalize("NFC", name)


def make_sample(root: Path, path: Path, label: str, split: str = "") -> Sample:
    """Return the sample of a file.

    Args:
        root: the data folder.
        path: of the file, below `root`.
        label: class name.
        split: as `Sample.split`.

    Raises:
        SteelbenchError: if its name or its label cannot stand in a CSV.
    """
    relative = path.relative_to(root).as_posix()
    clean_text(relative, "file name")
    return Sample(relative, clean_text(label, "class folder"), split)
