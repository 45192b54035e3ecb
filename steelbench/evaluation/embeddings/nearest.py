"""The nearest rows of an array by cosine, in blocks that bound the memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, RowIndices
from steelbench.evaluation.embeddings.embedded import unit_rows

# Of the cosines in memory at a time: 128 MB in float32.
BLOCK_CELLS = 32 * 1024 * 1024


def nearest_rows(queries: Features, index: Features, count: int) -> RowIndices:
    """Return the rows of the index that are nearest to each query by cosine, nearest first, of equals the first row.

    Args:
        queries: float32 [Q, E], any norm.
        index: float32 [N, E], any norm.
        count: K.

    Returns:
        int64 [Q, min(K, N)].
    """
    unit, count = unit_rows(index), min(count, len(index))
    found = np.empty((len(queries), count), np.int64)
    step = max(1, BLOCK_CELLS // max(1, len(index)))
    for start in range(0, len(queries), step):
        cosines = unit_rows(queries[start : start + step]) @ unit.T
        for row, own in enumerate(cosines, start=start):
            found[row] = _largest(own, count)
    return found


def _largest(values: NDArray[np.float32], count: int) -> RowIndices:
    """Return the places of the largest values, largest first, as a stable sort of all would."""
    if not count:
        return np.empty(0, np.int64)
    least = np.partition(values, -count)[-count]
    places = np.flatnonzero(values >= least)
    return places[np.argsort(-values[places], kind="stable")[:count]]
