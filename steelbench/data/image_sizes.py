"""The size of an image by its file's header, as it is after decoding; nothing is decoded where the header tells it."""

from __future__ import annotations

import warnings
from pathlib import Path

from steelbench.data import MAX_PIXELS
from steelbench.data.images import UnreadableImageError, read_image

_ORIENTATION = 0x0112  # of EXIF
_ON_ITS_SIDE = (5, 6, 7, 8)
# Formats that Pillow reads by the header alone; of others OpenCV may read another frame or size.
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


def image_size(path: Path) -> tuple[int, int] | None:
    """Return width and height, pixels; None for a file that cannot be read."""
    return _by_header(path) or _by_decoding(path)


def _by_header(path: Path) -> tuple[int, int] | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged tags; large images are left to the decoder
            with Image.open(path, formats=_FORMATS) as image:
                # Of a TIFF `size` is turned already in some versions of Pillow.
                tags = getattr(image, "tag_v2", None)
                width, height = image.size if tags is None else (int(tags[256]), int(tags[257]))
                turned = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
    # Of a hostile header Pillow raises nearly anything: struct.error, KeyError, DecompressionBombError ...
    except Exception:
        return None
    if not 0 < width * height <= MAX_PIXELS:
        return None
    return (height, width) if turned else (width, height)


def _by_decoding(path: Path) -> tuple[int, int] | None:
    try:
        height, width = read_image(path).shape[:2]
    except UnreadableImageError:
        return None
    return width, height
