"""Groups of images that must stay on one side of a split: they share pixels or are said to belong together.

Crops of one image are one group, and pairs of images that share pixels tie all of their crops.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RowIndices
from steelbench.data.crops import source_path, split_address
from steelbench.data.inspection import Inspected

Kind = Literal["exact", "near", "mirrored", "rotated", "overlap"]
# [M, 2], rows of two images that share pixels.
Links = NDArray[np.int64]
NO_LINKS: Links = np.zeros((0, 2), np.int64)
# Two sets of crops of which every one is linked to every one up to this number of links, beyond it along a star.
MOST_CROP_LINKS = 1024


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
    """Return what ties each image to others without comparing them.

    That is equal pixels, the data's `group` column, and the image that crops were cut out of.
    """
    return [
        [
            f"pixels {image.pixels_digest}",
            *([f"group {image.sample.group}"] if image.sample.group else []),
            *source_keys(image.sample.path),
        ]
        for image in images
    ]


def source_keys(address: str) -> list[str]:
    """Return the key that ties the crops of one image; none for a whole image."""
    source, crop = split_address(address)
    return [f"image {source}"] if crop else []


def pair_links(files: Iterable[str], pairs: Iterable[Pair]) -> Links:
    """Return the rows of `files` that the pairs link, int64 [M, 2]; a pair of images links their crops.

    Raises:
        KeyError: if a pair names another file.
    """
    rows = _rows_by_file(files)
    links = [link for pair in pairs for link in _across(rows[pair.file_a], rows[pair.file_b])]
    return np.array(links, np.int64).reshape(-1, 2)


def crop_links(files: Iterable[str]) -> Links:
    """Return the rows of `files` that are crops of one image, int64 [M, 2]."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, file in enumerate(files):
        source, crop = split_address(file)
        if crop:
            rows[source].append(row)
    return np.array([link for own in rows.values() for link in _among(own)], np.int64).reshape(-1, 2)


def _rows_by_file(files: Iterable[str]) -> Mapping[str, list[int]]:
    """The rows of each address, and of each image those of its crops."""
    rows: dict[str, list[int]] = {}
    for row, file in enumerate(files):
        for name in {file, source_path(file)}:
            rows.setdefault(name, []).append(row)
    return rows


def _across(a: Sequence[int], b: Sequence[int]) -> Iterator[tuple[int, int]]:
    if len(a) * len(b) <= MOST_CROP_LINKS:
        return product(a, b)
    return iter([*((a[0], row) for row in b), *((row, b[0]) for row in a[1:])])


def _among(rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    if len(rows) ** 2 <= MOST_CROP_LINKS:
        return combinations(rows, 2)
    return ((rows[0], row) for row in rows[1:])


def group_files(files: Iterable[str], pairs: Iterable[Pair]) -> dict[str, int]:
    """Number the groups of files that pairs connect, directly or along a chain, in the order of file names."""
    names = sorted(files)
    numbers = group_numbers([source_keys(name) for name in names], pair_links(names, pairs))
    return dict(zip(names, numbers.tolist(), strict=True))
