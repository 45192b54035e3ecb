"""Image files to RGB pixels, uint8 or resized float32; sizes and formats of hostile files are checked first."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage
from steelbench.data import MAX_PIXELS
from steelbench.data.crops import Crop, locate
from steelbench.data.declared_size import JPEG, declared_size, read_jpeg
from steelbench.data.file_damage import damage_of, plain_alpha
from steelbench.data.file_headers import (
    HEAD,
    begins_like_image,
    first_tiff_page,
    holds_several,
)
from steelbench.data.recent_files import RecentFiles

MAX_BYTES = 512 * 1024 * 1024
EXTENSIONS = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
READ_TYPES = "8 or 16 bit unsigned integers are read"
# Read as coded data, these make blocks that are not those of a flat area.
MORE_CODED = bytes((167 * place + 89) % 255 for place in range(64))
# Bytes of one channel of an image; those above are read one at a time, as each takes some twelve times as many.
LARGE = 16_000_000
# Values that are scaled at once; a table of 16-bit values needs indices of 8 bytes each.
AT_ONCE = 1 << 20
_large = Lock()


class UnreadableImageError(Exception):
    """Raised for an image that is skipped; the message is the reason in `skipped_images.csv`."""


@dataclass(frozen=True)
class Decoded:
    """A decoded image file.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, 0..255.
        bits: of a value as the file stores it, 8 or 16.
        largest: value as the file stores it.
        several: whether the file holds more pages or frames, which are not read.
    """

    pixels: RGBImage
    bits: int
    largest: int
    several: bool = False


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix, or without a suffix by its first bytes, and is not hidden."""
    if path.name.startswith("."):
        return False
    return path.suffix.lower() in EXTENSIONS if path.suffix else _begins_like_image(path)


def _begins_like_image(path: Path) -> bool:
    try:
        # A named pipe would wait for a writer.
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return begins_like_image(file.read(HEAD))
    except OSError:
        return False


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UnreadableImageError: if it cannot be opened, is empty, no plain file, or larger than `MAX_BYTES`.
    """
    try:
        if not path.is_file():
            raise UnreadableImageError("no such file")
        refuse_bytes(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImageError(f"cannot be opened ({error.strerror})") from None


def refuse_bytes(size: int) -> None:
    """Raise `UnreadableImageError` for a file of no bytes, or of more than `MAX_BYTES`."""
    if size == 0:
        raise UnreadableImageError("the file is empty")
    if size > MAX_BYTES:
        raise UnreadableImageError(f"the file has {size} bytes, more than the {MAX_BYTES} that are read")


def decode(data: bytes, bit_depth: int | None = None) -> Decoded:
    """Decode BMP, PNG, JPEG, TIFF, WebP, GIF, PGM or PPM to RGB; of several pages or frames the first.

    Gray is repeated into three channels, alpha is dropped, the EXIF turn is applied. 16-bit values are divided by 257
    (or by what maps `2**bit_depth - 1` to 255), the same for every image: stretching each by its own range would
    erase the brightness that separates some classes.

    Args:
        data: the bytes of the file.
        bit_depth: used bits of 16-bit files, for example 12; None means all 16.

    Returns:
        Pixels uint8 [H, W, 3], RGB, 0..255, with the file's depth.

    Raises:
        UnreadableImageError: if it cannot be decoded, has more than `MAX_PIXELS` pixels (half as many of 16 bits), or
            values that do not fit.
    """
    problem = damage_of(data)
    if problem:
        raise UnreadableImageError(problem)
    size = declared_size(data)
    if size is not None:
        _refuse_large(size.width * size.height, size.bits > 8)
    with one_large(size.bytes if size else 0):
        return _decode(data, bit_depth)


def one_large(size: int) -> contextlib.AbstractContextManager[object]:
    """Return a context in which no other thread works on a large image, if this one is large.

    Args:
        size: bytes of one channel.
    """
    return _large if size > LARGE else contextlib.nullcontext()


def _refuse_large(pixels: int, deep: bool) -> None:
    """Raise for an image that takes more memory than one of `MAX_PIXELS` in 8 bits."""
    most = MAX_PIXELS // 2 if deep else MAX_PIXELS
    if pixels > most:
        raise UnreadableImageError(f"larger than {most} pixels{' of 16 bits' if deep else ''}")


def _decode(data: bytes, bit_depth: int | None) -> Decoded:
    pixels = _decoded(plain_alpha(data))
    if data.startswith(JPEG) and _ends_early(data, pixels):
        raise UnreadableImageError("truncated JPEG: its data end before the image does")
    largest, several = int(pixels.max()), holds_several(data)
    if pixels.dtype == np.uint8:
        return Decoded(pixels.astype(np.uint8, copy=False), 8, largest, several)
    top = 2 ** (bit_depth or 16) - 1
    if largest > top:
        raise UnreadableImageError(f"holds the value {largest}, more than --bit-depth {bit_depth} allows ({top})")
    page = first_tiff_page(data)
    values = np.arange(top + 1)
    # OpenCV turns inverted gray of 8 bits, but not of 16.
    upright = values[::-1] if page and page.inverted else values
    scale = np.rint(upright.astype(np.float32) * np.float32(255 / top)).astype(np.uint8)
    return Decoded(_looked_up(scale, pixels), 16, largest, several)


def _looked_up(scale: NDArray[np.uint8], pixels: NDArray[np.uint8 | np.uint16]) -> RGBImage:
    """Return the value of a table for each pixel, uint8 of the same shape."""
    found = np.empty(pixels.shape, np.uint8)
    rows = max(1, AT_ONCE // max(1, pixels[0].size))
    for start in range(0, len(pixels), rows):
        part = slice(start, start + rows)
        np.take(scale, pixels[part], out=found[part])
    return found


def _ends_early(data: bytes, pixels: NDArray[np.uint8 | np.uint16]) -> bool:
    """Return whether the coded data of a JPEG end before its last block; the decoder leaves the rest flat.

    What follows the last block is not read. So bytes that are put before the end marker change the image only if
    blocks are missing. A second decoding is needed where a corner is flat, or where coding in several passes hides it.
    """
    layout = read_jpeg(data)
    if layout is None or not (layout.progressive or _has_flat_corner(pixels)):
        return False
    try:
        other = _decoded(data[: layout.end] + MORE_CODED + data[layout.end :])
    except UnreadableImageError:
        return True
    return not np.array_equal(pixels, other)


def _has_flat_corner(pixels: NDArray[np.uint8 | np.uint16]) -> bool:
    corners = [pixels[rows, columns] for rows in (slice(4), slice(-4, None)) for columns in (slice(4), slice(-4, None))]
    return any(bool((corner == corner[0, 0]).all()) for corner in corners)


def _decoded(data: bytes) -> NDArray[np.uint8 | np.uint16]:
    """Return the pixels as the file stores them, uint8 or uint16 [H, W, 3], RGB."""
    try:
        # Not IMREAD_UNCHANGED: it would leave the EXIF turn and the alpha channel to us.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        large = "CV_IO_MAX_IMAGE" in str(error)
        raise UnreadableImageError(f"larger than {MAX_PIXELS} pixels" if large else "damaged or no image") from None
    if pixels is None or pixels.size == 0:
        page = first_tiff_page(data)
        stored = page.pixels if page else ""
        if stored.startswith(("float", "complex")) or stored in ("int32", "uint32", "int64", "uint64"):
            raise UnreadableImageError(f"{stored} pixels; {READ_TYPES}")
        raise UnreadableImageError("damaged, truncated or no image")
    _refuse_large(pixels.shape[0] * pixels.shape[1], pixels.dtype == np.uint16)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UnreadableImageError(f"{pixels.dtype} pixels; {READ_TYPES}")
    # In place: a large image is not held twice.
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, pixels))


@dataclass(frozen=True)
class OpenedImage:
    """A whole image, or a crop of it, with the bytes of its file.

    Attributes:
        data: bytes of the file.
        image: the decoded pixels, of the crop alone.
        crop: None for a whole image.
        share: of the file's pixels, 0..1.
    """

    data: bytes
    image: Decoded
    crop: Crop | None = None
    share: float = 1.0

    @property
    def digest(self) -> str:
        """Return the sha256 of the file's bytes; of a crop, of those and the rectangle."""
        digest = hashlib.sha256(self.data)
        if self.crop:
            digest.update(f"#{self.crop}".encode())
        return digest.hexdigest()


def open_image(path: Path, bit_depth: int | None = None) -> OpenedImage:
    """Read and decode an image file, or cut a crop out of one, which is decoded once for all of its crops.

    Args:
        path: of the file, or a crop's address `path#x,y,w,h`.
        bit_depth: used bits of 16-bit files; None means all 16.

    Raises:
        UnreadableImageError: with the reason; also for a crop that leaves its image.
    """
    source, crop = locate(path)
    if crop is None:
        return _open_file(path, bit_depth)
    whole = _recent_files(source, bit_depth)
    height, width = whole.image.pixels.shape[:2]
    if crop.x + crop.width > width or crop.y + crop.height > height:
        raise UnreadableImageError(f"the crop {crop} leaves the image, which is {width} pixels wide and {height} high")
    # A copy, so that whoever keeps the crop does not keep the whole image.
    cut = whole.image.pixels[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width].copy()
    image = dataclasses.replace(whole.image, pixels=cut)
    return OpenedImage(whole.data, image, crop, crop.width * crop.height / (width * height))


def _open_file(path: Path, bit_depth: int | None) -> OpenedImage:
    data = read_bytes(path)
    return OpenedImage(data, decode(data, bit_depth))


_recent_files = RecentFiles(_open_file, lambda found: len(found.data) + found.image.pixels.nbytes)


def read_image(path: Path, bit_depth: int | None = None) -> RGBImage:
    """Read and decode an image file, or a crop of one.

    Args:
        path: of the file, or a crop's address `path#x,y,w,h`.
        bit_depth: used bits of 16-bit files; None means all 16.

    Returns:
        uint8 [H, W, 3], RGB, 0..255.

    Raises:
        UnreadableImageError: with the reason.
    """
    return open_image(path, bit_depth).image.pixels


def image_exists(path: Path) -> bool:
    """Return whether an image file, or the file of a crop's address, is there."""
    return locate(path)[0].is_file()


def resize(pixels: RGBImage, size: int) -> NDArray[np.float32]:
    """Resize to a square as `keras.layers.Resizing` does (bilinear, pixel centres at .5, no antialiasing).

    In float32, because OpenCV's bilinear on uint8 rounds each pixel.

    Args:
        pixels: uint8 [H, W, 3], 0..255.
        size: side of the square, pixels.

    Returns:
        float32 [size, size, 3], 0..255.
    """
    with one_large(pixels.shape[0] * pixels.shape[1]):
        resized = cv2.resize(pixels.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


class ImageFiles:
    """Images read from files on demand; nothing is kept in memory but the last files that crops were cut from.

    Args:
        root: folder that paths start from.
        paths: one for each row, of files or crops.
        bit_depth: used bits of 16-bit files; None means all 16.
    """

    def __init__(self, root: Path, paths: Sequence[str], bit_depth: int | None) -> None:
        self.root, self.paths, self.bit_depth = root, paths, bit_depth

    def path(self, row: int) -> Path:
        """Return the file of a row, or the address of its crop."""
        return self.root / self.paths[row]

    def raw(self, rows: Iterable[int]) -> Iterator[RGBImage]:
        """Yield the pixels of each row, uint8 [H, W, 3], one at a time."""
        return (read_image(self.path(row), self.bit_depth) for row in rows)

    def resized(self, rows: Iterable[int], size: int) -> NDArray[np.float32]:
        """Return the rows resized to squares, float32 [N, size, size, 3], 0..255."""
        return np.stack([resize(image, size) for image in self.raw(rows)])
