"""Candidate pairs: images in which two similar keypoints vote for the same placement.

Time grows as n log n with the number of images: each keypoint is compared only with its neighbours in a few sort
orders, each by another random binary code (locality-sensitive hashing; Charikar 2002,
https://doi.org/10.1145/509907.509965).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.duplicates.keypoints import Keypoints
from steelbench.audit.duplicates.orientations import COMPOSE, INVERSE, turn_points

_ORDERS = 8
_NEIGHBOURS = 3  # compared on one side in each order
_LEAST_COSINE = 0.9  # of two descriptions
_BITS = 40
_BIN = 4  # pixels; JPEG moves a keypoint by one, seldom by two
_FEWEST_VOTES = 2
_PER_IMAGE = 30  # candidates, at most, on average


@dataclass(frozen=True, order=True)
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


def find_candidates(keypoints: Sequence[Keypoints]) -> list[Candidate]:
    """Return the placements (a < b) that at least two pairs of keypoints agree on, most votes first."""
    first, second = _similar(keypoints)
    if not len(first):
        return []
    image = np.repeat(np.arange(len(keypoints)), [len(k.places) for k in keypoints])
    places = np.concatenate([k.places for k in keypoints]).astype(np.int64)
    poses = np.concatenate([k.turns for k in keypoints])
    shapes = np.array([k.shape for k in keypoints])
    turns = COMPOSE[INVERSE[poses[first]], poses[second]]
    turned = np.empty((len(second), 2), np.int64)
    for turn in range(8):
        own = turns == turn
        turned[own] = turn_points(places[second[own]], turn, shapes[image[second[own]]])
    shifts, limit = places[first] - turned, _PER_IMAGE * len(keypoints)
    return _count_votes(image[first], image[second], turns, shifts, places[first], limit)


def _similar(keypoints: Sequence[Keypoints]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of keypoints of two images whose descriptions are similar: two int64 [M], first < second."""
    descriptions = np.concatenate([k.descriptions for k in keypoints])
    scales = np.concatenate([k.scales for k in keypoints])
    image = np.repeat(np.arange(len(keypoints), dtype=np.int32), [len(k.places) for k in keypoints])
    total = len(descriptions)
    if total < 2:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    rng = np.random.default_rng(0)
    sample = descriptions[rng.choice(total, min(total, 20_000), replace=False)].astype(np.float32)
    middle, spread = sample.mean(axis=0), np.sqrt(sample.std(axis=0) + 1e-3)
    keys = []
    for _ in range(_ORDERS):
        planes = rng.standard_normal((descriptions.shape[1], _BITS)).astype(np.float32) / spread[:, None]
        order = np.argsort(_codes(descriptions, scales, planes, middle), kind="stable")
        own, scale, described = image[order], scales[order], descriptions[order].astype(np.float32)
        for step in range(1, _NEIGHBOURS + 1):
            close = np.einsum("ij,ij->i", described[step:], described[:-step]) > _LEAST_COSINE
            close &= (own[step:] != own[:-step]) & (scale[step:] == scale[:-step])
            here = np.flatnonzero(close)
            pair = np.sort(np.stack([order[here], order[here + step]]), axis=0)
            keys.append(pair[0] * total + pair[1])
    both = np.sort(np.concatenate(keys))
    both = both[np.r_[True, both[1:] != both[:-1]]] if len(both) else both
    return both // total, both % total


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
    a: NDArray[Any], b: NDArray[Any], turns: NDArray[Any], shifts: NDArray[Any], places: NDArray[Any], limit: int
) -> list[Candidate]:
    """Count the votes in bins of `_BIN` pixels, twice, so that votes divided by a bin's edge are together once.

    Args:
        a: int [M], index of the image of each first keypoint.
        b: int [M], index of the image of each second keypoint.
        turns: int [M], index into `TURNS`.
        shifts: int64 [M, 2], offset (dy, dx) that each pair votes for.
        places: int64 [M, 2], (y, x) of each first keypoint.
        limit: candidates, at most.
    """
    rows = np.empty((0, 8), np.int64)
    for phase in (0, _BIN // 2):
        # Bins 8192 pixels apart share a key; verification refuses what is wrong.
        bins = (shifts + phase) // _BIN % 2048
        keys = (((np.int64(a) * (1 << 17) + b) * 8 + turns) * 2048 + bins[:, 0]) * 2048 + bins[:, 1]
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        votes = np.diff(np.r_[starts, len(keys)])
        sums = np.add.reduceat(np.concatenate([shifts, places], axis=1)[order], starts)
        means = np.rint(sums / votes[:, None]).astype(np.int64)
        pair = np.stack([a, b, turns], axis=1)[order[starts]]
        new = np.concatenate([pair, means, votes[:, None]], axis=1)
        rows = np.concatenate([rows, new[votes >= _FEWEST_VOTES]])
    rows = rows[np.lexsort((*rows.T[4::-1], -rows[:, 7]))]
    kept: dict[tuple[int, int, int], list[Candidate]] = {}
    for row in rows[: 2 * limit].tolist():
        first, second, turn, dy, dx, y, x, count = row
        candidate = Candidate(first, second, turn, dy, dx, count, (y, x))
        others = kept.setdefault((candidate.a, candidate.b, candidate.turn), [])
        if not any(max(abs(o.dy - candidate.dy), abs(o.dx - candidate.dx)) < _BIN for o in others):
            others.append(candidate)
    found = [candidate for candidates in kept.values() for candidate in candidates]
    return sorted(found, key=lambda c: -c.votes)[:limit]
