"""The data sets of an HDF5 file of weights, each once; none that lies elsewhere or is nested absurdly deep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from steelbench.errors import SteelbenchError
from steelbench.models.hdf5_heap import refuse_endless

# Of groups within each other; Keras's own files have at most 8.
MAX_DEPTH = 40


@contextmanager
def data_sets(path: Path) -> Iterator[list[h5py.Dataset]]:
    """Yield the data sets of a file of weights, those of the optimizer aside; no number is read.

    Args:
        path: of a regular file.

    Raises:
        SteelbenchError: for links, numbers in another file, and deep nesting.
        OSError: as h5py, which also raises RuntimeError, KeyError and ValueError for a damaged file.
    """
    refuse_endless(path)
    with h5py.File(path, "r") as file:
        yield list(_below(file, path))


def is_keras_3(path: Path) -> bool:
    """Return whether a file of weights has the format that Keras 3 calls `.weights.h5`, whatever its name."""
    with h5py.File(path, "r") as file:
        # Keras splits a long list of names into several attributes.
        return "model_weights" not in file and not any(name.startswith("layer_names") for name in file.attrs)


def refuse_infinite(path: Path) -> None:
    """Refuse weights that are not numbers.

    Raises:
        SteelbenchError: for NaN and infinity; what `data_sets` raises.
    """
    with data_sets(path) as found:
        for data_set in found:
            if data_set.dtype.kind == "f" and data_set.size and not np.isfinite(data_set[()]).all():
                raise SteelbenchError(
                    f"{path} holds NaN or infinity in {_quoted(data_set.name)}, so a network with these weights "
                    "computes nothing; fetch or make it again."
                )


def _below(file: h5py.File, path: Path) -> Iterator[h5py.Dataset]:
    """Yield data sets, group by group.

    Not `visititems`, which takes minutes for thousands of groups within each other.
    """
    waiting: list[tuple[str, int, h5py.Group]] = [("", 0, file)]
    # A group may hold itself.
    seen = {h5py.h5o.get_info(file.id).addr}
    while waiting:
        place, depth, group = waiting.pop()
        if depth > MAX_DEPTH:
            raise SteelbenchError(
                f"{path} holds more than {MAX_DEPTH} groups within each other, which no file of weights does; fetch or "
                "make it again."
            )
        for name in group:
            inner = f"{place}/{name}" if place else name
            # A file saved after training also holds the optimizer's numbers.
            if inner.startswith("optimizer"):
                continue
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise SteelbenchError(
                    f"{path} holds a link in place of {_quoted(inner)}; expected all weights in the file itself. Save "
                    "them again with Keras."
                )
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                waiting.append((inner, depth + 1, item))
            elif isinstance(item, h5py.Dataset):
                _refuse_elsewhere(item, inner, path)
                yield item


def _refuse_elsewhere(data_set: h5py.Dataset, name: str, path: Path) -> None:
    plan = data_set.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise SteelbenchError(
            f"{path} has the numbers of {_quoted(name)} in another file; expected all weights in the file itself. Save "
            "them again with Keras."
        )


def _quoted(name: str) -> str:
    return ascii(name.strip("/")[:60])
