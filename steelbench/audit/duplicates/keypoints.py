"""Keypoints: places of an image that can be found again, with descriptions that mirroring and turning do not change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import GrayImage
from steelbench.audit.duplicates.orientations import COMPOSE, TRANSPOSE
from steelbench.data.images import one_large

# Two scales: fine grain tells crops apart, the coarse one outlives strong JPEG compression.
_SIGMAS = (1.2, 2.4)
_REACH = 4  # steps on each side: a description samples 9 x 9 places
_SPACING = 5 / 3  # between them, in sigmas
_WEAKEST = 0.3  # gray levels; in flatter areas noise would be described
# Keypoints are maxima of a square window, so that a crop keeps those of the frame; its side follows from this.
_PER_SCALE = 250
_SMALLEST_WINDOW = 2
# Of an image of 28 megapixels. The time of a window grows with its side; a larger image yields more maxima, of which as
# many are taken as of any other.
_LARGEST_WINDOW = 167
_FREQUENCIES = 7  # lowest ones of the cosine transform are kept
_STEPS_Y, _STEPS_X = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]
_DISC = (_STEPS_Y**2 + _STEPS_X**2 <= _REACH**2 + 2).astype(np.float32)


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of one image.

    Attributes:
        places: int32 [K, 2], (y, x).
        turns: int8 [K], index into `TURNS` of the turn that brings each to its canonical pose.
        scales: int8 [K], index into the scales.
        descriptions: float16 [K, D], unit norm.
        shape: height and width of the image.
    """

    places: NDArray[np.int32]
    turns: NDArray[np.int8]
    scales: NDArray[np.int8]
    descriptions: NDArray[np.float16]
    shape: tuple[int, int]


def _cosines() -> NDArray[np.float32]:
    """Low-frequency products of cosines over the 9 x 9 samples, float32 [81, D], orthonormal, without the constant."""
    side = 2 * _REACH + 1
    place = np.arange(side) + 0.5
    waves = np.array([np.cos(np.pi * k * place / side) for k in range(_FREQUENCIES)])
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    low = [(i, j) for i in range(_FREQUENCIES) for j in range(_FREQUENCIES) if 0 < i + j < _FREQUENCIES]
    return np.array([np.outer(waves[i], waves[j]).ravel() for i, j in low], np.float32).T


_BASIS = _cosines()


def find_keypoints(gray: GrayImage) -> Keypoints:
    """Find and describe at most about 500 places of an image of any size.

    Args:
        gray: float32 [H, W], 0..255.
    """
    height, width = gray.shape
    window = min(_LARGEST_WINDOW, max(_SMALLEST_WINDOW, int((np.sqrt(height * width / _PER_SCALE) - 1) / 2)))
    with one_large(height * width):
        found = [_at_scale(gray, sigma, window) for sigma in _SIGMAS]
    places, turns, descriptions = (np.concatenate(part) for part in zip(*found, strict=True))
    scales = np.repeat(np.arange(len(found), dtype=np.int8), [len(part[0]) for part in found])
    return Keypoints(places, turns, scales, descriptions, (height, width))


def _at_scale(gray: GrayImage, sigma: float, window: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    smooth = cv2.GaussianBlur(gray, (0, 0), sigma)
    response = np.abs(smooth - cv2.GaussianBlur(smooth, (0, 0), 1.25 * sigma))
    spacing = round(_SPACING * sigma)
    border = _REACH * spacing
    inner = (slice(border, max(gray.shape[0] - border, border)), slice(border, max(gray.shape[1] - border, border)))
    largest = _largest_within(response, window)
    peaks = np.argwhere((response[inner] == largest[inner]) & (response[inner] > _WEAKEST)) + border
    if len(peaks) > 2 * _PER_SCALE:
        # Plateaus of a drawn image can hold any number of equal maxima.
        peaks = peaks[np.linspace(0, len(peaks) - 1, 2 * _PER_SCALE).astype(int)]
    rows = peaks[:, 0, None, None] + _STEPS_Y * spacing
    columns = peaks[:, 1, None, None] + _STEPS_X * spacing
    posed, turns = _canonical(smooth[rows, columns])
    return peaks.astype(np.int32), turns, _describe(posed)


def _largest_within(response: GrayImage, window: int) -> GrayImage:
    """Return the largest value of the square window around each place, float32 [H, W]."""
    if not (response > _WEAKEST).any():
        # Nothing to find, as in a black image.
        return response
    return np.asarray(cv2.dilate(response, np.ones((2 * window + 1, 2 * window + 1), np.uint8)), np.float32)


def _canonical(patches: GrayImage) -> tuple[GrayImage, NDArray[np.int8]]:
    """Mirror and transpose each patch so that it is brighter below and on the right, and more so below.

    Returns:
        Patches [K, 9, 9] and turns int8 [K].
    """
    patches = (patches - (patches * _DISC).sum((1, 2), keepdims=True) / _DISC.sum()) * _DISC
    down, right = (patches * _STEPS_Y).sum((1, 2)), (patches * _STEPS_X).sum((1, 2))
    patches[down < 0] = patches[down < 0][:, ::-1]
    patches[right < 0] = patches[right < 0][:, :, ::-1]
    swap = np.abs(right) > np.abs(down)
    patches[swap] = patches[swap].transpose(0, 2, 1)
    flips = (down < 0) + 2 * (right < 0)
    return patches, np.where(swap, COMPOSE[TRANSPOSE][flips], flips).astype(np.int8)


def _describe(patches: GrayImage) -> NDArray[np.float16]:
    low = patches.reshape(-1, _DISC.size) @ _BASIS
    # 1e-6 is far below a textured patch's norm (gray levels): a flat patch becomes 0, which is like no other.
    return (low / np.maximum(np.linalg.norm(low, axis=1, keepdims=True), 1e-6)).astype(np.float16)
