"""Statistics of one image without knowing what it shows: format, size, JPEG quality, gray levels, sharpness."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

from steelbench.arrays import RGBImage
from steelbench.data.images import open_image
from steelbench.data.inspection import Inspected
from steelbench.data.parallel import ordered_map

# Not Pillow's `Image.open(...).format`, which parses the whole header: of files that OpenCV decodes it refuses some
# and warns about others (damaged TIFF tags), and a format "unknown" of one class would count as a shortcut.
_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP",
}
# Luminance quantisation of the JPEG standard, annex K.1: libjpeg scales it by its quality.
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

# Pillow warns about a damaged EXIF block on the way to the quantisation tables; nothing here reads EXIF.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of one image file, or of a crop of one.

    Attributes:
        file: path below the data folder, or a crop's address.
        label: class name.
        format: as the content says, such as `PNG`.
        height: pixels.
        width: pixels.
        file_bytes: size of the file; of a crop, its share of that.
        quality: JPEG quality, 1..100; None for other formats.
        levels: int32 [256], number of pixels of each gray level; of 100,000 images 100 MB.
        sharpness: variance of the Laplacian of the gray levels.
    """

    file: str
    label: str
    format: str
    height: int
    width: int
    file_bytes: int
    quality: int | None
    levels: NDArray[np.int32]
    sharpness: float

    @property
    def brightness(self) -> float:
        """Mean gray level, 0..255."""
        return float(self.levels @ np.arange(256) / self.levels.sum())

    def share_up_to(self, level: int) -> float:
        """Return the share of the pixels of a gray level of at most `level`, 0..1."""
        return float(self.levels[: level + 1].sum() / self.levels.sum())

    @property
    def contrast(self) -> float:
        """Standard deviation of the gray levels."""
        squares = self.levels @ (np.arange(256) - self.brightness) ** 2
        return float(np.sqrt(squares / self.levels.sum()))

    @property
    def bytes_per_pixel(self) -> float:
        """Size of the file for each pixel."""
        return self.file_bytes / (self.height * self.width)


def measure_images(
    root: Path,
    images: Sequence[Inspected],
    bit_depth: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[ImageStatistics]:
    """Read each image again and return its statistics, in the order of `images`.

    Args:
        root: folder that relative paths of the images start from.
        images: usable images.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the number of images done.
    """
    measured = []
    for statistics in ordered_map(lambda image: _measure(root, image, bit_depth), images, threads=2, ahead=16):
        measured.append(statistics)
        progress(len(measured))
    return measured


def _measure(root: Path, image: Inspected, bit_depth: int | None) -> ImageStatistics:
    opened = open_image(root / image.sample.path, bit_depth)
    data, gray = opened.data, _gray(opened.image.pixels)
    name = file_format(data)
    return ImageStatistics(
        file=image.sample.path,
        label=image.sample.label,
        format=name,
        height=image.height,
        width=image.width,
        file_bytes=round(len(data) * opened.share),
        quality=jpeg_quality(data) if name == "JPEG" else None,
        levels=np.bincount(gray.ravel(), minlength=256).astype(np.int32),
        sharpness=float(cv2.Laplacian(gray, cv2.CV_32F).var()),
    )


def _gray(pixels: RGBImage) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)


def file_format(data: bytes) -> str:
    """Return the format that the content says, whatever the name's suffix; `other` if unknown."""
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), "other")


def jpeg_quality(data: bytes) -> int | None:
    """Estimate the quality that libjpeg wrote a file with.

    Args:
        data: bytes of a JPEG file.

    Returns:
        The quality 1..100 whose luminance table has the sum nearest to that of the file's first table; None if the
        file has no readable table.
    """
    try:
        # The class and not Image.open: no other format can claim the bytes, and the reader's own limit on pixels holds.
        tables = list(JpegImageFile(BytesIO(data)).quantization.values())
    except (OSError, SyntaxError, ValueError):
        return None
    return _quality(sum(tables[0])) if tables else None


def _quality(total: int) -> int:
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = np.clip((scales[:, None] * _STANDARD + 50) // 100, 1, 255)
    return int(qualities[np.abs(tables.sum(axis=1) - total).argmin()])


def doubtful_images(measured: Sequence[ImageStatistics]) -> dict[str, list[str]]:
    """Return the files that are almost black, almost white, or blurred in comparison with the set, by that fault."""
    black = [image.file for image in measured if image.share_up_to(_BLACK - 1) >= 0.99]
    white = [image.file for image in measured if image.share_up_to(_WHITE) <= 0.01]
    usual = float(np.median([image.sharpness for image in measured])) if measured else 0.0
    plain = set(black) | set(white)
    blurred = [image.file for image in measured if image.sharpness < _BLURRED * usual and image.file not in plain]
    return {"almost black": black, "almost white": white, "blurred": blurred}
