"""Addresses of crops: `path#x,y,w,h` names a rectangle of an image file, wherever a path names a whole image."""

from __future__ import annotations

import re
from typing import NamedTuple

_ADDRESS = re.compile(r"(.+)#(\d{1,9}),(\d{1,9}),([1-9]\d{0,8}),([1-9]\d{0,8})", re.DOTALL)


class Crop(NamedTuple):
    """A rectangle of an image: left, top, width and height, whole pixels."""

    x: int
    y: int
    width: int
    height: int


def crop_address(path: str, crop: Crop) -> str:
    """Return `path#x,y,w,h`."""
    return f"{path}#{crop.x},{crop.y},{crop.width},{crop.height}"


def split_address(address: str) -> tuple[str, Crop | None]:
    """Return the path of the image file, and the crop; None for a whole image."""
    match = _ADDRESS.fullmatch(address)
    if match is None:
        return address, None
    path, *numbers = match.groups()
    return path, Crop(*map(int, numbers))
