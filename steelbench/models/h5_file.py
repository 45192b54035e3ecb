"""Inspect an `.h5` with h5py before anything is built from it: no links, no foreign storage, sizes that it has."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from steelbench.models.hdf5_heap import refuse_endless
from steelbench.models.model_card import nesting

# The largest configuration of the backbones, EfficientNetB3, has .5 MB; it nests 9 levels deep.
MAX_CONFIG_BYTES = 8 << 20
MAX_DEPTH = 40
MAX_LAYERS = 5000
MAX_WEIGHTS = 50_000
LONGEST_NAME = 200


class ModelFileError(ValueError):
    """A model file that cannot be used; the text says why, after the file's name: "holds a soft link `x`"."""


@dataclass(frozen=True)
class ModelFile:
    """An open `.h5` whose structure has been inspected.

    Attributes:
        config: of the network, as JSON has it.
        keras: version that wrote it, "" if it does not say.
        weights: shape of each weight of each layer, in their order; of layers that have some.
    """

    config: Any
    keras: str
    weights: Mapping[str, list[tuple[int, ...]]]
    _datasets: Mapping[str, list[h5py.Dataset]]

    def arrays(self, layer: str) -> list[NDArray[np.float32]]:
        """Return the weights of a layer, float32.

        Raises:
            ModelFileError: if one is not a finite number, or cannot be read.
        """
        with _readable():
            found = [np.asarray(dataset[()]) for dataset in self._datasets.get(layer, [])]
        if not all(np.isfinite(array).all() for array in found):
            raise ModelFileError(f"has weights that are not numbers (NaN or infinity) in its layer {quoted(layer)}")
        return [array.astype(np.float32) for array in found]


@contextmanager
def opened(path: Path) -> Iterator[ModelFile]:
    """Open a model file and inspect its structure; no weight is read.

    Args:
        path: of the `.h5`.

    Raises:
        ModelFileError: if it is no HDF5 file, holds no network, or holds what a saved model does not.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelFileError("is no regular file")
    with _readable():
        refuse_endless(path)
        file = h5py.File(path, "r")
    with file:
        with _readable():
            found = _inspected(file, path.stat().st_size)
        yield found


@contextmanager
def _readable() -> Iterator[None]:
    """Turn what h5py raises for a damaged file into one error."""
    try:
        yield
    except ModelFileError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelFileError(f"cannot be read as HDF5 ({reason})") from None


def quoted(name: object) -> str:
    """Return a name from outside as a message may show it: escaped, not too long."""
    return ascii(str(name)[:60])


def _inspected(file: h5py.File, size: int) -> ModelFile:
    config = _config(file, size)
    if _link(file, "model_weights") is None:
        raise ModelFileError("holds no weights (no group `model_weights`)")
    group = file["model_weights"]
    if not isinstance(group, h5py.Group):
        raise ModelFileError("holds a data set where the group `model_weights` should be")
    datasets: dict[str, list[h5py.Dataset]] = {}
    seen: set[int] = set()
    total = 0
    for layer in _names(group, "layer_names", MAX_LAYERS, size):
        if _link(group, layer) is None or not isinstance(group[layer], h5py.Group):
            raise ModelFileError(f"names a layer {quoted(layer)} that it holds no weights of")
        if layer in datasets:
            raise ModelFileError(f"names the layer {quoted(layer)} twice")
        names = _names(group[layer], "weight_names", MAX_WEIGHTS, size)
        datasets[layer] = [_dataset(group[layer], name, seen) for name in names]
        total += sum(math.prod(dataset.shape) * dataset.dtype.itemsize for dataset in datasets[layer])
    # Two data sets may say that they lie at one place.
    if total > size:
        raise ModelFileError(f"declares {total} bytes of weights, but has {size} bytes")
    held = {layer: found for layer, found in datasets.items() if found}
    shapes = {layer: [dataset.shape for dataset in found] for layer, found in held.items()}
    return ModelFile(config, _text(file.attrs.get("keras_version", "")), shapes, held)


def _config(file: h5py.File, size: int) -> Any:
    if "model_config" not in file.attrs:
        raise ModelFileError(
            "holds weights without a network (no attribute `model_config`); save the whole model, with model.save"
        )
    _check_attribute(file, "model_config", 1, size)
    text = _text(file.attrs["model_config"])
    if len(text) > MAX_CONFIG_BYTES:
        raise ModelFileError(f"has a configuration of {len(text)} characters, expected at most {MAX_CONFIG_BYTES}")
    if nesting(text) > MAX_DEPTH:
        raise ModelFileError(f"has a configuration nested {nesting(text)} levels deep, expected at most {MAX_DEPTH}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise ModelFileError(f"has a configuration that is no JSON ({error})") from None


def _names(group: h5py.Group, name: str, most: int, size: int) -> list[str]:
    """Return a list of names, which Keras splits into several attributes where it is long."""
    keys = [name] if name in group.attrs else []
    while not keys or keys[0] != name:
        key = f"{name}{len(keys)}"
        if key not in group.attrs:
            break
        keys.append(key)
    found: list[str] = []
    for key in keys:
        _check_attribute(group, key, most, size)
        found += [_text(item) for item in np.ravel(group.attrs[key])]
    if len(found) > most:
        raise ModelFileError(f"names {len(found)} weights, expected at most {most}")
    return found


def _check_attribute(item: h5py.Group, name: str, most: int, size: int) -> None:
    attribute = item.attrs.get_id(name)
    count = math.prod(attribute.shape)
    # An empty list has no storage, and asking for its size is an error.
    if count > most or (count and attribute.get_storage_size() > size):
        raise ModelFileError(f"has an attribute {name} of more than the file holds")


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = value.item() if value.size == 1 else value.tobytes()
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _link(group: h5py.Group, name: str) -> h5py.HardLink | None:
    """Return the link of this name, None if there is none; anything but an object in this very file is refused."""
    if len(name) > LONGEST_NAME * 4 or name in (".", ".."):
        raise ModelFileError(f"holds the name {quoted(name)}")
    at = group
    parts = [part for part in name.split("/") if part]
    for number, part in enumerate(parts):
        if not isinstance(at, h5py.Group) or part == "." or at.get(part, getclass=True, getlink=True) is None:
            return None
        found = at.get(part, getlink=True)
        if not isinstance(found, h5py.HardLink):
            raise ModelFileError(f"holds a link in place of {quoted(name)}; expected everything in the file itself")
        if number < len(parts) - 1:
            at = at[part]
    return found if parts else None


def _dataset(group: h5py.Group, name: str, seen: set[int]) -> h5py.Dataset:
    """Return a weight's data set whose numbers lie in the file, each at a place of its own."""
    if _link(group, name) is None or not isinstance(group[name], h5py.Dataset):
        raise ModelFileError(f"names a weight {quoted(name)} that it does not hold")
    dataset = group[name]
    address = h5py.h5o.get_info(dataset.id).addr
    if address in seen:
        raise ModelFileError(f"names the weight {quoted(name)} several times")
    seen.add(address)
    plan = dataset.id.get_create_plist()
    plain = plan.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if not plain or plan.get_external_count() or plan.get_nfilters() or dataset.dtype.kind not in "fiu":
        raise ModelFileError(f"holds the weight {quoted(name)} in another way than as plain numbers")
    if dataset.shape is None or dataset.id.get_storage_size() != math.prod(dataset.shape) * dataset.dtype.itemsize:
        raise ModelFileError(f"declares the weight {quoted(name)} with more numbers than it holds")
    return dataset
