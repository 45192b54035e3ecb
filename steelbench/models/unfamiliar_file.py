"""The file NAME.unfamiliar.npz beside a saved model: what its images are compared with to call one unfamiliar."""

from __future__ import annotations

import hashlib
import io
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.array_files import read_arrays
from steelbench.arrays import Features
from steelbench.errors import SteelbenchError
from steelbench.evaluation.unknown import Mahalanobis, Neighbours
from steelbench.files import whole_file

# Of the arrays: a covariance of 2048 features has 16 MiB, 2500 training images of 2048 features 20 MiB.
MAX_BYTES = 24 * 1024 * 1024
Reference = Mahalanobis | Neighbours


def unfamiliar_file(model: Path) -> Path:
    """Return the path of the file beside a model's `.h5`."""
    return model.with_suffix(".unfamiliar.npz")


def fits(reference: Reference) -> bool:
    """Return whether the arrays are small enough to go with a model."""
    return sum(array.nbytes for array in _arrays(reference).values()) <= MAX_BYTES


def dimension(reference: Reference) -> int:
    """Return E, the length of the embeddings that it is compared with."""
    return int((reference.whitening if isinstance(reference, Mahalanobis) else reference.reference).shape[1])


def write_reference(path: Path, reference: Reference) -> str:
    """Write what images are compared with, whole or not at all; return the file's sha256."""
    with whole_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **_arrays(reference))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_reference(path: Path, sha256: str, neighbours: int | None) -> Reference:
    """Read a file of `write_reference`.

    Args:
        path: of the file.
        sha256: that the model's card names.
        neighbours: k, of a reference of training images; None for one of class means.

    Raises:
        SteelbenchError: if it is missing, too large, not the file of the card, or holds other arrays than it should.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if found.st_size > MAX_BYTES + 65_536:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("it is not the file that the card describes, sha256 differs")
        arrays = read_arrays(io.BytesIO(content), max_bytes=MAX_BYTES)
        return _mahalanobis(arrays) if neighbours is None else _neighbours(arrays, neighbours)
    except (OSError, ValueError, KeyError) as error:
        raise SteelbenchError(
            f"{path} cannot be used ({error}); copy it along with the model, from where the model came from."
        ) from None


def _arrays(reference: Reference) -> dict[str, Features]:
    if isinstance(reference, Mahalanobis):
        return {"whitening": reference.whitening, "means": reference.means}
    return {"reference": reference.reference}


def _mahalanobis(arrays: Mapping[str, Any]) -> Mahalanobis:
    whitening, means = _matrix(arrays["whitening"]), _matrix(arrays["means"])
    if not whitening.shape[0] == whitening.shape[1] == means.shape[1]:
        raise ValueError(f"its shapes {whitening.shape} and {means.shape} do not fit")
    return Mahalanobis(whitening, means)


def _neighbours(arrays: Mapping[str, Any], k: int) -> Neighbours:
    reference = _matrix(arrays["reference"])
    if len(reference) < k:
        raise ValueError(f"it holds {len(reference)} images, the card asks for the {k}th nearest")
    return Neighbours(reference, k)


def _matrix(array: Any) -> Features:
    if array.dtype != np.float32 or array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise ValueError(f"{array.dtype} {array.shape} is no matrix of finite float32")
    return np.asarray(array)
