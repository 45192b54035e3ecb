"""The steps of an augmentation on one image, float32 [H, W, 3], 0..255.

A generator draws the amount of a step, up to a largest one that is given.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from steelbench.arrays import FloatImage, Points

_BORDER = cv2.BORDER_REFLECT_101
# The corners of an image as (x, y) from its centre, in halves of its sides.
_UNIT_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)


def source_corners(
    flips: tuple[float, float], degrees: float, shear: tuple[float, float], tilt: Points, side: tuple[int, int]
) -> Points:
    """Return the places in the source of the result's corners, float64 [4, 2] as (x, y) pixels from the centre.

    Args:
        flips: -1 to flip along x, along y; else 1.
        degrees: of the rotation.
        shear: of x along y, of y along x.
        tilt: float64 [4, 2], shift of each corner, in shares of the shorter side.
        side: height and width, pixels.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    slant = np.array([[1, shear[1]], [shear[0], 1]])
    return _UNIT_SQUARE * side[::-1] / 2 * flips @ turn @ slant + tilt * min(side)


def random_crop(smallest: float, rng: np.random.Generator) -> tuple[Points, Points]:
    """Draw a crop: area uniform, aspect 3/4 to 4/3.

    Args:
        smallest: least share of the image's area, 0..1.
        rng: draws.

    Returns:
        Its sides as shares of the image's, and its centre in -1..1, each float64 [2] as (x, y).

    References:
        Szegedy et al. 2015, "Going deeper with convolutions", section 6. https://arxiv.org/abs/1409.4842
    """
    area, aspect = rng.uniform(smallest, 1), np.exp(rng.uniform(-1, 1) * np.log(4 / 3))
    # An aspect that does not fit is limited to the one with which the crop touches the image's edges.
    aspect = np.clip(aspect, area, 1 / area)
    share = np.sqrt([area * aspect, area / aspect])
    return share, rng.uniform(-1, 1, 2) * (1 - share)


def elastic_shifts(side: tuple[int, int], most: float, rng: np.random.Generator) -> FloatImage:
    """Draw smooth shifts: random vectors on a coarse grid, bicubic between them.

    Args:
        side: height and width, pixels.
        most: standard deviation of a vector's coordinate, as a share of the shorter side.
        rng: draws.

    Returns:
        float32 [H, W, 2], pixels as (x, y).

    References:
        Ronneberger et al. 2015, "U-Net", section 3.1. https://arxiv.org/abs/1505.04597
    """
    coarse = rng.normal(0, most * min(side), (5, 5, 2)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, side[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def warp(pixels: FloatImage, corners: Points, share: Points, centre: Points, shifts: FloatImage | None) -> FloatImage:
    """Take the pixels from a quadrangle of the source, in one interpolation; beyond the edges the image is mirrored.

    Args:
        pixels: float32 [H, W, 3].
        corners: of `source_corners`.
        share: the crop's sides, of `random_crop`.
        centre: the crop's centre, of `random_crop`.
        shifts: of `elastic_shifts`, or None.
    """
    height, width = pixels.shape[:2]
    half = np.array([width, height]) / 2
    # A pixel's centre lies half a pixel from its edge.
    target = (_UNIT_SQUARE + 1) * half - 0.5
    source = corners * share + (centre + 1) * half - 0.5
    matrix = cv2.getPerspectiveTransform(target.astype(np.float32), source.astype(np.float32))
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    places = cv2.perspectiveTransform(grid, matrix)
    if shifts is not None:
        places = places + shifts
    x, y = places[..., 0], places[..., 1]
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=_BORDER), np.float32)


def sharpen(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Add the difference from a blurred copy, times 0 to `most`."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0, borderType=_BORDER)
    return pixels + np.float32(rng.uniform(0, most)) * (pixels - soft)


def blur(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Blur as a lens out of focus does: a Gaussian of a deviation up to `most`, a share of the shorter side."""
    deviation = rng.uniform(0.1, 1) * most * min(pixels.shape[:2])
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), deviation, borderType=_BORDER), np.float32)


def motion(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Blur along a straight line of any direction, whose length is up to `most`, a share of the shorter side."""
    kernel = line_kernel(rng.uniform(0.2, 1) * most * min(pixels.shape[:2]), rng.uniform(0, 180))
    return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=_BORDER), np.float32)


def line_kernel(length: float, degrees: float) -> FloatImage:
    """Return a square kernel of odd size with a straight line through its middle; its sum is 1.

    Args:
        length: pixels.
        degrees: counterclockwise from the x axis.
    """
    reach = int(np.ceil(length / 2))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along = x * np.cos(np.deg2rad(degrees)) - y * np.sin(np.deg2rad(degrees))
    across = x * np.sin(np.deg2rad(degrees)) + y * np.cos(np.deg2rad(degrees))
    kernel = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)


def contrast(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Multiply the differences from the image's mean by 1 - `most` to 1 + `most`."""
    mean = np.float32(pixels.mean(dtype=np.float64))
    return (pixels - mean) * np.float32(1 + rng.uniform(-most, most)) + mean


def brightness(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Add one number to all pixels, up to `most` times 255 either way."""
    return pixels + np.float32(255 * rng.uniform(-most, most))


def noise(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Add Gaussian noise, the same to the three channels, as a gray camera makes it."""
    deviation = np.float32(255 * rng.uniform(0, most))
    return pixels + deviation * rng.standard_normal((*pixels.shape[:2], 1), np.float32)


def occlusion(pixels: FloatImage, most: float, rng: np.random.Generator) -> FloatImage:
    """Cover a rectangle with the mean colour: area a tenth of `most` to `most`, as a share, aspect 1/3 to 3.

    References:
        Zhong et al. 2020, "Random Erasing Data Augmentation", algorithm 1. https://arxiv.org/abs/1708.04896
    """
    area, aspect = rng.uniform(most / 10, most), np.exp(rng.uniform(-1, 1) * np.log(3))
    sides = np.minimum(np.sqrt([area * aspect, area / aspect]), 1) * pixels.shape[:2]
    top, left = np.floor(rng.uniform(0, 1, 2) * (pixels.shape[:2] - sides)).astype(int)
    bottom, right = np.ceil(np.array([top, left]) + sides).astype(int)
    covered = pixels.copy()
    covered[top:bottom, left:right] = pixels.mean(axis=(0, 1), dtype=np.float64)
    return covered


# In the order of a camera: optics, exposure, sensor; then an object in front of it. The names are fields of a row.
STEPS: dict[str, Callable[[FloatImage, float, np.random.Generator], FloatImage]] = {
    "sharpen": sharpen,
    "blur": blur,
    "motion": motion,
    "contrast": contrast,
    "brightness": brightness,
    "noise": noise,
    "occlusion": occlusion,
}
