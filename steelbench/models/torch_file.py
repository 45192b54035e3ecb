"""Read weights from a file of PyTorch's legacy layout with NumPy alone: a restricted unpickler behind a sha256."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
ZIP = b"PK\x03\x04"


class _Storage(NamedTuple):
    """A one-dimensional array that tensors are views of: type of its numbers, key, length."""

    dtype: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides are counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild_tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


FLOAT32, INT64 = "<f4", "<i8"
# Every global that such a file may name, and what stands for it here; none of them can do anything but hold numbers.
GLOBALS: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch", "FloatStorage"): FLOAT32,
    ("torch", "LongStorage"): INT64,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return an entry of `GLOBALS`; everything else is refused."""
        if (module, name) not in GLOBALS:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no file of weights needs")
        return GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that a persistent id names."""
        kind, dtype, key, device, count, view = pid
        if (kind, device, view) != ("storage", "cpu", None) or dtype not in (FLOAT32, INT64):
            raise pickle.UnpicklingError(f"it holds the unknown object {pid!r}")
        return _Storage(dtype, key, count)


def read_state(path: Path, sha256: str) -> dict[str, NDArray[Any]]:
    """Read a state dict, the arrays of a network by name.

    The digest is compared before anything is unpickled, and of the very bytes that are: a file that changes meanwhile
    cannot get around it.

    Args:
        path: a file that `torch.save` wrote before version 1.6, or with `_use_new_zipfile_serialization=False`.
        sha256: hexadecimal digest of the file that is expected.

    Returns:
        Arrays float32 or int64 in C order, each with memory of its own.

    Raises:
        SteelbenchError: for a file with another digest, a zip, an unexpected global, or a file that ends too early.
    """
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise SteelbenchError(
            f"{path} has sha256 {found}, expected {sha256}: the file is damaged, was changed or holds another network. "
            "It was not read; get it again."
        )
    if content.startswith(ZIP):
        raise SteelbenchError(f"{path} is a zip, the layout of torch since 1.6; expected the legacy layout.")
    try:
        return _parse(content)
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise SteelbenchError(
            f"{path} holds no weights in torch's legacy layout: {error or 'it is cut off'}."
        ) from None


def _parse(content: bytes) -> dict[str, NDArray[Any]]:
    file = io.BytesIO(content)
    if [_load(file), _load(file)] != [MAGIC, PROTOCOL]:
        raise ValueError("its first numbers are not those of the layout")
    _load(file)  # sizes and byte order of the machine that wrote it; the numbers are little-endian in any case
    state, keys = _load(file), _load(file)
    tensors = {name: value for name, value in state.items() if isinstance(value, _Tensor)}
    kinds = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    # Every storage in the order of the keys: how many numbers as int64, then the numbers.
    storages = {key: _read_storage(file, kinds[key]) for key in keys}
    if file.read(1):
        raise ValueError("it goes on behind its last number")
    return {name: _array(tensor, storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _load(file: io.BytesIO) -> Any:
    return _Unpickler(file).load()


def _read_storage(file: io.BytesIO, storage: _Storage) -> bytes:
    count = int.from_bytes(file.read(8), "little", signed=True)
    size = storage.length * np.dtype(storage.dtype).itemsize
    numbers = file.read(size)
    if count != storage.length or len(numbers) != size:
        raise ValueError(f"storage {storage.key} is cut off or has another length than its tensors say")
    return numbers


def _array(tensor: _Tensor, numbers: bytes) -> NDArray[Any]:
    """Copy a view out of its storage.

    The strides decide: kernels of converted networks are transposed views, which have the right shape and wrong numbers
    without them. NumPy refuses a view that reaches outside of the storage.
    """
    size = np.dtype(tensor.storage.dtype).itemsize
    strides = tuple(size * stride for stride in tensor.strides)
    view = np.ndarray(tensor.shape, tensor.storage.dtype, numbers, size * tensor.offset, strides)
    # Not ascontiguousarray, which makes an array of one number one-dimensional.
    return np.array(view, order="C")
