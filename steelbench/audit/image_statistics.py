"""What can be said of an image without knowing what it shows: format, size, compression, brightness, sharpness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import RGB, decode, read_bytes
from steelbench.data.inspection import Inspected
from steelbench.data.parallel import ordered_map

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP",
}
# Luminance quantisation of the JPEG standard, annex K.1: what libjpeg scales by its quality.
_STANDARD = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
        *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
        *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
)
# Gray levels. An image is almost black (white) if 99 % of it is below (above), and blurred if its sharpness is
# below a hundredth of the set's median.
_BLACK, _WHITE = 20, 235
_BLURRED = 0.01


@dataclass(frozen=True)
class ImageStatistics:
    """One image's outside. `quality` is the JPEG quality 1..100, or None; `levels` counts gray levels, int [256]."""

    file: str
    label: str
    format: str
    height: int
    width: int
    file_bytes: int
    quality: int | None
    levels: NDArray[np.int64]
    sharpness: float

    @property
    def brightness(self) -> float:
        """Mean gray level, 0..255."""
        return float(self.levels @ np.arange(256) / self.levels.sum())

    @property
    def contrast(self) -> float:
        """Standard deviation of the gray levels."""
        squares = self.levels @ (np.arange(256) - self.brightness) ** 2
        return float(np.sqrt(squares / self.levels.sum()))

    @property
    def bytes_per_pixel(self) -> float:
        """Size of the file for each pixel."""
        return self.file_bytes / (self.height * self.width)


def look_at_images(
    root: Path,
    images: tuple[Inspected, ...],
    bit_depth: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ImageStatistics]:
    """Read each image again and say what it looks like, in the order of `images`."""
    looks = []
    for look in ordered_map(lambda image: _look(root, image, bit_depth), images, threads=2, ahead=16):
        looks.append(look)
        progress(len(looks))
    return looks


def _look(root: Path, image: Inspected, bit_depth: int | None) -> ImageStatistics:
    data = read_bytes(root / image.sample.path)
    pixels = decode(data, bit_depth).pixels
    name, sharp = file_format(data), _sharpness(pixels)
    levels = np.bincount(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).ravel(), minlength=256)
    quality = jpeg_quality(data) if name == "JPEG" else None
    sample = image.sample
    return ImageStatistics(
        sample.path, sample.label, name, image.height, image.width, len(data), quality, levels, sharp
    )


def _sharpness(pixels: RGB) -> float:
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(gray, cv2.CV_32F).var())


def file_format(data: bytes) -> str:
    """The format that the content says, whatever the name's suffix."""
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), "other")


def jpeg_quality(data: bytes) -> int | None:
    """The quality 1..100 whose luminance table, scaled as libjpeg does, is like the file's; None if it has none."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] == 0xDB:
            wide = data[place + 4] >> 4 if place + 4 < len(data) else 0
            end = place + 5 + 64 * (1 + wide)
            if wide > 1 or len(data) < end:
                return None
            return _quality(int(np.frombuffer(data[place + 5 : end], ">u2" if wide else "u1").sum(dtype=np.int64)))
        place += 2 + length
    return None


def _quality(total: int) -> int:
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = np.clip((scales[:, None] * _STANDARD + 50) // 100, 1, 255)
    return int(qualities[np.abs(tables.sum(axis=1) - total).argmin()])


def doubtful_images(looks: list[ImageStatistics]) -> dict[str, list[str]]:
    """Files that are almost black, almost white, or blurred in comparison with the set."""
    share = [np.cumsum(look.levels) / look.levels.sum() for look in looks]
    black = [look.file for look, below in zip(looks, share, strict=True) if below[_BLACK - 1] >= 0.99]
    white = [look.file for look, below in zip(looks, share, strict=True) if below[_WHITE] <= 0.01]
    usual = float(np.median([look.sharpness for look in looks])) if looks else 0.0
    dark_or_bright = set(black) | set(white)
    blurred = [look.file for look in looks if look.sharpness < _BLURRED * usual and look.file not in dark_or_bright]
    return {"almost black": black, "almost white": white, "blurred": blurred}
