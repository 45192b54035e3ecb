"""Procedural surfaces of hot-rolled steel, one texture for each of the six NEU classes.

A surface is grain, rolling streaks, a defect of random severity and uneven light. All of it is drawn
from random fields, never from templates: two surfaces share no pixels unless they are the same surface.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.floating[Any]]
Shape = tuple[int, int]

# Counts and positions of defects refer to a square of this side; larger surfaces hold more of them.
PATCH = 200


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Parameters of a class's surfaces. Ranges overlap between classes, so that none is trivial to tell.

    Attributes:
        defect: draws the defect's relief, float [H, W].
        grain: least and largest strength of the grain, relative to the defect.
        grain_blur: width of the grain along x and y, pixels.
        streaks: largest strength of the rolling streaks, relative to other classes.
    """

    defect: Callable[[np.random.Generator, Shape], Field]
    grain: tuple[float, float]
    grain_blur: tuple[float, float]
    streaks: float


def surface(rng: np.random.Generator, name: str, shape: Shape) -> Field:
    """Draw a surface.

    Args:
        rng: decides everything about the surface.
        name: a key of `TEXTURES`.
        shape: height and width, at least `PATCH` pixels each.

    Returns:
        float [H, W], gray levels, neither rounded nor clipped; the grain is at least 4 levels strong.
    """
    texture = TEXTURES[name]
    relief = rng.uniform(0.4, 1.1) * texture.defect(rng, shape)
    if rng.random() < 0.3:  # real surfaces seldom have one defect only
        other = list(TEXTURES)[rng.integers(len(TEXTURES))]
        relief = relief + rng.uniform(0.1, 0.28) * TEXTURES[other].defect(rng, shape)
    blur_x, blur_y = np.array(texture.grain_blur) * rng.uniform(0.6, 1.4, 2)
    grain = np.exp(rng.uniform(*np.log(texture.grain)))
    relief = relief + grain * _noise(rng, shape, blur_x, blur_y)
    relief = relief + texture.streaks * rng.uniform(0, 0.2) * _streaks(rng, shape)
    # The exposure hides most of what gray levels alone would tell about the class.
    contrast = np.exp(rng.uniform(np.log(11), np.log(32)))
    gain = np.sqrt(40 * contrast / relief.std())
    gain = max(gain, 4.0 / grain)
    light = 1 + rng.uniform(0, 0.22) * _light(rng, shape)
    return np.asarray(rng.uniform(85, 175) * light + gain * (relief - relief.mean()))


def _noise(rng: np.random.Generator, shape: Shape, sigma_x: float, sigma_y: float) -> Field:
    """Gaussian random field of zero mean and unit variance, correlated over about `sigma` pixels."""
    # Coarse fields are drawn small and enlarged: wide kernels would take most of the time.
    step = max(1, int(min(sigma_x, sigma_y) / 2))
    height, width = (-(-side // step) + 1 for side in shape)
    field = rng.standard_normal((height, width), dtype=np.float32)
    blurred = cv2.GaussianBlur(field, (0, 0), sigma_x / step, sigmaY=sigma_y / step)
    if step > 1:
        blurred = cv2.resize(blurred, (width * step, height * step), interpolation=cv2.INTER_CUBIC)
    blurred = blurred[: shape[0], : shape[1]]
    return np.asarray((blurred - blurred.mean()) / blurred.std())


def _streaks(rng: np.random.Generator, shape: Shape) -> Field:
    """Vertical marks of the rolls, fading along their length."""
    columns = _noise(rng, (2, shape[1]), rng.uniform(1, 5), 1)[:1]
    return columns * (0.7 + 0.3 * _noise(rng, shape, 6, 40))


def _light(rng: np.random.Generator, shape: Shape) -> Field:
    """A slope across the surface and soft bands, about -1..1."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    slope = np.cos(angle) * x + np.sin(angle) * y
    return np.asarray(0.7 * slope + 0.4 * _noise(rng, shape, 35, 70))


def _strata(rng: np.random.Generator, side: int, count: int) -> Field:
    """`count` positions for every `PATCH` pixels of a side, spread so that every crop gets its share."""
    total = -(-side * count // PATCH)
    return (np.arange(total) + rng.uniform(0, 1, total)) * side / total


def _cracks(rng: np.random.Generator, shape: Shape) -> Field:
    """A broken network of fine cracks, roughly horizontal: the zero lines of a stretched random field."""
    size = rng.uniform(2.5, 5.5)
    field = _noise(rng, shape, size * rng.uniform(1.6, 3.2), size) + 0.12 * _noise(rng, shape, 1.5, 1.5)
    slope_y, slope_x = np.gradient(field)
    distance = np.abs(field) / (np.hypot(slope_y, slope_x) + 1e-3)
    broken = np.clip(0.3 + _noise(rng, shape, 12, 6), 0, 1.3)
    return np.asarray(-1.3 * np.exp(-((distance / rng.uniform(0.6, 1.3)) ** 2)) * broken)


def _spots(rng: np.random.Generator, shape: Shape) -> Field:
    """Strings of dark, elongated spots along the rolling direction."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    rough = 0.25 * _noise(rng, shape, 2, 4)
    depth = np.zeros(shape)
    for column in _strata(rng, shape[1], int(rng.integers(1, 3))):
        for row in _strata(rng, shape[0], int(rng.integers(1, 5))):
            length, width = rng.uniform(7, 40), rng.uniform(2, 5.5)
            radius = np.hypot((y - row) / length, (x - column - rng.normal(0, 5)) / width)
            depth = np.maximum(depth, rng.uniform(0.6, 1.4) * np.clip(3 * (1.1 - radius + rough), 0, 1))
    return -depth


def _blotches(rng: np.random.Generator, shape: Shape) -> Field:
    """Large dark or bright blotches with ragged edges."""
    size = rng.uniform(10, 24)
    field = _noise(rng, shape, size, size * rng.uniform(0.9, 1.6)) + 0.3 * _noise(rng, shape, 4, 4)
    field = field + 0.12 * _noise(rng, shape, 1, 1.5)
    blotches = 1 / (1 + np.exp(-rng.uniform(3, 9) * (field - rng.uniform(0.0, 0.7))))
    return np.asarray(blotches * (-1.9 if rng.random() < 0.85 else 1.9))


def _pits(rng: np.random.Generator, shape: Shape) -> Field:
    """Many small dark pits, denser in some regions."""
    size = rng.uniform(1.3, 2.6)
    field = _noise(rng, shape, size, size * rng.uniform(0.9, 1.5))
    dense = rng.uniform(0.0, 0.5) * _noise(rng, shape, 30, 60)
    return np.asarray(-np.clip(2.5 * (field + dense - rng.uniform(0.6, 1.4)), 0, 1))


def _scale(rng: np.random.Generator, shape: Shape) -> Field:
    """Dark flecks with a bright lower edge, in clusters."""
    size = rng.uniform(1.6, 3.2)
    field = _noise(rng, shape, size * rng.uniform(1.2, 2.2), size)
    field = field + rng.uniform(0.4, 1.0) * _noise(rng, shape, 18, 26)
    flecks = np.clip(2 * (field - rng.uniform(1.0, 1.7)), 0, 1)
    flecks = flecks * (0.8 + 0.4 * _noise(rng, shape, 1, 1))
    return np.asarray(0.6 * np.roll(flecks, (2, 1), (0, 1)) - flecks)


def _scratches(rng: np.random.Generator, shape: Shape) -> Field:
    """Thin bright lines, mostly vertical, of varying strength along their length."""
    if rng.random() < 0.2:
        return _lines(rng, (shape[1], shape[0])).T
    return _lines(rng, shape)


def _lines(rng: np.random.Generator, shape: Shape) -> Field:
    x = np.arange(shape[1])[None, :]
    y = np.arange(shape[0])[:, None]
    bright = np.zeros(shape)
    tilt = rng.normal(0, 0.05)
    for column in _strata(rng, shape[1], int(rng.integers(1, 4))):
        path = column + tilt * (y - shape[0] / 2) + 0.5 * _noise(rng, (shape[0], 2), 1, 12)[:, :1]
        width = np.exp(rng.uniform(np.log(0.8), np.log(4)))
        strength = np.clip(0.7 + 0.6 * _noise(rng, (shape[0], 2), 1, rng.uniform(12, 70))[:, :1], 0, 1.5)
        bright += rng.uniform(0.5, 1.3) * strength * np.exp(-(np.abs((x - path) / width) ** 3))
    return np.asarray(bright * (1 + 0.25 * _noise(rng, shape, 1, 5)))


TEXTURES = {
    "crazing": Texture(defect=_cracks, grain=(0.3, 0.65), grain_blur=(0.9, 0.7), streaks=0.6),
    "inclusion": Texture(defect=_spots, grain=(0.09, 0.26), grain_blur=(0.9, 1.4), streaks=0.8),
    "patches": Texture(defect=_blotches, grain=(0.2, 0.55), grain_blur=(0.7, 1.2), streaks=0.6),
    "pitted_surface": Texture(defect=_pits, grain=(0.1, 0.3), grain_blur=(0.8, 0.8), streaks=0.6),
    "rolled-in_scale": Texture(defect=_scale, grain=(0.2, 0.5), grain_blur=(1.4, 0.8), streaks=0.4),
    "scratches": Texture(defect=_scratches, grain=(0.09, 0.26), grain_blur=(0.8, 1.4), streaks=1.0),
}
