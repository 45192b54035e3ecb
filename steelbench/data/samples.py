"""A labelled path, what readers give back, and how folders are looked through."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.errors import SteelbenchError


@dataclass(frozen=True)
class Sample:
    """One labelled image. `path` is relative to the data folder, with '/'; `split` and `group` may be empty."""

    path: str
    label: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Dataset:
    """What a reader found; nothing is decoded yet.

    `left_out` counts images by the reason they are not used,
    `empty` names class folders without an image."""

    root: Path
    samples: tuple[Sample, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    empty: tuple[str, ...] = ()


def visible_folders(root: Path) -> list[Path]:
    """The visible folders, without links to a folder above: every image would be read again under another label."""
    real = root.resolve()
    return sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not real.is_relative_to(path.resolve())
    )


def image_files(folder: Path) -> Iterator[Path]:
    """The images below a folder; hidden files and folders are passed over."""
    # Not rglob, which passes over a folder that may not be read without a word.
    for place, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in (Path(place, name) for name in names) if is_image(path))


def _raise(error: OSError) -> None:
    raise error


def count_loose(folder: Path) -> int:
    """The images that lie in a folder itself."""
    return sum(is_image(path) and not path.is_dir() for path in folder.iterdir())


def clean_text(name: str, what: str) -> str:
    """The name as it may stand in a CSV: the same characters however a file system composed them."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SteelbenchError(f"the {what} {name!r} is not valid UTF-8; rename it and run again.") from None
    if "\r" in name:
        # CSV readers take it for the end of a line.
        raise SteelbenchError(f"the {what} {name!r} holds a carriage return; rename it and run again.")
    return unicodedata.normalize("NFC", name)


def make_sample(root: Path, path: Path, label: str, split: str = "") -> Sample:
    """A file as a `Sample`.

    Raises:
        SteelbenchError: if its name or its label cannot stand in a CSV.
    """
    relative = path.relative_to(root).as_posix()
    clean_text(relative, "file name")
    return Sample(relative, clean_text(label, "class folder"), split)
