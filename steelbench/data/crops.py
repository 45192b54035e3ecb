"""Addresses of crops: `path#x,y,w,h` names a rectangle of an image file, wherever a path names a whole image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_ADDRESS = re.compile(r"(.+)#(\d{1,9}),(\d{1,9}),([1-9]\d{0,8}),([1-9]\d{0,8})", re.ASCII | re.DOTALL)


class Crop(NamedTuple):
    """A rectangle of an image: left, top, width and height, whole pixels."""

    x: int
    y: int
    width: int
    height: int

    def __str__(self) -> str:
        return ",".join(map(str, self))


def crop_address(path: str, crop: Crop) -> str:
    """Return `path#x,y,w,h`."""
    return f"{path}#{crop}"


def split_address(address: str) -> tuple[str, Crop | None]:
    """Return the path of the image file, and the crop; None for a whole image."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return address, None
    path, *numbers = match.groups()
    return path, Crop(*map(int, numbers))


def source_path(address: str) -> str:
    """Return the path of the image file that an address names: the address itself for a whole image."""
    return split_address(address)[0]


def locate(path: Path) -> tuple[Path, Crop | None]:
    """Return the image file and the crop; a file of that very name wins over the crop of another."""
    source, crop = split_address(str(path))
    return (path, None) if crop is None or _is_file(path) else (Path(source), crop)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # too long a name
        return False
