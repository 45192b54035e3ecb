"""What is wrong with the bytes of an image file, found before they are decoded; the alpha of a TIFF made plain."""

from __future__ import annotations

import struct
import zlib

from steelbench.data import MAX_PIXELS
from steelbench.data.declared_size import JPEG, is_short_bmp, read_jpeg
from steelbench.data.file_headers import PNG, TIFF, pnm_problem

JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"


def damage_of(data: bytes) -> str:
    """Return why a file is not decoded, "" for one that may be whole.

    These are files that OpenCV reports on stderr (PNG), fills with gray (JPEG, before version 5), or for which it first
    allocates all that their header promises (PGM, JPEG, run lengths of BMP).
    """
    if data.startswith(PNG):
        return _png_damage(data)
    if data.startswith(JPEG):
        return _jpeg_damage(data)
    return pnm_problem(data) or ("truncated BMP" if is_short_bmp(data) else "")


def _jpeg_damage(data: bytes) -> str:
    # An embedded preview has an end of its own, but it stands before the scan of the image.
    if data.rfind(JPEG_END) < data.rfind(JPEG_SCAN):
        return "truncated JPEG"
    layout = read_jpeg(data)
    return "" if layout is None or layout.can_be_whole else "truncated JPEG: its data end before the image does"


def _png_damage(data: bytes) -> str:
    at, kind = len(PNG), b""
    while kind != b"IEND":
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, content = data[at + 4 : at + 8], data[at + 8 : end - 4]
        if end > len(data):
            return "truncated PNG"
        if zlib.crc32(kind + content) != int.from_bytes(data[end - 4 : end], "big"):
            return "damaged PNG"
        if kind == b"IHDR" and len(content) == 13:
            width, height = struct.unpack(">II", content[:8])
            if width * height > MAX_PIXELS:
                return f"larger than {MAX_PIXELS} pixels"
        at = end
    return ""


def plain_alpha(data: bytes) -> bytes:
    """Declare the alpha of an RGBA TIFF a plain extra channel; libtiff would multiply the colours by it."""
    order = TIFF.get(data[:4])
    if order is None or len(data) < 10:
        return data
    start = struct.unpack_from(f"{order}I", data, 4)[0]
    if start + 2 > len(data):
        return data
    last = start + 2 + 12 * struct.unpack_from(f"{order}H", data, start)[0]
    for at in range(start + 2, min(last, len(data) - 11), 12):
        # Tag 338 is ExtraSamples: one short, 2 where the alpha is not yet multiplied in.
        if struct.unpack_from(f"{order}HHIH", data, at) == (338, 3, 1, 2):
            return data[: at + 8] + b"\0\0" + data[at + 10 :]
    return data
