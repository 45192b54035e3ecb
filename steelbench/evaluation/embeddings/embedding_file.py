"""The file of a run's embedded test images, `embeddings.npz`: written by the run, read by the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.array_files import ArrayFileError, read_arrays
from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.projection import Projection, project
from steelbench.files import file_digest, whole_file
from steelbench.records import RunRecord, read_record

FILE = "embeddings.npz"
FEWEST_IMAGES = 3
# Unpacked; in float32, as they are used, twice as many. 60,000 images of 2048 features in half precision.
MAX_BYTES = 256 * 1024 * 1024


def write_embeddings(folder: Path, images: Embedded, *, with_projection: bool) -> None:
    """Write embedded images as `embeddings.npz`, whole or not at all.

    Arrays: vectors float16 [N, E], labels int64 [N], groups int64 [N]; with a projection also projection float32
    [M, 2] and projected int64 [M], the rows of `vectors` that the points stand for.

    Args:
        folder: of the run.
        images: the test images.
        with_projection: add t-SNE coordinates, where there are any (`project`).
    """
    vectors = images.vectors.astype(np.float16)
    arrays: dict[str, NDArray[np.generic]] = {"vectors": vectors, "labels": images.labels, "groups": images.groups}
    # Of the rounded vectors, so that projecting what the file holds gives the same points.
    rounded = Embedded(vectors.astype(np.float32), images.labels, images.groups)
    if with_projection and (found := project(rounded)):
        arrays |= {"projection": found.points, "projected": found.rows}
    with whole_file(folder / FILE) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_embeddings(folder: Path) -> tuple[Embedded, Projection | None] | None:
    """Read the `embeddings.npz` of a run.

    Args:
        folder: of the run.

    Returns:
        The images and their projection, which is None if the file has none, or a damaged one. None instead of both
        if the file is missing, damaged, too large, other than the run wrote it, or has fewer than 3 images.
    """
    if _is_other(folder):
        return None
    try:
        arrays = read_arrays(folder / FILE, max_bytes=MAX_BYTES)
        images = _images(arrays)
        return None if images is None else (images, _projection(arrays, len(images.labels)))
    # Numbers may not fit their type, which numpy only says once it converts them.
    except (ArrayFileError, KeyError, ValueError, TypeError, OverflowError):
        return None


def _is_other(folder: Path) -> bool:
    """Return whether the run's record has another digest of the file; a record without one says nothing."""
    try:
        digest = read_record(folder / "result.json", RunRecord).digests.get(FILE)
    except SteelbenchError:
        return False
    return digest is not None and file_digest(folder / FILE) != digest


def _images(arrays: Mapping[str, NDArray[np.generic]]) -> Embedded | None:
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = arrays["vectors"].astype(np.float32)
    found = Embedded(vectors, arrays["labels"].astype(np.int64), arrays["groups"].astype(np.int64))
    whole = vectors.ndim == 2 and vectors.shape[:1] == found.labels.shape == found.groups.shape
    some = len(vectors) >= FEWEST_IMAGES and vectors.size > 0 if whole else False
    return found if some and np.isfinite(vectors).all() else None


def _projection(arrays: Mapping[str, NDArray[np.generic]], count: int) -> Projection | None:
    """Return the points in the file if they are finite and stand for rows among the first `count`."""
    if not {"projection", "projected"} <= set(arrays):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        points, rows = arrays["projection"].astype(np.float32), arrays["projected"].astype(np.int64)
    if rows.ndim != 1 or points.shape != (len(rows), 2) or not np.isfinite(points).all():
        return None
    return Projection(points, rows) if ((rows >= 0) & (rows < count)).all() else None
