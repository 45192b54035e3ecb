"""Search for pairs of images that share pixels, from keypoints to verified pairs; the least share that counts.

Keypoints propose pairs and placements, pixels verify them, and placements that follow from two others are tried too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations, groupby, product

import cv2
import numpy as np

from steelbench.arrays import RGBImage
from steelbench.audit.duplicates.candidates import Candidate, find_candidates
from steelbench.audit.duplicates.keypoint_table import KeypointTable
from steelbench.audit.duplicates.keypoints import Keypoints, find_keypoints
from steelbench.audit.duplicates.orientations import MIRRORS, Placement, compose, inverse, turn_image, turn_shape
from steelbench.audit.duplicates.verification import RecentArrays, band_pass, compare, shared_share
from steelbench.data.groups import Kind, Pair
from steelbench.data.inspection import Inspected
from steelbench.data.parallel import ordered_map

Progress = Callable[[str, int, int], None]

LEAST_SHARE = 0.05  # of the smaller image; less is not reported
# Copies of one image: all pairs up to this many, beyond it each with the first, so that 5000 black images are
# 5000 pairs and not 12 million.
MOST_COPIES = 32
_THREADS = 2
_ROUNDS = 3
_CHAINED_PER_IMAGE = 30


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Show nothing."""


def find_pairs(
    images: Iterable[Inspected], read: Callable[[Inspected], RGBImage], progress: Progress = no_progress
) -> list[Pair]:
    """Find the pairs that share at least a twentieth of the smaller image's pixels; 20 % and more reliably.

    Time grows about linearly with the number of images (`benchmarks/cost_of_audit.py`).
    Images without texture (black, overexposed, blurred) are paired only if they are equal.

    Args:
        images: in any order; paths are distinct, and equal pixels have one digest.
        read: uint8 [H, W, 3] of an image, called several times for some.
        progress: called with a stage's name, the number of images or pairs done and their total.

    Returns:
        Pairs sorted by file names, at most one for two files.
    """
    copies: dict[str, list[Inspected]] = defaultdict(list)
    for image in sorted(images, key=lambda image: image.sample.path):
        copies[image.pixels_digest].append(image)
    groups = list(copies.values())
    placements, shapes = _find_placements([group[0] for group in groups], read, progress)
    pairs = [_pair(a, b, "exact", Placement(0, 0, 0, 0, 0)) for group in groups for a, b in _among(group)]
    for there in placements:
        kind, back = _kind(there, shapes), inverse(there, shapes)
        for a, b in _across(groups[there.a], groups[there.b]):
            pairs.append(_pair(a, b, kind, there) if a.sample.path < b.sample.path else _pair(b, a, kind, back))
    return sorted(pairs)


def _find_placements(
    images: Sequence[Inspected], read: Callable[[Inspected], RGBImage], progress: Progress
) -> tuple[list[Placement], list[tuple[int, int]]]:
    """Placements of images of distinct pixels on each other, and the images' heights and widths."""
    if not images:
        return [], []
    keypoints = _all_keypoints(images, read, progress)
    shapes = keypoints.shapes
    progress("matches", 0, 1)
    candidates = find_candidates(keypoints)
    progress("matches", 1, 1)
    del keypoints  # 30 kB for each image of a large set add up
    band_passed = RecentArrays(lambda number: band_pass(read(images[number])))
    found = _verify(candidates, shapes, band_passed, progress)
    tried = {(candidate.a, candidate.b) for candidate in candidates}
    for _ in range(_ROUNDS):
        chained = _chained(found, shapes, tried, _CHAINED_PER_IMAGE * len(images))
        tried.update((candidate.a, candidate.b) for candidate in chained)
        new = _verify(chained, shapes, band_passed, progress)
        found += new
        if not new:
            break
    return found, shapes


def _all_keypoints(
    images: Sequence[Inspected], read: Callable[[Inspected], RGBImage], progress: Progress
) -> KeypointTable:
    def of_image(image: Inspected) -> Keypoints:
        return find_keypoints(cv2.cvtColor(read(image), cv2.COLOR_RGB2GRAY).astype(np.float32))

    def counted() -> Iterator[Keypoints]:
        for done, points in enumerate(ordered_map(of_image, images, threads=_THREADS, ahead=16), start=1):
            yield points
            progress("features", done, len(images))

    return KeypointTable.of(counted())


def _verify(
    candidates: Iterable[Candidate], shapes: Sequence[tuple[int, int]], band_passed: RecentArrays, progress: Progress
) -> list[Placement]:
    """Return, of each two images, the candidate with most votes that shows the same pixels in both."""
    ordered = sorted(candidates, key=lambda c: (c.a, c.b, -c.votes))
    tasks = [list(group) for _, group in groupby(ordered, key=lambda c: (c.a, c.b))]
    found = []
    results = ordered_map(lambda task: _first_verified(task, shapes, band_passed), tasks, _THREADS)
    for done, result in enumerate(results, start=1):
        found += [result] if result else []
        progress("pixels", done, len(tasks))
    return found


def _first_verified(
    candidates: list[Candidate], shapes: Sequence[tuple[int, int]], band_passed: RecentArrays
) -> Placement | None:
    for c in candidates:
        shape = turn_shape(shapes[c.b], c.turn)
        if shared_share(shapes[c.a], shape, c.dy, c.dx) < LEAST_SHARE:
            continue
        found = compare(band_passed(c.a), turn_image(band_passed(c.b), c.turn), c.dy, c.dx, c.place)
        if found and found.same_pixels:
            share = shared_share(shapes[c.a], shape, found.dy, found.dx)
            if share >= LEAST_SHARE:
                return Placement(c.a, c.b, c.turn, found.dy, found.dx, share)
    return None


def _chained(
    found: Sequence[Placement], shapes: Sequence[tuple[int, int]], tried: set[tuple[int, int]], limit: int
) -> list[Candidate]:
    """Return placements of two images that follow from their placements on a third one, at most `limit`."""
    placed_on: dict[int, list[Placement]] = defaultdict(list)
    for placement in found:
        placed_on[placement.a].append(placement)
        placed_on[placement.b].append(inverse(placement, shapes))
    chained: dict[tuple[int, int], Candidate] = {}
    for middle in sorted(placed_on):
        for first, second in combinations(sorted(placed_on[middle], key=lambda placement: placement.b), 2):
            pair = (first.b, second.b)
            if pair in tried or pair in chained:
                continue
            p = compose(inverse(first, shapes), second, shapes)
            if shared_share(shapes[p.a], turn_shape(shapes[p.b], p.turn), p.dy, p.dx) >= LEAST_SHARE:
                chained[pair] = Candidate(p.a, p.b, p.turn, p.dy, p.dx)
            if len(chained) >= limit:
                return list(chained.values())
    return list(chained.values())


def _among(copies: Sequence[Inspected]) -> Iterable[tuple[Inspected, Inspected]]:
    return combinations(copies, 2) if len(copies) <= MOST_COPIES else product(copies[:1], copies[1:])


def _across(first: Sequence[Inspected], second: Sequence[Inspected]) -> Iterable[tuple[Inspected, Inspected]]:
    few = len(first) * len(second) <= MOST_COPIES**2
    return product(first, second) if few else [(first[0], second[0])]


def _pair(a: Inspected, b: Inspected, kind: Kind, placement: Placement) -> Pair:
    return Pair(
        file_a=a.sample.path,
        file_b=b.sample.path,
        kind=kind,
        overlap=round(placement.share, 4),
        dy=placement.dy,
        dx=placement.dx,
        same_label=a.sample.label == b.sample.label,
    )


def _kind(placement: Placement, shapes: Sequence[tuple[int, int]]) -> Kind:
    if placement.turn:
        return "mirrored" if MIRRORS[placement.turn] else "rotated"
    in_place = placement.dy == placement.dx == 0 and shapes[placement.a] == shapes[placement.b]
    return "near" if in_place else "overlap"
