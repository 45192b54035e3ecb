"""Verification of candidate pairs by block-wise correlation of their band-passed pixels.

A scratch or a light gradient that two surfaces have in common makes some blocks agree; the same pixels make all of
them agree.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage

# [H, W], gray levels about 0.
BandPassed = NDArray[np.float16]

BLOCK = 12
_FINE, _COARSE = 0.8, 4.0  # sigmas of the band-pass
_MOST_BLOCKS = 96
FEWEST_BLOCKS = 8
_PLAIN = 0.6  # gray levels; a block with a smaller standard deviation in both images is not compared
_SEARCH = 2  # pixels around the proposed offset
_WINDOW = 64  # half side of the square in which the best offset is searched
# Chosen on NEU and X-SDD, where samples of each range were inspected by eye. Of some 19000 candidates more than
# 99 % of those that share nothing have `low` below .5; the rest are roller marks and scratches that two surfaces have
# in common, with `remaining` above .4. Planted crops and copies with JPEG quality 60 have `low` .5 to 1 and, but for
# a few, `remaining` below .4; crops without compression have `low` above .98.
_LEAST_LOW = 0.4
_MOST_REMAINING = 0.45
_MARGIN = 0.22
_AWAY = 8  # pixels; the same surface correlates only in place, a straight scratch also beside it


@dataclass(frozen=True)
class Agreement:
    """Agreement of two images at one offset.

    Attributes:
        dy: row of the first image where the second one begins.
        dx: the column, likewise.
        typical: median of the blocks' correlations, -1..1.
        low: lower quartile of the blocks' correlations, -1..1.
        beside: largest median when the images are moved 8 pixels out of place.
        blocks: number of blocks compared.
    """

    dy: int
    dx: int
    typical: float
    low: float
    beside: float
    blocks: int

    @property
    def remaining(self) -> float:
        """Correlation missing in place, as a share of that missing 8 pixels beside; about 1 on a straight scratch."""
        return (1 - self.typical) / max(1 - max(self.beside, 0.0), 1e-3)

    @property
    def same_pixels(self) -> bool:
        """Whether this agreement is that of the same pixels; thresholds as chosen above."""
        return self.remaining <= _MOST_REMAINING and self.low - self.remaining >= _MARGIN


def band_pass(pixels: RGBImage) -> BandPassed:
    """Return the gray levels without noise finer than a pixel and without light and shade.

    Args:
        pixels: uint8 [H, W, 3], RGB.

    Returns:
        float16 [H, W].
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = cv2.GaussianBlur(gray, (0, 0), _FINE) - cv2.GaussianBlur(gray, (0, 0), _COARSE)
    return band.astype(np.float16)


class RecentArrays:
    """A cache of arrays by number, for several threads; the least recently used ones are dropped.

    Args:
        compute: the array of a number.
        limit: bytes of all arrays that are kept; one is kept even if it is larger.
    """

    def __init__(self, compute: Callable[[int], NDArray[Any]], limit: int = 384 * 1024 * 1024) -> None:
        self._compute, self._left, self._lock = compute, limit, Lock()
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __call__(self, number: int) -> NDArray[Any]:
        """Return the array of `number`, computed if it is not kept."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        value = self._compute(number)
        with self._lock:
            if number not in self._kept:
                self._kept[number] = value
                self._left -= value.nbytes
            while self._left < 0 and len(self._kept) > 1:
                self._left += self._kept.popitem(last=False)[1].nbytes
        return value


def shared_area(a: tuple[int, int], b: tuple[int, int], dy: int, dx: int) -> tuple[slice, slice]:
    """Return the rows and columns of `a` (height, width) that `b`, lying at (dy, dx), covers; empty slices if none."""
    top, left = max(0, dy), max(0, dx)
    return slice(top, max(top, min(a[0], dy + b[0]))), slice(left, max(left, min(a[1], dx + b[1])))


def shared_share(a: tuple[int, int], b: tuple[int, int], dy: int, dx: int) -> float:
    """Return the shared area as a share of the smaller image, 0..1."""
    rows, columns = shared_area(a, b, dy, dx)
    return (rows.stop - rows.start) * (columns.stop - columns.start) / min(a[0] * a[1], b[0] * b[1])


def _shared(a: BandPassed, b: BandPassed, dy: int, dx: int) -> tuple[BandPassed, BandPassed]:
    rows, columns = shared_area(_size(a), _size(b), dy, dx)
    return a[rows, columns], b[rows.start - dy : rows.stop - dy, columns.start - dx : columns.stop - dx]


def _size(image: NDArray[Any]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def compare(a: BandPassed, b: BandPassed, dy: int, dx: int, place: tuple[int, int] | None = None) -> Agreement | None:
    """Correlate two images laid on each other.

    Args:
        a: float16 [H, W], first image, band-passed.
        b: float16 [H', W'], second image, band-passed and turned.
        dy: row of `a` where the first row of `b` lies; the best offset up to 2 pixels away is taken.
        dx: the column, likewise.
        place: (y, x) in `a` around which the best offset is searched; the shared area's centre if None.

    Returns:
        None if the lower quartile of the correlations is below `_LEAST_LOW`, or fewer than `FEWEST_BLOCKS` blocks can
        be compared.
    """
    dy, dx = _best_offset(a, b, dy, dx, place)
    here = _correlations(a, b, dy, dx)
    if len(here) < FEWEST_BLOCKS:
        return None
    low, typical = np.percentile(here, [25, 50])
    if low < _LEAST_LOW:
        return None
    moved = ((_AWAY, 0), (-_AWAY, 0), (0, _AWAY), (0, -_AWAY), (_AWAY, _AWAY), (_AWAY, -_AWAY))
    others = [_correlations(a, b, dy + y, dx + x) for y, x in moved]
    beside = max((float(np.median(other)) for other in others if len(other)), default=0.0)
    return Agreement(dy, dx, float(typical), float(low), beside, len(here))


def _best_offset(a: BandPassed, b: BandPassed, dy: int, dx: int, place: tuple[int, int] | None) -> tuple[int, int]:
    rows, columns = shared_area(_size(a), _size(b), dy, dx)
    y, x = place or ((rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2)
    rows = slice(max(rows.start, y - _WINDOW), min(rows.stop, y + _WINDOW))
    columns = slice(max(columns.start, x - _WINDOW), min(columns.stop, x + _WINDOW))
    if min(rows.stop - rows.start, columns.stop - columns.start) < 4 * _SEARCH:
        return dy, dx
    part = b[rows.start - dy : rows.stop - dy, columns.start - dx : columns.stop - dx].astype(np.float32)
    inner = part[_SEARCH:-_SEARCH, _SEARCH:-_SEARCH]
    scores = cv2.matchTemplate(a[rows, columns].astype(np.float32), inner, cv2.TM_CCOEFF_NORMED)
    best = np.unravel_index(np.nan_to_num(scores, nan=-1.0, posinf=-1.0).argmax(), scores.shape)
    return dy + int(best[0]) - _SEARCH, dx + int(best[1]) - _SEARCH


def _correlations(a: BandPassed, b: BandPassed, dy: int, dx: int) -> NDArray[np.float32]:
    """Correlation of each block of the shared area that is not plain in both images, float32 [B]."""
    first, second = (_blocks(part) for part in _shared(a, b, dy, dx))
    if not len(first):
        return np.empty(0, np.float32)
    spread = np.sqrt([np.einsum("ij,ij->i", part, part) / BLOCK**2 for part in (first, second)])
    products = np.einsum("ij,ij->i", first, second) / BLOCK**2
    textured = spread.max(axis=0) > _PLAIN
    return np.asarray(products[textured] / np.maximum(spread[0] * spread[1], 1e-3)[textured], np.float32)


def _blocks(image: BandPassed) -> NDArray[np.float32]:
    """At most `_MOST_BLOCKS` blocks of `BLOCK` x `BLOCK` pixels, spread over the image, each less its mean.

    Returns:
        float32 [B, BLOCK * BLOCK].
    """
    height, width = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    grid = image[: height * BLOCK, : width * BLOCK].reshape(height, BLOCK, width, BLOCK)
    count = height * width
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOST_BLOCKS)).astype(int)) if count else np.empty(0, int)
    blocks = grid[chosen // max(width, 1), :, chosen % max(width, 1)].reshape(-1, BLOCK**2).astype(np.float32)
    return blocks - blocks.mean(axis=1, keepdims=True)
