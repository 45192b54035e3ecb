"""Image files that a user names: files, crops, folders, patterns, and a list of them on standard input."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from steelbench.data.images import EXTENSIONS, image_exists
from steelbench.data.samples import image_files, is_passed_over
from steelbench.errors import SteelbenchError
from steelbench.inference.archives.archive import StoredImage, is_url, stored_images

STANDARD_INPUT = "-"


def image_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files and crops as given, and the images below the folders and of the patterns, sorted.

    Hidden and system files and folders are passed over, also those that a shell names for `*`, unless no other path is
    given. A hidden file that is named as an image is one.

    Raises:
        SteelbenchError: if a path does not exist, a pattern fits nothing, or a folder holds no image.
        OSError: if a folder may not be read.
    """
    given = list(chain.from_iterable(map(_matches, paths)))
    for path in [path for path in given if _is_meant(path)] or given:
        if not path.exists() and not image_exists(path):
            raise SteelbenchError(f"{path} does not exist; name image files or folders of images.")
        if not path.is_dir():
            yield path
            continue
        found = sorted(image_files(path))
        if not found:
            raise SteelbenchError(f"{path} holds no image; expected .bmp .jpg .png .tif or .webp files.")
        yield from found


def _is_meant(path: Path) -> bool:
    """Return whether a path of several stands for images; the system's `._NAME.jpg` are none."""
    if not is_passed_over(path.name):
        return True
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith("._") and not path.is_dir()


def _matches(path: Path) -> list[Path]:
    """Return what a pattern fits, sorted; the path itself where it is none, or names something that is there."""
    text = str(path)
    if not glob.has_magic(text) or path.exists() or image_exists(path):
        return [path]
    # Not `Path.glob`, which takes no absolute pattern.
    found = sorted(map(Path, glob.iglob(text, recursive=True)))  # noqa: PTH207
    if not found:
        raise SteelbenchError(f"nothing fits the pattern {text}; put it in quotes, and ** for folders at any depth.")
    return found


def given_paths(paths: Iterable[Path]) -> tuple[Iterable[Path], int | None]:
    """Return the images of a command line, and how many they are; None where a list on standard input has no end yet.

    Raises:
        SteelbenchError: as `image_paths`, for the paths that are not on standard input.
    """
    given = list(paths)
    named = [path for path in given if str(path) != STANDARD_INPUT]
    files = list(image_paths(named)) if named else []
    if len(named) == len(given):
        return files, len(files)
    return chain(files, listed_paths()), None


def named_images(names: Sequence[str]) -> tuple[Iterable[Path | StoredImage], int | None]:
    """Return the images of a command line that may name URLs, and how many they are, as `given_paths`.

    Raises:
        SteelbenchError: as `given_paths` and `stored_images`.
    """
    if not any(map(is_url, names)):
        return given_paths(map(Path, names))
    found: list[Path | StoredImage] = []
    for name in names:
        if name == STANDARD_INPUT:
            raise SteelbenchError("- and URLs do not go together; name URLs, or list files on standard input.")
        found += stored_images(name) if is_url(name) else image_paths([Path(name)])
    return found, len(found)


def listed_paths() -> Iterator[Path]:
    """Yield the images of a list on standard input, a path on each line, as the lines come.

    A line that names nothing is yielded as it is, so that it gets a reason in its place.
    """
    for line in sys.stdin:
        path = Path(line.rstrip("\r\n"))
        if not line.strip():
            continue
        if path.is_dir():
            yield from sorted(image_files(path))
        else:
            yield path
