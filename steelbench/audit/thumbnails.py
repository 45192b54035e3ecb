"""Thumbnails for the audit's page: pairs with the shared pixels framed, and single files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage
from steelbench.audit.duplicates.orientations import MIRRORS, turn_image
from steelbench.audit.duplicates.search import Progress, no_progress
from steelbench.audit.duplicates.verification import band_pass, compare, shared_area
from steelbench.data.groups import Pair
from steelbench.data.images import UnreadableImageError, read_image

SHOWN = 24
_SIDE = 320  # pixels of the longer side on the page
_SMALL_SIDE = 240
_FRAME = (213, 94, 0)


@dataclass(frozen=True)
class PairThumbnail:
    """A pair and its two images as JPEG bytes.

    Attributes:
        pair: the files.
        first: image of `file_a`.
        second: image of `file_b`, turned upright as the first.
        wide: whether the images are more than twice as wide as high, so that they go below each other.
    """

    pair: Pair
    first: bytes
    second: bytes
    wide: bool = False


def draw_pairs(
    root: Path, pairs: Sequence[Pair], bit_depth: int | None = None, progress: Progress = no_progress
) -> list[PairThumbnail]:
    """Draw at most 24 pairs; a pair of which a file can no longer be read is left out.

    Args:
        root: folder that the files' paths start from.
        pairs: to choose from.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with the stage `drawing`, the pairs done and their number.
    """
    drawn, chosen = [], choose_pairs(pairs)
    for done, pair in enumerate(chosen, start=1):
        progress("drawing", done, len(chosen))
        try:
            drawn.append(_draw(root, pair, bit_depth))
        except UnreadableImageError:
            continue
    return drawn


def draw_files(root: Path, files: Iterable[str], bit_depth: int | None = None) -> dict[str, bytes]:
    """Draw each file once; one that can no longer be read is left out.

    Returns:
        JPEG bytes by file.
    """
    drawn = {}
    for file in dict.fromkeys(files):
        try:
            drawn[file] = _jpeg(_scaled(read_image(root / file, bit_depth), _SMALL_SIDE)[0])
        except UnreadableImageError:
            continue
    return drawn


def choose_pairs(pairs: Sequence[Pair], most: int = SHOWN) -> list[Pair]:
    """Choose varied pairs: across classes first, then in rotation the largest overlaps, turned, smallest, equal ones.

    A pair with a file that was chosen before comes only after every pair without one.

    Args:
        pairs: to choose from.
        most: pairs.
    """
    by_size = sorted(pairs, key=lambda pair: (-pair.overlap, pair))
    across = [
        iter([pair for pair in by_size if not pair.same_label and pair.kind != "overlap"]),
        iter([pair for pair in by_size if not pair.same_label and pair.kind == "overlap"]),
    ]
    mixed = [
        iter([pair for pair in by_size if pair.kind in ("near", "overlap")]),
        iter([pair for pair in by_size if pair.kind in ("mirrored", "rotated")]),
        iter([pair for pair in reversed(by_size) if pair.kind == "overlap"]),
        iter([pair for pair in by_size if pair.kind == "exact"]),
    ]
    order = dict.fromkeys([*(pair for kind in across for pair in kind), *_alternate(mixed, len(pairs))])
    seen: set[str] = set()
    fresh: list[Pair] = []
    for pair in order:
        if not {pair.file_a, pair.file_b} & seen:
            fresh.append(pair)
            seen |= {pair.file_a, pair.file_b}
    first = set(fresh)
    chosen = (fresh + [pair for pair in order if pair not in first])[:most]
    place = {pair: number for number, pair in enumerate(order)}
    return sorted(chosen, key=lambda pair: place[pair])


def _alternate(kinds: Sequence[Iterator[Pair]], rounds: int) -> Iterator[Pair]:
    for _ in range(rounds):
        for kind in kinds:
            taken = next(kind, None)
            if taken:
                yield taken


def _draw(root: Path, pair: Pair, bit_depth: int | None) -> PairThumbnail:
    a, b = (read_image(root / file, bit_depth) for file in (pair.file_a, pair.file_b))
    turn = _turn(a, b, pair)
    b = np.dstack([turn_image(b[..., channel], turn) for channel in range(3)])
    rows, columns = shared_area(a.shape[:2], b.shape[:2], pair.dy, pair.dx)
    corner = np.array([columns.start, rows.start])
    size = np.array([columns.stop - columns.start, rows.stop - rows.start])
    moved = corner - np.array([pair.dx, pair.dy])
    wide = a.shape[1] > 2 * a.shape[0]
    return PairThumbnail(pair, _framed(a, corner, size), _framed(b, moved, size), wide)


def _turn(a: RGBImage, b: RGBImage, pair: Pair) -> int:
    """The turn of the pair's kind that makes the second image most like the first."""
    if pair.kind not in ("mirrored", "rotated"):
        return 0
    band_a, band_b = band_pass(a), band_pass(b)
    turns = [turn for turn in range(1, 8) if bool(MIRRORS[turn]) == (pair.kind == "mirrored")]
    found = {turn: compare(band_a, turn_image(band_b, turn), pair.dy, pair.dx) for turn in turns}
    return max(turns, key=lambda turn: agreement.low if (agreement := found[turn]) else -1.0)


def _framed(image: RGBImage, corner: NDArray[Any], size: NDArray[Any]) -> bytes:
    small, scale = _scaled(image, _SIDE)
    start, end = np.rint(corner * scale).astype(int), np.rint((corner + size) * scale).astype(int) - 1
    cv2.rectangle(small, start.tolist(), end.tolist(), _FRAME, 2)
    return _jpeg(small)


def _scaled(image: RGBImage, side: int) -> tuple[RGBImage, float]:
    """The image with its longer side so many pixels long, and the factor."""
    scale = side / max(image.shape[:2])
    shape = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return small.astype(np.uint8), scale


def _jpeg(image: RGBImage) -> bytes:
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
