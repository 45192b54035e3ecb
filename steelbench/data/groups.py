"""Groups of images that must stay on one side of a split: they share pixels or are said to belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RowIndices
from steelbench.data.inspection import Inspected

Kind = Literal["exact", "near", "mirrored", "rotated", "overlap"]
# [M, 2], rows of two images that share pixels.
Links = NDArray[np.int64]
NO_LINKS: Links = np.zeros((0, 2), np.int64)


@dataclass(frozen=True, order=True)
class Pair:
    """Two files, file_a < file_b, that share pixels.

    `overlap` is the shared area as a share of the smaller image, 0..1. `b`, turned upright to match `a` if it is
    mirrored or rotated, lies in `a` with its first pixel at (dy, dx).
    """

    file_a: str
    file_b: str
    kind: Kind
    overlap: float
    dy: int
    dx: int
    same_label: bool


def group_numbers(keys: Sequence[Sequence[str]], links: Links = NO_LINKS) -> RowIndices:
    """Number the connected components of images that have a key in common or are linked.

    Args:
        keys: for each of N images the keys that tie it to others; an image without keys is tied by links alone.
        links: int64 [M, 2], rows of images that belong together.

    Returns:
        int64 [N], numbered from 0 by first appearance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # A key is one more node of the graph, so that k images with one key are k edges and not k * k.
    node: dict[str, int] = {}
    ties = [(row, len(keys) + node.setdefault(key, len(node))) for row, own in enumerate(keys) for key in own]
    edges = np.concatenate([np.array(ties, np.int64).reshape(-1, 2), links])
    size = len(keys) + len(node)
    graph = coo_array((np.ones(len(edges)), tuple(edges.T)), shape=(size, size))
    component = connected_components(graph, directed=False)[1][: len(keys)]
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def image_keys(images: Sequence[Inspected]) -> list[list[str]]:
    """Return what ties each image to others without comparing them: equal pixels, and the data's `group` column."""
    return [
        [f"pixels {image.pixels_digest}", *([f"group {image.sample.group}"] if image.sample.group else [])]
        for image in images
    ]


def pair_links(files: Iterable[str], pairs: Iterable[Pair]) -> Links:
    """Return the rows of `files` that each pair links, int64 [M, 2].

    Raises:
        KeyError: if a pair names another file.
    """
    row: Mapping[str, int] = {file: number for number, file in enumerate(files)}
    return np.array([(row[pair.file_a], row[pair.file_b]) for pair in pairs], np.int64).reshape(-1, 2)


def group_files(files: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """Number the groups of files that pairs connect, directly or along a chain, in the order of file names."""
    names = sorted(files)
    numbers = group_numbers([()] * len(names), pair_links(names, pairs))
    return dict(zip(names, numbers.tolist(), strict=True))
