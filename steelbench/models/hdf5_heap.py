"""Texts of an HDF5 file lie in global heaps; one whose sizes are damaged keeps the HDF5 library busy without end."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

# A collection: signature, version 1, three zero bytes; then its size. HDF5 File Format Specification 3.0, III.E.
SIGNATURE = b"GCOL\x01\x00\x00\x00"
HEADER = 16
# An object: index, count of references, reserved, size.
OBJECT = struct.Struct("<HHIQ")
ADDRESSES = 1 << 64


def refuse_endless(path: Path) -> None:
    """Raise for a file that the HDF5 library would read without end.

    The library steps from object to object by their sizes; a free space (index 0) of size 0 is a step of 0.

    Args:
        path: of a regular file.

    Raises:
        OSError: for such a file, or if it cannot be read.
    """
    with path.open("rb") as file:
        if not file.read(1):
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            start = data.find(SIGNATURE)
            while start >= 0:
                if _stands_still(data, start):
                    raise OSError("the sizes of its texts are damaged")
                start = data.find(SIGNATURE, start + len(SIGNATURE))


def _stands_still(data: mmap.mmap, start: int) -> bool:
    """Return whether a step through the collection that starts here leads nowhere, or back."""
    if start + HEADER > len(data):
        return False
    end = start + int.from_bytes(data[start + 8 : start + HEADER], "little")
    # Where the collection ends beyond the file, the library refuses it.
    place = start + HEADER
    while place + OBJECT.size <= min(end, len(data)):
        index, _, _, size = OBJECT.unpack_from(data, place)
        step = (size if index == 0 else OBJECT.size + -(-size // 8) * 8) % ADDRESSES
        # A step of more than half of all addresses is one back.
        if step == 0 or step >= ADDRESSES // 2:
            return True
        place += step
    return False
