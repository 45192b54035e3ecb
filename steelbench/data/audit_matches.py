"""Which images may share pixels, and how they would have to lie on each other: votes of keypoints that look alike.

Time grows as n log n with the number of images: each keypoint is compared only with its neighbours in a few
orders, each of them sorted by another random code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.data.audit_keypoints import Keypoints
from steelbench.data.audit_turns import COMPOSE, INVERSE, turn_points

_ORDERS = 8
_NEIGHBOURS = 3  # compared on one side in each order
_ALIKE = 0.9  # cosine of two descriptions
_BITS = 40
_BIN = 4  # pixels; JPEG moves a keypoint by one, seldom by two
_FEWEST_VOTES = 2
_PER_IMAGE = 30  # candidates, at most, on average


@dataclass(frozen=True, order=True)
class Candidate:
    """`b`, turned by `turn`, may lie in `a` with its first pixel at (dy, dx); `votes` say so, around `place` of `a`."""

    a: int
    b: int
    turn: int
    dy: int
    dx: int
    votes: int = 0
    place: tuple[int, int] | None = None


def find_candidates(keypoints: Sequence[Keypoints]) -> list[Candidate]:
    """The pairs of images (a < b, indices) in which two keypoints agree on one position, most votes first."""
    first, second = _alike(keypoints)
    if not len(first):
        return []
    image = np.repeat(np.arange(len(keypoints)), [len(k.places) for k in keypoints])
    places = np.concatenate([k.places for k in keypoints]).astype(np.int64)
    poses = np.concatenate([k.turns for k in keypoints])
    shapes = np.array([k.shape for k in keypoints])
    turns = COMPOSE[INVERSE[poses[first]], poses[second]]
    laid = np.empty((len(second), 2), np.int64)
    for turn in range(8):
        own = turns == turn
        laid[own] = turn_points(places[second[own]], turn, shapes[image[second[own]]])
    found = _count(image[first], image[second], turns, places[first] - laid, places[first])
    return found[: _PER_IMAGE * len(keypoints)]


def _alike(keypoints: Sequence[Keypoints]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of keypoints of two images, first < second, whose descriptions are alike."""
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
        own, scale, looks = image[order], scales[order], descriptions[order].astype(np.float32)
        for step in range(1, _NEIGHBOURS + 1):
            close = np.einsum("ij,ij->i", looks[step:], looks[:-step]) > _ALIKE
            close &= (own[step:] != own[:-step]) & (scale[step:] == scale[:-step])
            here = np.flatnonzero(close)
            pair = np.sort(np.stack([order[here], order[here + step]]), axis=0)
            keys.append(pair[0] * total + pair[1])
    both = np.unique(np.concatenate(keys))
    return both // total, both % total


def _codes(
    descriptions: NDArray[np.float16], scales: NDArray[np.int8], planes: NDArray[np.float32], middle: NDArray[Any]
) -> NDArray[np.int64]:
    weights = 1 << np.arange(planes.shape[1], dtype=np.int64)
    codes = np.empty(len(descriptions), np.int64)
    for start in range(0, len(descriptions), 1 << 17):
        part = slice(start, start + (1 << 17))
        codes[part] = ((descriptions[part].astype(np.float32) - middle) @ planes > 0) @ weights
    return codes + (scales.astype(np.int64) << planes.shape[1])


def _count(
    a: NDArray[Any], b: NDArray[Any], turns: NDArray[Any], shifts: NDArray[Any], places: NDArray[Any]
) -> list[Candidate]:
    """Collect the votes in bins of `_BIN` pixels, twice, so that no bin's edge divides them."""
    found: dict[tuple[int, int, int, int, int], Candidate] = {}
    for phase in (0, _BIN // 2):
        bins = (shifts + phase) // _BIN
        order = np.lexsort((bins[:, 1], bins[:, 0], turns, b, a))
        rows = np.stack([a, b, turns, bins[:, 0], bins[:, 1]], axis=1)[order]
        starts = np.flatnonzero(np.r_[True, (rows[1:] != rows[:-1]).any(axis=1)])
        ends = np.r_[starts[1:], len(rows)]
        for start, end in zip(starts, ends, strict=True):
            if end - start < _FEWEST_VOTES:
                continue
            votes = order[start:end]
            (dy, dx), place = np.median(shifts[votes], axis=0).round().astype(int), np.median(places[votes], axis=0)
            key = (*map(int, rows[start, :3]), int(dy), int(dx))
            if key not in found or found[key].votes < len(votes):
                found[key] = Candidate(*key, len(votes), (int(place[0]), int(place[1])))
    return sorted(found.values(), key=lambda c: (-c.votes, c))


