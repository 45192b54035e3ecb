"""The steps of an augmentation on one image, float32 [H, W, 3], 0..255: a largest amount and a generator decide."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Points = NDArray[np.float64]
_BORDER = cv2.BORDER_REFLECT_101
# The corners of an image, as (x, y) from its centre, in halves of its sides.
_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)


def quad(
    flips: tuple[float, float], degrees: float, shear: tuple[float, float], tilt: Points, side: tuple[int, int]
) -> Points:
    """Where the corners of the result lie in the source, float64 [4, 2] as (x, y) pixels from the centre.

    Args:
        flips: -1 to flip along x, along y; else 1.
        degrees: of the turn.
        shear: of x along y, of y along x.
        tilt: float64 [4, 2], shift of each corner, in shares of the shorter side.
        side: height and width, pixels.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, shear[1]], [shear[0], 1]])
    return _SQUARE * side[::-1] / 2 * flips @ turn @ slant + tilt * min(side)


def random_crop(smallest: float, rng: np.random.Generator) -> tuple[Points, Points]:
    """Sides of a crop as shares of the image's, and its centre in -1..1, each as (x, y).

    Szegedy et al. 2015, "Going deeper with convolutions", section 6: area uniform, aspect 3/4 to 4/3.
    https://arxiv.org/abs/1409.4842
    """
    area, aspect = rng.uniform(smallest, 1), np.exp(rng.uniform(-1, 1) * np.log(4 / 3))
    # An aspect that would not fit is brought back until the crop touches the image's edges.
    aspect = np.clip(aspect, area, 1 / area)
    share = np.sqrt([area * aspect, area / aspect])
    return share, rng.uniform(-1, 1, 2) * (1 - share)


def bend(side: tuple[int, int], most: float, rng: np.random.Generator) -> Image:
    """Smooth shifts in pixels, [H, W, 2]: random vectors on a coarse grid, bicubic between them.

    Ronneberger et al. 2015, "U-Net", section 3.1. https://arxiv.org/abs/1505.04597
    """
    coarse = rng.normal(0, most * min(side), (5, 5, 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, side[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def move(pixels: Image, corners: Points, share: Points, centre: Points, shifts: Image | None) -> Image:
    """Take the pixels from a quadrangle of the source, in one interpolation; what lies outside is mirrored.

    Args:
        pixels: float32 [H, W, 3].
        corners: of `quad`.
        share: the crop's sides, of `random_crop`.
        centre: the crop's centre, of `random_crop`.
        shifts: of `bend`, or None.
    """
    height, width = pixels.shape[:2]
    half = np.array([width, height]) / 2
    # A pixel's centre lies half a pixel from its edge.
    target = (_SQUARE + 1) * half - 0.5
    source = corners * share + (centre + 1) * half - 0.5
    matrix = cv2.getPerspectiveTransform(target.astype(np.float32), source.astype(np.float32))
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    places = cv2.perspectiveTransform(grid, matrix)
    if shifts is not None:
        places = places + shifts
    x, y = places[..., 0], places[..., 1]
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=_BORDER), np.float32)


def sharpen(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """Add the difference from a blurred copy."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0, borderType=_BORDER)
    return pixels + np.float32(rng.uniform(0, most)) * (pixels - soft)


def blur(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """A lens out of focus."""
    deviation = rng.uniform(0.1, 1) * most * min(pixels.shape[:2])
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), deviation, borderType=_BORDER), np.float32)


def motion(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """The mean along a straight path of any direction."""
    kernel = path(rng.uniform(0.2, 1) * most * min(pixels.shape[:2]), rng.uniform(0, 180))
    return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=_BORDER), np.float32)


def path(length: float, degrees: float) -> Image:
    """A straight line through the middle of a square kernel, its sum 1."""
    reach = int(np.ceil(length / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = x * np.cos(np.deg2rad(degrees)) - y * np.sin(np.deg2rad(degrees))
    across = x * np.sin(np.deg2rad(degrees)) + y * np.cos(np.deg2rad(degrees))
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def contrast(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """Multiply the differences from the image's mean."""
    mean = np.float32(pixels.mean(dtype=np.float64))
    return (pixels - mean) * np.float32(1 + rng.uniform(-most, most)) + mean


def brightness(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """Add one number."""
    return pixels + np.float32(255 * rng.uniform(-most, most))


def noise(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """Gaussian noise, the same for the three channels, as a gray camera makes it."""
    deviation = np.float32(255 * rng.uniform(0, most))
    return pixels + deviation * rng.standard_normal((*pixels.shape[:2], 1), np.float32)


def occlusion(pixels: Image, most: float, rng: np.random.Generator) -> Image:
    """A rectangle of the mean colour, aspect 1/3 to 3.

    Zhong et al. 2020, "Random Erasing Data Augmentation", algorithm 1. https://arxiv.org/abs/1708.04896
    """
    area, aspect = rng.uniform(most / 10, most), np.exp(rng.uniform(-1, 1) * np.log(3))
    sides = np.minimum(np.sqrt([area * aspect, area / aspect]), 1) * pixels.shape[:2]
    top, left = np.floor(rng.uniform(0, 1, 2) * (pixels.shape[:2] - sides)).astype(int)
    bottom, right = np.ceil(np.array([top, left]) + sides).astype(int)
    covered = pixels.copy()
    covered[top:bottom, left:right] = pixels.mean(axis=(0, 1), dtype=np.float64)
    return covered


# Optics, exposure, sensor, as in a camera; then something lies in front of it. Named as the fields of a row.
STEPS: dict[str, Callable[[Image, float, np.random.Generator], Image]] = {
    "sharpen": sharpen,
    "blur": blur,
    "motion": motion,
    "contrast": contrast,
    "brightness": brightness,
    "noise": noise,
    "occlusion": occlusion,
}
