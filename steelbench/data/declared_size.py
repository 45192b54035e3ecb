"""What an image file declares about its size before it is decoded, and whether its bytes can hold so much."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from steelbench.data.file_headers import GIF, PNG, PNM, TIFF, first_tiff_page

JPEG = b"\xff\xd8\xff"
# Start of a frame, by how it is coded: one pass over all blocks, or several.
SEQUENTIAL, PROGRESSIVE = (0xC0, 0xC1), (0xC2,)
SCAN, END = 0xDA, 0xD9
# Ends coded data: neither a stuffed zero, a restart, nor a filler.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
RLE = (1, 2)
# Of BMP's run lengths: two bytes for at most so many pixels.
LONGEST_RUN = 255


class Declared(NamedTuple):
    """Width and height in pixels, and bits of a value."""

    width: int
    height: int
    bits: int = 8

    @property
    def bytes(self) -> int:
        """Return the memory of one channel."""
        return self.width * self.height * (2 if self.bits > 8 else 1)


@dataclass(frozen=True)
class JpegLayout:
    """The parts of a JPEG file.

    Attributes:
        width: pixels.
        height: pixels.
        blocks: of 8 x 8 values, of all components together.
        progressive: whether its blocks are coded in several passes.
        coded: bytes of coded data.
        end: place of the marker that ends the image.
    """

    width: int
    height: int
    blocks: int
    progressive: bool
    coded: int
    end: int

    @property
    def can_be_whole(self) -> bool:
        """Return whether there is at least a bit for the mean of each block, and one for the end of each block."""
        return 8 * self.coded >= self.blocks * (1 if self.progressive else 2)


def declared_size(data: bytes) -> Declared | None:
    """Return what the header of an image file says; None for a format without one, or a damaged header."""
    try:
        return _declared(data)
    except (struct.error, IndexError, ValueError):
        return None


def _declared(data: bytes) -> Declared | None:
    if data.startswith(PNG):
        width, height, bits = struct.unpack_from(">IIB", data, 16)
        return Declared(width, height, bits)
    if data.startswith(JPEG):
        found = read_jpeg(data)
        return Declared(found.width, found.height) if found else None
    if data.startswith(b"BM"):
        width, height = struct.unpack_from("<ii", data, 18)
        return Declared(abs(width), abs(height))
    if data.startswith(GIF):
        return Declared(*struct.unpack_from("<HH", data, 6))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in TIFF:
        page = first_tiff_page(data)
        return Declared(page.width, page.height, page.bits) if page else None
    found_pnm = PNM.match(data[:4096])
    if found_pnm:
        _, width, height, largest = map(int, found_pnm.groups())
        return Declared(width, height, 16 if largest > 255 else 8)
    return None


def _webp(data: bytes) -> Declared | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return Declared(*(1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27)))
    if kind == b"VP8L":
        packed = struct.unpack_from("<I", data, 21)[0]
        return Declared(1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))
    width, height = struct.unpack_from("<HH", data, 26)
    return Declared(width & 0x3FFF, height & 0x3FFF)


def is_short_bmp(data: bytes) -> bool:
    """Return whether a BMP of run lengths has fewer runs than its pixels need; the rest would be whatever was there."""
    if not data.startswith(b"BM") or len(data) < 54 or struct.unpack_from("<I", data, 30)[0] not in RLE:
        return False
    size = declared_size(data)
    return size is not None and len(data) < 2 * size.width * size.height / LONGEST_RUN


def read_jpeg(data: bytes) -> JpegLayout | None:
    """Return the layout of a JPEG; None if it is damaged, has no end, or is coded in a way that is not checked."""
    frame: tuple[int, int, int, bool] | None = None
    coded = 0
    try:
        for kind, at, end in _segments(data):
            if kind in (*SEQUENTIAL, *PROGRESSIVE) and frame is None:
                frame = (*_frame(data, at), kind in PROGRESSIVE)
            if kind == SCAN:
                coded += end - at
            if kind == END and frame is not None:
                width, height, blocks, progressive = frame
                return JpegLayout(width, height, blocks, progressive, coded, at - 2)
    except (struct.error, IndexError, ZeroDivisionError):
        pass
    return None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, begin and end of the content of each segment, of a scan with its coded data; the end marker last."""
    at = 2
    while at + 4 <= len(data) or data[at : at + 2] == b"\xff\xd9":
        if data[at] != 0xFF:
            return
        kind = data[at + 1]
        if kind == 0xFF:
            at += 1
            continue
        if kind == END:
            yield kind, at + 2, at + 2
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if kind == SCAN:
            found = MARKER.search(data, end)
            end = found.start() if found else len(data)
        yield kind, at + 4, end
        at = end


def _frame(data: bytes, at: int) -> tuple[int, int, int]:
    """Return width, height and number of blocks of a frame's header."""
    height, width, components = struct.unpack_from(">HHB", data, at + 1)
    factors = [divmod(data[at + 7 + 3 * number], 16) for number in range(components)]
    most_x, most_y = (max(own) for own in zip(*factors, strict=True))
    blocks = sum(-(-width * x // (8 * most_x)) * -(-height * y // (8 * most_y)) for x, y in factors)
    return width, height, blocks
