"""Candidate pairs: images in which two similar keypoints vote for the same placement.

Time grows as n log n with the number of images: each keypoint is compared only with its neighbours in a few sort
orders, each by another random binary code (locality-sensitive hashing; Charikar 2002,
https://doi.org/10.1145/509907.509965).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.duplicates.keypoint_table import KeypointTable
from steelbench.audit.duplicates.orientations import COMPOSE, INVERSE, turn_points

_ORDERS = 8
_NEIGHBOURS = 3  # compared on one side in each order
_LEAST_COSINE = 0.9  # of two descriptions
_BITS = 40
_BIN = 4  # pixels; JPEG moves a keypoint by one, seldom by two
_FEWEST_VOTES = 2
_PER_IMAGE = 30  # candidates, at most, on average
# Keypoints, or pairs of them, in memory at a time beside the table of all; a keypoint takes 150 bytes, a pair 200.
_BLOCK = 1 << 18


@dataclass(frozen=True, order=True, slots=True)
class Candidate:
    """A placement to verify.

    Attributes:
        a: index of the image that would be covered.
        b: index of the image that would lie on it.
        turn: index into `TURNS`, how `b` is turned before.
        dy: row of `a` where the first row of the turned `b` would lie.
        dx: the column, likewise.
        votes: number of pairs of keypoints that agree on it.
        place: (y, x) in `a`, mean of the keypoints that agree.
    """

    a: int
    b: int
    turn: int
    dy: int
    dx: int
    votes: int = 0
    place: tuple[int, int] | None = None


def find_candidates(table: KeypointTable) -> list[Candidate]:
    """Return the placements (a < b) that at least two pairs of keypoints agree on, most votes first.

    Beside the table it takes 30 bytes for each keypoint, and the memory of `_BLOCK`.
    """
    limit = int(_PER_IMAGE * len(table.shapes))
    rows = np.empty((0, 8), np.int64)
    for first, second in _by_first_image(_similar(table), table):
        rows = np.concatenate([rows, _placements(first, second, table)])
        if len(rows) > 4 * limit:
            rows = _most_votes(rows, 2 * limit)
    return _distinct(_most_votes(rows, 2 * limit), limit)


def _by_first_image(
    pairs: NDArray[np.int64], table: KeypointTable
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of keypoints, two int64 [M], in blocks of whole first images: votes for one placement stay together.

    Args:
        pairs: of `_similar`.
        table: of the keypoints.
    """
    total, start = len(table), 0
    while start < len(pairs):
        last = table.image[pairs[min(start + _BLOCK, len(pairs)) - 1] // total]
        next_image = np.searchsorted(table.image, last, side="right")
        end = int(np.searchsorted(pairs, next_image * total))
        yield pairs[start:end] // total, pairs[start:end] % total
        start = end


def _placements(first: NDArray[np.int64], second: NDArray[np.int64], table: KeypointTable) -> NDArray[np.int64]:
    """Return the placements that pairs of keypoints vote for, as `_count_votes`."""
    image, shapes = table.image.astype(np.int64, copy=False), np.array(table.shapes)
    turns = COMPOSE[INVERSE[table.turns[first]], table.turns[second]]
    places, turned = table.places[second].astype(np.int64), np.empty((len(second), 2), np.int64)
    for turn in range(8):
        own = turns == turn
        turned[own] = turn_points(places[own], turn, shapes[image[second[own]]])
    here = table.places[first].astype(np.int64)
    return _count_votes(image[first], image[second], turns, here - turned, here)


def _similar(table: KeypointTable) -> NDArray[np.int64]:
    """Return the pairs of keypoints of two images whose descriptions are similar.

    Returns:
        int64 [M], ascending: the place of the first keypoint times the number of keypoints, plus that of the second.
    """
    total = len(table)
    found: NDArray[np.int64] = np.empty(0, np.int64)
    if total < 2:
        return found
    rng = np.random.default_rng(0)
    sample = table.descriptions[rng.choice(total, min(total, 20_000), replace=False)].astype(np.float32)
    middle, spread = sample.mean(axis=0), np.sqrt(sample.std(axis=0) + 1e-3)
    for _ in range(_ORDERS):
        planes = rng.standard_normal((sample.shape[1], _BITS)).astype(np.float32) / spread[:, None]
        order = np.argsort(_codes(table.descriptions, table.scales, planes, middle), kind="stable")
        # Put together after each order: most pairs are found in several.
        found = _distinct_sorted(np.concatenate([found, *_similar_neighbours(order, table)]))
    return found


def _similar_neighbours(order: NDArray[np.int64], table: KeypointTable) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs that are similar among the neighbours of one order, in blocks of it."""
    for start in range(0, len(order), _BLOCK):
        part = order[start : start + _BLOCK + _NEIGHBOURS]
        count = min(_BLOCK, len(order) - start)
        own, scale, described = table.image[part], table.scales[part], table.descriptions[part].astype(np.float32)
        for step in range(1, _NEIGHBOURS + 1):
            first = slice(0, max(0, min(count, len(part) - step)))
            second = slice(step, step + first.stop)
            close = np.einsum("ij,ij->i", described[second], described[first]) > _LEAST_COSINE
            close &= (own[second] != own[first]) & (scale[second] == scale[first])
            pair = np.sort(np.stack([part[first][close], part[second][close]]), axis=0)
            yield pair[0] * len(table) + pair[1]


def _distinct_sorted(values: NDArray[np.int64]) -> NDArray[np.int64]:
    values = np.sort(values)
    return values[np.r_[True, values[1:] != values[:-1]]] if len(values) else values


def _codes(
    descriptions: NDArray[np.float16], scales: NDArray[np.int8], planes: NDArray[np.float32], middle: NDArray[Any]
) -> NDArray[np.int64]:
    codes = np.zeros((len(descriptions), 8), np.uint8)  # big-endian numbers: the scale, then a bit for each plane
    codes[:, 0] = scales
    for start in range(0, len(descriptions), 1 << 17):
        part = slice(start, start + (1 << 17))
        sides = (descriptions[part].astype(np.float32) - middle) @ planes > 0
        codes[part, 1 : 1 + _BITS // 8] = np.packbits(sides, axis=1)
    return codes.view(">i8").ravel().astype(np.int64)


def _count_votes(
    a: NDArray[Any], b: NDArray[Any], turns: NDArray[Any], shifts: NDArray[Any], places: NDArray[Any]
) -> NDArray[np.int64]:
    """Count the votes in bins of `_BIN` pixels, twice, so that votes divided by a bin's edge are together once.

    Args:
        a: int [M], index of the image of each first keypoint.
        b: int [M], index of the image of each second keypoint.
        turns: int [M], index into `TURNS`.
        shifts: int64 [M, 2], offset (dy, dx) that each pair votes for.
        places: int64 [M, 2], (y, x) of each first keypoint.

    Returns:
        int64 [P, 8]: a, b, turn, dy, dx, y, x, votes.
    """
    rows = np.empty((0, 8), np.int64)
    for phase in (0, _BIN // 2):
        # Bins 8192 pixels apart share a key; verification refuses what is wrong.
        bins = (shifts + phase) // _BIN % 2048
        # 38 bits are left for the two images: counted from the first of this block, so that no key is too large.
        keys = ((((a - a.min()) * (b.max() + 1) + b) * 8 + turns) * 2048 + bins[:, 0]) * 2048 + bins[:, 1]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        votes = np.diff(np.r_[starts, len(keys)])
        sums = np.add.reduceat(np.concatenate([shifts, places], axis=1)[order], starts)
        means = np.rint(sums / votes[:, None]).astype(np.int64)
        pair = np.stack([a, b, turns], axis=1)[order[starts]]
        new = np.concatenate([pair, means, votes[:, None]], axis=1)
        rows = np.concatenate([rows, new[votes >= _FEWEST_VOTES]])
    return rows


def _most_votes(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the placements with most votes, ordered by votes, then by images, turn and offset."""
    return rows[np.lexsort((*rows.T[4::-1], -rows[:, 7]))][:count]


def _distinct(rows: NDArray[np.int64], limit: int) -> list[Candidate]:
    """Return at most `limit` candidates, of those that are less than a bin apart the first; most votes first."""
    kept: dict[tuple[int, int, int], list[Candidate]] = {}
    for first, second, turn, dy, dx, y, x, count in rows.tolist():
        candidate = Candidate(first, second, turn, dy, dx, count, (y, x))
        others = kept.setdefault((candidate.a, candidate.b, candidate.turn), [])
        if not any(max(abs(o.dy - candidate.dy), abs(o.dx - candidate.dx)) < _BIN for o in others):
            others.append(candidate)
    found = [candidate for candidates in kept.values() for candidate in candidates]
    return sorted(found, key=lambda c: -c.votes)[:limit]
