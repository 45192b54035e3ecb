"""Pairs of images that share pixels: copies, re-compressed, mirrored or turned ones, and overlapping crops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby, product

import cv2
import numpy as np

from steelbench.audit.duplicates.candidates import Candidate, find_candidates
from steelbench.audit.duplicates.keypoints import Keypoints, find_keypoints
from steelbench.audit.duplicates.orientations import MIRRORS, Laid, compose, inverse, turn_image, turn_shape
from steelbench.audit.duplicates.verification import Recent, agreement, grain, shared_share
from steelbench.data.groups import Kind, Pair
from steelbench.data.images import RGB
from steelbench.data.parallel import ordered_map

Progress = Callable[[str, int, int], None]

LEAST_SHARE = 0.05  # of the smaller image; less is not reported
# Copies of one image: all pairs up to this many, beyond it each with the first, so that 5000 black images are
# 5000 pairs and not 12 million.
MOST_COPIES = 32
_THREADS = 2
_ROUNDS = 3
_CHAINED_PER_IMAGE = 30


@dataclass(frozen=True)
class ImageToSearch:
    """An image to compare: its name, label, the digest of its pixels, and how to get them."""

    file: str
    label: str
    digest: str
    read: Callable[[], RGB]


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody watches."""


def find_pairs(pictures: Iterable[ImageToSearch], progress: Progress = quiet) -> list[Pair]:
    """Find the pairs that share at least a twentieth of the smaller image's pixels; 20 % and more reliably.

    Time grows about linearly with the number of images: local features propose pairs, pixels decide.
    Images without texture (black, overexposed, blurred) are paired only if they are equal.

    Args:
        pictures: in any order; file names are distinct.
        progress: called with a stage's name, what is done and the total.

    Returns:
        Pairs sorted by file names, at most one for two files.
    """
    copies: dict[str, list[ImageToSearch]] = defaultdict(list)
    for picture in sorted(pictures, key=lambda p: p.file):
        copies[picture.digest].append(picture)
    groups = list(copies.values())
    laid, shapes = _find_laid([group[0] for group in groups], progress)
    pairs = [_pair(a, b, "exact", Laid(0, 0, 0, 0, 0)) for group in groups for a, b in _among(group)]
    for there in laid:
        back = inverse(there, shapes)
        for a, b in _across(groups[there.a], groups[there.b]):
            kind = _kind(there, shapes)
            pairs.append(_pair(a, b, kind, there) if a.file < b.file else _pair(b, a, kind, back))
    return sorted(pairs)


def _find_laid(pictures: Sequence[ImageToSearch], progress: Progress) -> tuple[list[Laid], list[tuple[int, int]]]:
    if not pictures:
        return [], []
    keypoints = []
    for points in ordered_map(_keypoints, pictures, threads=_THREADS, ahead=16):
        keypoints.append(points)
        progress("features", len(keypoints), len(pictures))
    shapes = [points.shape for points in keypoints]
    progress("matches", 0, 1)
    candidates = find_candidates(keypoints)
    progress("matches", 1, 1)
    del keypoints  # half a megabyte for each image of a large set adds up
    grains = Recent(lambda number: grain(pictures[number].read()))
    found = _verify(candidates, shapes, grains, progress)
    tried = {(candidate.a, candidate.b) for candidate in candidates}
    for _ in range(_ROUNDS):
        chained = _chained(found, shapes, tried, _CHAINED_PER_IMAGE * len(pictures))
        tried.update((candidate.a, candidate.b) for candidate in chained)
        new = _verify(chained, shapes, grains, progress)
        found += new
        if not new:
            break
    return found, shapes


def _keypoints(picture: ImageToSearch) -> Keypoints:
    return find_keypoints(cv2.cvtColor(picture.read(), cv2.COLOR_RGB2GRAY).astype(np.float32))


def _verify(
    candidates: Iterable[Candidate], shapes: Sequence[tuple[int, int]], grains: Recent, progress: Progress
) -> list[Laid]:
    """Keep what the pixels confirm: of each two images the candidate with most votes that is the same pixels."""
    ordered = sorted(candidates, key=lambda c: (c.a, c.b, -c.votes))
    tasks = [list(group) for _, group in groupby(ordered, key=lambda c: (c.a, c.b))]
    found = []
    for done, result in enumerate(ordered_map(lambda t: _first_true(t, shapes, grains), tasks, _THREADS), start=1):
        found += [result] if result else []
        progress("pixels", done, len(tasks))
    return found


def _first_true(candidates: list[Candidate], shapes: Sequence[tuple[int, int]], grains: Recent) -> Laid | None:
    for c in candidates:
        shape = turn_shape(shapes[c.b], c.turn)
        if shared_share(shapes[c.a], shape, c.dy, c.dx) < LEAST_SHARE:
            continue
        found = agreement(grains(c.a), turn_image(grains(c.b), c.turn), c.dy, c.dx, c.place)
        if found and found.same_pixels:
            share = shared_share(shapes[c.a], shape, found.dy, found.dx)
            if share >= LEAST_SHARE:
                return Laid(c.a, c.b, c.turn, found.dy, found.dx, share)
    return None


def _chained(
    found: Sequence[Laid], shapes: Sequence[tuple[int, int]], tried: set[tuple[int, int]], limit: int
) -> list[Candidate]:
    """Where two images must lie on each other, because both lie on a third."""
    lying: dict[int, list[Laid]] = defaultdict(list)
    for laid in found:
        lying[laid.a].append(laid)
        lying[laid.b].append(inverse(laid, shapes))
    chained: dict[tuple[int, int], Candidate] = {}
    for middle in sorted(lying):
        for first, second in combinations(sorted(lying[middle], key=lambda laid: laid.b), 2):
            pair = (first.b, second.b)
            if pair in tried or pair in chained:
                continue
            laid = compose(inverse(first, shapes), second, shapes)
            if shared_share(shapes[laid.a], turn_shape(shapes[laid.b], laid.turn), laid.dy, laid.dx) >= LEAST_SHARE:
                chained[pair] = Candidate(laid.a, laid.b, laid.turn, laid.dy, laid.dx)
            if len(chained) >= limit:
                return list(chained.values())
    return list(chained.values())


def _among(copies: Sequence[ImageToSearch]) -> Iterable[tuple[ImageToSearch, ImageToSearch]]:
    return combinations(copies, 2) if len(copies) <= MOST_COPIES else product(copies[:1], copies[1:])


def _across(
    first: Sequence[ImageToSearch], second: Sequence[ImageToSearch]
) -> Iterable[tuple[ImageToSearch, ImageToSearch]]:
    few = len(first) * len(second) <= MOST_COPIES**2
    return product(first, second) if few else [(first[0], second[0])]


def _pair(a: ImageToSearch, b: ImageToSearch, kind: Kind, laid: Laid) -> Pair:
    return Pair(a.file, b.file, kind, round(laid.share, 4), laid.dy, laid.dx, a.label == b.label)


def _kind(laid: Laid, shapes: Sequence[tuple[int, int]]) -> Kind:
    if laid.turn:
        return "mirrored" if MIRRORS[laid.turn] else "rotated"
    in_place = laid.dy == laid.dx == 0 and shapes[laid.a] == shapes[laid.b]
    return "near" if in_place else "overlap"
