"""Groups of images that share pixels or are said to belong together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelbench.data.splits import Indices

Kind = Literal["exact", "near", "mirrored", "rotated", "overlap"]


@dataclass(frozen=True, order=True)
class Pair:
    """Two files, file_a < file_b, that share pixels.

    `overlap` is the shared area as a share of the smaller image. `b`, turned upright to match `a` if it is mirrored
    or rotated, lies in `a` with its first pixel at (dy, dx).
    """

    file_a: str
    file_b: str
    kind: Kind
    overlap: float
    dy: int
    dx: int
    same_label: bool


def group_files(files: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """Number the groups of files that pairs connect, directly or along a chain; by the first file's name."""
    parent = {file: file for file in sorted(files)}

    def root(file: str) -> str:
        while parent[file] != file:
            parent[file] = file = parent[parent[file]]
        return file

    for pair in pairs:
        first, second = sorted((root(pair.file_a), root(pair.file_b)))
        parent[second] = first
    number: dict[str, int] = {}
    return {file: number.setdefault(root(file), len(number)) for file in parent}


def group_numbers(keys: Sequence[Sequence[str]]) -> Indices:
    """Number the groups: two images that share any key are of one group, and so on along the chain.

    Args:
        keys: for each image the keys that tie it to others, such as its pixels' digest and its `group` column.

    Returns:
        int64 [N], numbered by first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    number: dict[str, int] = {}
    pairs = [(row, number.setdefault(key, len(number))) for row, own in enumerate(keys) for key in own]
    rows, columns = np.array(pairs, np.int64).reshape(-1, 2).T
    size = len(keys) + len(number)
    links = coo_array((np.ones(len(rows)), (rows, columns + len(keys))), shape=(size, size))
    component = connected_components(links, directed=False)[1][: len(keys)]
    first: dict[int, int] = {}
    return np.array([first.setdefault(int(value), len(first)) for value in component], np.int64)
