"""Samples: labelled paths as readers return them, and the listing of folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from steelbench.data.images import is_image
from steelbench.data.quoting import MOST_OF_PATH, cut
from steelbench.errors import SteelbenchError
from steelbench.records import Notice

# Lower case; what Windows, macOS, network drives and Python put into folders of images.
SYSTEM_NAMES = frozenset(
    {
        "__macosx",
        "__pycache__",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
)


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


class LeftOut(NamedTuple):
    """A file that is not used: its path below the data folder, and the reason, which is a key of `left_out`."""

    path: str
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The samples of a data folder; nothing is decoded yet.

    Attributes:
        root: the folder that paths start from.
        samples: sorted by path.
        left_out: number of files that are not used, by reason.
        empty: names of class folders without an image.
        passed_over: those of `left_out` that are known by name.
        annotations: paths, relative to the data folder with `/`, of the files that the labels were read from.
        notes: sentences about how the folder was read, for the user.
        notices: for the reader, on how the folder was read.
    """

    root: Path
    samples: tuple[Sample, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    passed_over: tuple[LeftOut, ...] = ()
    annotations: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    notices: tuple[Notice, ...] = ()


def is_passed_over(name: str) -> bool:
    """Return whether a file or folder is hidden, or was put there by the operating system.

    Args:
        name: of the file or folder, without the folders above.
    """
    hidden = name.startswith((".", "~$")) and name not in (".", "..")
    return hidden or name.lower() in SYSTEM_NAMES


def split_suffix(path: str) -> tuple[str, str]:
    """Return a relative path without its suffix, and the suffix in lower case; `Path` takes five times as long."""
    dot = path.rfind(".")
    return (path[:dot], path[dot:].lower()) if dot > path.rfind("/") + 1 else (path, "")


def visible_folders(root: Path) -> list[Path]:
    """Return the visible folders, sorted, without links to a folder above.

    Below such a link every image would be read again under another label.
    """
    real = root.resolve()
    return sorted(
        path
        for path in root.iterdir()
        if not is_passed_over(path.name) and path.is_dir() and not real.is_relative_to(path.resolve())
    )


def image_files(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder; hidden and system files and folders are passed over.

    Raises:
        OSError: if a folder may not be read.
    """
    # Not Path.rglob, which enters hidden folders and passes over an unreadable one in silence.
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not is_passed_over(name)]
        yield from (
            path for path in (Path(place, name) for name in names if not is_passed_over(name)) if is_image(path)
        )


def _raise(error: OSError) -> None:
    raise error


def count_loose(folder: Path) -> int:
    """Return the number of images that lie in a folder itself."""
    return sum(not is_passed_over(path.name) and is_image(path) and not path.is_dir() for path in folder.iterdir())


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
        raise SteelbenchError(
            f"the {what} {cut(name, MOST_OF_PATH)!r} is not valid UTF-8; rename it and run again."
        ) from None
    if "\r" in name:
        # CSV readers end a line at it.
        raise SteelbenchError(
            f"the {what} {cut(name, MOST_OF_PATH)!r} holds a carriage return; rename it and run again."
        )
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
