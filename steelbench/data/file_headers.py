"""What the headers of image files say that OpenCV does not: kind, TIFF's inverted gray and number types, pages."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

# Bytes of a file that tell its kind.
HEAD = 16
TIFF = {b"II*\0": "<", b"MM\0*": ">"}
PNG = b"\x89PNG\r\n\x1a\n"
GIF = (b"GIF87a", b"GIF89a")
# Two bytes begin a BMP; many texts begin with them, too, but have no reserved zeros.
KINDS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|II\*\0|MM\0\*|RIFF....WEBP|BM....\0\0\0\0|P[2356]\s+[\d#]", re.DOTALL
)
# Magic number, then width, height and largest value; comments may stand between them.
PNM = re.compile(rb"P([2356])" + 3 * rb"(?:\s+|#[^\r\n]*[\r\n])+(\d{1,9})" + rb"\s")
SAMPLE_FORMATS = {1: "uint", 2: "int", 3: "float"}
# Lengths of one value of the types SHORT and LONG.
TIFF_TYPES = {3: ("H", 2), 4: ("I", 4)}
SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLE_FORMAT = 254, 256, 257, 258, 262, 339
WHITE_IS_ZERO = 0
# A preview or a mask of another page.
NO_PAGE = 1 | 4
# Pages may point to each other in circles.
MOST_PAGES = 16


@dataclass(frozen=True)
class TiffPage:
    """Header of a page of a TIFF.

    Attributes:
        inverted: whether 0 is white (PhotometricInterpretation WhiteIsZero).
        pixels: type of a value, such as `uint8` or `float32`.
        own: whether it is an image of its own, and no preview or mask of another page.
        width: pixels.
        height: pixels.
        bits: of a value.
    """

    inverted: bool
    pixels: str
    own: bool
    width: int
    height: int
    bits: int


def begins_like_image(head: bytes) -> bool:
    """Return whether the first `HEAD` bytes of a file are those of a format that is read."""
    return KINDS.match(head) is not None


def pnm_problem(data: bytes) -> str:
    """Return why a PGM or PPM is not read, "" for one that may be and for other formats.

    A file shorter than its header promises is refused before OpenCV allocates what the header promises.
    """
    if not re.match(rb"P[2356]\s", data):
        return ""
    found = PNM.match(data[:4096])
    if found is None:
        return "damaged PGM or PPM"
    kind, width, height, largest = map(int, found.groups())
    if not 255 <= largest <= 65535:
        return f"a PGM or PPM whose white is {largest}; 255 to 65535 is read"
    values = width * height * (3 if kind in (3, 6) else 1)
    # As text each value is a digit and a space at least, the last one a digit.
    needed = 2 * values - 1 if kind in (2, 3) else values * (1 if largest < 256 else 2)
    return "truncated PGM or PPM" if len(data) - found.end() < needed else ""


def first_tiff_page(data: bytes) -> TiffPage | None:
    """Return the header of a TIFF's first page; None for other formats and for damaged ones."""
    return next(_tiff_pages(data), None)


def holds_several(data: bytes) -> bool:
    """Return whether a file holds more than one image: pages of a TIFF, frames of a GIF, WebP or PNG."""
    if data[:4] in TIFF:
        return sum(page.own for page in _tiff_pages(data)) > 1
    if data.startswith(GIF):
        return _has_second_frame(data)
    if data.startswith(PNG):
        # Frames are announced before the pixels, in the chunk acTL.
        return b"acTL" in data[: max(0, data.find(b"IDAT"))]
    return data[:4] == b"RIFF" and data[12:16] == b"VP8X" and len(data) > 20 and bool(data[20] & 2)


def _tiff_pages(data: bytes) -> Iterator[TiffPage]:
    """Yield the first pages of a TIFF, at most `MOST_PAGES`, until the file ends or a header is damaged."""
    order = TIFF.get(data[:4])
    if order is None:
        return
    link = 4
    try:
        for _ in range(MOST_PAGES):
            start = struct.unpack_from(f"{order}I", data, link)[0]
            if not start:
                return
            count = struct.unpack_from(f"{order}H", data, start)[0]
            tags = dict(_entries(data, order, start + 2, count))
            yield TiffPage(
                inverted=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO,
                pixels=f"{SAMPLE_FORMATS.get(tags.get(SAMPLE_FORMAT, 1), 'complex')}{tags.get(BITS, 1)}",
                own=not tags.get(SUBFILE, 0) & NO_PAGE,
                width=tags.get(WIDTH, 0),
                height=tags.get(HEIGHT, 0),
                bits=tags.get(BITS, 1),
            )
            link = start + 2 + 12 * count
    except struct.error:
        return


def _entries(data: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the tags above with their first value."""
    for at in range(start, start + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
        if tag not in (SUBFILE, WIDTH, HEIGHT, BITS, PHOTOMETRIC, SAMPLE_FORMAT) or kind not in TIFF_TYPES:
            continue
        letter, length = TIFF_TYPES[kind]
        # Four bytes of values stand in the entry, more of them elsewhere.
        place = at + 8 if values * length <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
        yield tag, struct.unpack_from(f"{order}{letter}", data, place)[0]


def _has_second_frame(data: bytes) -> bool:
    """Return whether a GIF has two frames or more; blocks are passed over by their lengths."""
    try:
        at, frames = 13 + _colours(data[10]), 0
        while data[at] != 0x3B:
            if data[at] == 0x2C:
                frames += 1
                at += 11 + _colours(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:
                return False
            if frames > 1:
                return True
            while data[at]:
                at += data[at] + 1
            at += 1
    except IndexError:
        pass
    return False


def _colours(packed: int) -> int:
    """Return the bytes of a GIF's table of colours, whose size the packed field before it gives."""
    return 3 * 2 ** ((packed & 7) + 1) if packed & 0x80 else 0
