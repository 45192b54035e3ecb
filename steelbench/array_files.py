"""Read `.npz` files from outside: what they declare is bounded before any number is read; never pickle."""

from __future__ import annotations

import math
import stat
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MAX_ARRAYS = 1000
# Of the zip's own structure and the headers of the arrays, beside their numbers.
OVERHEAD = 1 << 20
# Booleans, numbers and text of a fixed length; objects would be pickled, records hold anything.
KINDS = "biufSU"
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArrayFileError(ValueError):
    """A file that holds no arrays within the bounds; the text is the reason, without the file's name."""


@dataclass(frozen=True)
class Declared:
    """An array as its header describes it, before its numbers are read.

    Attributes:
        dtype: its type.
        shape: its shape; no length is negative.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Return the size of its numbers; a Python integer, which does not overflow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_declared(source: Path | IO[bytes], *, max_bytes: int) -> dict[str, Declared]:
    """Return type and shape of every array by its name, in the order of the file; no number is read.

    Args:
        source: path of the `.npz`, or an open file that can seek.
        max_bytes: of all arrays together, unpacked.

    Raises:
        ArrayFileError: if it is no regular file, no `.npz`, damaged, holds objects, or declares too much.
    """
    return _guarded(source, max_bytes, _headers)


def read_arrays(source: Path | IO[bytes], *, max_bytes: int) -> dict[str, NDArray[Any]]:
    """Return every array by its name.

    Args:
        source: path of the `.npz`, or an open file that can seek.
        max_bytes: of all arrays together, unpacked; checked before the first of them is read.

    Raises:
        ArrayFileError: as `read_declared`.
    """
    return _guarded(source, max_bytes, _arrays)


def _guarded(source: Path | IO[bytes], max_bytes: int, read: Any) -> Any:
    """Open the file and read from it; whatever the damaged part of a zip or a header causes becomes one error."""
    try:
        if isinstance(source, Path):
            with _opened(source, max_bytes) as file, zipfile.ZipFile(file) as archive:
                return read(archive, max_bytes)
        with zipfile.ZipFile(source) as archive:
            return read(archive, max_bytes)
    except ArrayFileError:
        raise
    except OSError as error:
        raise ArrayFileError(error.strerror or "it cannot be read") from None
    # NotImplementedError and RuntimeError are how a zip of unknown compression or with a password answers; a header is
    # Python's text for a dict, whose parser has errors of its own.
    except (
        ArithmeticError,
        EOFError,
        MemoryError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
        tokenize.TokenError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ArrayFileError(reason or type(error).__name__) from None


def _opened(path: Path, max_bytes: int) -> IO[bytes]:
    """Open a regular file of a size that can hold no more than the arrays; a pipe would be waited for without end."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ArrayFileError("it is no regular file")
    if found.st_size > max_bytes + OVERHEAD:
        raise ArrayFileError(f"it has {found.st_size} bytes, expected at most {max_bytes + OVERHEAD}")
    return path.open("rb")


def _headers(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, Declared]:
    members = archive.infolist()
    if len(members) > MAX_ARRAYS:
        raise ArrayFileError(f"it holds {len(members)} arrays, expected at most {MAX_ARRAYS}")
    total, found = sum(member.file_size for member in members), dict[str, Declared]()
    if total > max_bytes + OVERHEAD:
        raise ArrayFileError(f"its arrays have {total} bytes, expected at most {max_bytes}")
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name in found:
            raise ArrayFileError(f"it holds the array {name!r:.60} twice")
        with archive.open(_readable(member)) as file:
            found[name] = _header(file, name, member.file_size)
    total = sum(array.bytes for array in found.values())
    if total > max_bytes:
        raise ArrayFileError(f"its arrays have {total} bytes, expected at most {max_bytes}")
    return found


def _readable(member: zipfile.ZipInfo) -> zipfile.ZipInfo:
    if not member.filename.endswith(".npy") or member.compress_type not in COMPRESSIONS or member.flag_bits & 1:
        raise ArrayFileError(f"{member.filename!r:.60} in it is no array that numpy.savez writes")
    return member


def _header(file: IO[bytes], name: str, size: int) -> Declared:
    """Read an array's header and hold it against the size that the zip says."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ArrayFileError(f"{name!r:.60} has the layout {version}, which numpy.savez does not write for numbers")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    declared = Declared(dtype, shape)
    if dtype.kind not in KINDS or not dtype.itemsize:
        raise ArrayFileError(f"{name!r:.60} holds {dtype!s:.60}, expected numbers or text")
    if any(length < 0 for length in shape) or declared.bytes != size - file.tell():
        raise ArrayFileError(
            f"{name!r:.60} says the shape {shape!s:.60} of {dtype}, but has {size - file.tell()} bytes"
        )
    return declared


def _arrays(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, NDArray[Any]]:
    return {name: _array(archive, name) for name in _headers(archive, max_bytes)}


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))
