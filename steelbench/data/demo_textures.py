"""Procedural surfaces of hot-rolled steel: one texture for each of the six NEU classes, and `none` without a defect.

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
Span = tuple[float, float]

# Counts and positions of defects refer to a square of this side; larger surfaces hold more of them.
PATCH = 200
DIFFICULTY = 0.5


@dataclass(frozen=True)
class Draw:
    """Random numbers of one surface.

    Attributes:
        rng: decides everything about the surface.
        spread: width of the ranges that a class's parameters come from, relative to the widest, 0..1.
    """

    rng: np.random.Generator
    spread: float

    def between(self, low: float, high: float) -> float:
        """Return a number from the middle part of a range, as wide as `spread` says."""
        middle, half = (low + high) / 2, self.spread * (high - low) / 2
        return float(self.rng.uniform(middle - half, middle + half))

    def scaled(self, low: float, high: float) -> float:
        """Return a number like `between`, uniform in its logarithm; both ends are positive."""
        return float(np.exp(self.between(np.log(low), np.log(high))))

    def seldom(self, share: float) -> bool:
        """Return whether something happens that happens to a `share` of the surfaces at full spread."""
        return bool(self.rng.random() < share * self.spread)


@dataclass(frozen=True, kw_only=True)
class Texture:
    """Parameters of a class's surfaces. At full spread the ranges overlap, so that no class is trivial to tell.

    Attributes:
        defect: draws the defect's relief, float [H, W].
        grain: least and largest strength of the grain, relative to the defect.
        grain_blur: width of the grain along x and y, pixels.
        streaks: largest strength of the rolling streaks, relative to other classes.
    """

    defect: Callable[[Draw, Shape], Field]
    grain: Span
    grain_blur: Span
    streaks: float


def surface(rng: np.random.Generator, name: str, shape: Shape, difficulty: float = DIFFICULTY) -> Field:
    """Draw a surface of a class, mixed with that of a random class.

    Up to the middle of the dial a class's parameters spread more and more; towards its end the random class takes
    over. At 1 the surface shows the random class alone, so that the same `rng` draws the same pixels for any `name`.

    Args:
        rng: decides everything about the surface.
        name: a key of `TEXTURES`.
        shape: height and width, at least `PATCH` pixels each.
        difficulty: 0..1.

    Returns:
        float [H, W], gray levels, neither rounded nor clipped; the grain is at least 4 levels strong.
    """
    draw = Draw(rng, min(1.0, 0.1 + 1.6 * difficulty))
    own, other = TEXTURES[name], TEXTURES[list(TEXTURES)[rng.integers(len(TEXTURES))]]
    relief = _defects(draw, own, other, difficulty, shape)
    ground = _mixed(own, other, _foreign(difficulty))
    # Weaker where the class should be plain to see.
    grain = draw.scaled(*ground.grain) * (0.5 + 0.5 * draw.spread)
    blur_x, blur_y = (draw.between(0.6, 1.4) * blur for blur in ground.grain_blur)
    relief = relief + grain * _noise(rng, shape, blur_x, blur_y)
    relief = relief + ground.streaks * draw.between(0, 0.2) * _streaks(draw, shape)
    # The exposure hides most of what gray levels alone would tell about the class.
    gain = max(np.sqrt(40 * draw.scaled(11, 32) / relief.std()), 4.0 / grain)
    light = 1 + draw.spread * rng.uniform(0, 0.22) * _light(rng, shape)
    return np.asarray(draw.between(85, 175) * light + gain * (relief - relief.mean()))


def _foreign(difficulty: float) -> float:
    """Return the share of the random class, 0..1: .06 at the middle of the dial, where defects should still show."""
    return difficulty**4


def _defects(draw: Draw, own: Texture, other: Texture, difficulty: float, shape: Shape) -> Field:
    ease, foreign = 1 - draw.spread, _foreign(difficulty)
    severity = draw.between(0.4 + 0.6 * ease, 1.1 + 0.2 * ease)
    relief = np.zeros(shape)
    if foreign < 1:
        relief = relief + severity * (1 - foreign) * own.defect(draw, shape)
    if draw.rng.random() < difficulty**3:  # real surfaces seldom have one defect only
        relief = relief + severity * max(foreign, draw.rng.uniform(0.1, 0.28)) * other.defect(draw, shape)
    return relief


def _mixed(own: Texture, other: Texture, share: float) -> Texture:
    """Return the first texture, with `share` of the other's grain and streaks."""

    def mix(a: float, b: float) -> float:
        return (1 - share) * a + share * b

    return Texture(
        defect=own.defect,
        grain=(mix(own.grain[0], other.grain[0]), mix(own.grain[1], other.grain[1])),
        grain_blur=(mix(own.grain_blur[0], other.grain_blur[0]), mix(own.grain_blur[1], other.grain_blur[1])),
        streaks=mix(own.streaks, other.streaks),
    )


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


def _streaks(draw: Draw, shape: Shape) -> Field:
    """Vertical marks of the rolls, fading along their length."""
    columns = _noise(draw.rng, (2, shape[1]), draw.between(1, 5), 1)[:1]
    return columns * (0.7 + 0.3 * _noise(draw.rng, shape, 6, 40))


def _light(rng: np.random.Generator, shape: Shape) -> Field:
    """A slope across the surface and soft bands, about -1..1."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    slope = np.cos(angle) * x + np.sin(angle) * y
    return np.asarray(0.7 * slope + 0.4 * _noise(rng, shape, 35, 70))


def _strata(draw: Draw, side: int, count: int) -> Field:
    """`count` positions for every `PATCH` pixels of a side, spread so that every crop gets its share."""
    total = -(-side * count // PATCH)
    places = 0.5 + draw.spread * draw.rng.uniform(-0.5, 0.5, total)
    return (np.arange(total) + places) * side / total


def _cracks(draw: Draw, shape: Shape) -> Field:
    """A broken network of fine cracks, roughly horizontal: the zero lines of a stretched random field."""
    size = draw.between(2.5, 5.5)
    field = _noise(draw.rng, shape, size * draw.between(1.6, 3.2), size) + 0.12 * _noise(draw.rng, shape, 1.5, 1.5)
    slope_y, slope_x = np.gradient(field)
    distance = np.abs(field) / (np.hypot(slope_y, slope_x) + 1e-3)
    broken = np.clip(0.3 + _noise(draw.rng, shape, 12, 6), 0, 1.3)
    return np.asarray(-1.3 * np.exp(-((distance / draw.between(0.6, 1.3)) ** 2)) * broken)


def _spots(draw: Draw, shape: Shape) -> Field:
    """Strings of dark, elongated spots along the rolling direction."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    rough = 0.25 * _noise(draw.rng, shape, 2, 4)
    depth = np.zeros(shape)
    for column in _strata(draw, shape[1], int(draw.rng.integers(1, 3))):
        for row in _strata(draw, shape[0], int(draw.rng.integers(1, 5))):
            length, width = draw.between(7, 40), draw.between(2, 5.5)
            radius = np.hypot((y - row) / length, (x - column - draw.rng.normal(0, 5)) / width)
            depth = np.maximum(depth, draw.between(0.6, 1.4) * np.clip(3 * (1.1 - radius + rough), 0, 1))
    return -depth


def _blotches(draw: Draw, shape: Shape) -> Field:
    """Large dark or bright blotches with ragged edges."""
    size = draw.between(10, 24)
    field = _noise(draw.rng, shape, size, size * draw.between(0.9, 1.6)) + 0.3 * _noise(draw.rng, shape, 4, 4)
    field = field + 0.12 * _noise(draw.rng, shape, 1, 1.5)
    blotches = 1 / (1 + np.exp(-draw.between(3, 9) * (field - draw.between(0.0, 0.7))))
    return np.asarray(blotches * (1.9 if draw.seldom(0.15) else -1.9))


def _pits(draw: Draw, shape: Shape) -> Field:
    """Many small dark pits, denser in some regions."""
    size = draw.between(1.3, 2.6)
    field = _noise(draw.rng, shape, size, size * draw.between(0.9, 1.5))
    dense = draw.between(0.0, 0.5) * _noise(draw.rng, shape, 30, 60)
    return np.asarray(-np.clip(2.5 * (field + dense - draw.between(0.6, 1.4)), 0, 1))


def _scale(draw: Draw, shape: Shape) -> Field:
    """Dark flecks with a bright lower edge, in clusters."""
    size = draw.between(1.6, 3.2)
    field = _noise(draw.rng, shape, size * draw.between(1.2, 2.2), size)
    field = field + draw.between(0.4, 1.0) * _noise(draw.rng, shape, 18, 26)
    flecks = np.clip(2 * (field - draw.between(1.0, 1.7)), 0, 1)
    flecks = flecks * (0.8 + 0.4 * _noise(draw.rng, shape, 1, 1))
    return np.asarray(0.6 * np.roll(flecks, (2, 1), (0, 1)) - flecks)


def _scratches(draw: Draw, shape: Shape) -> Field:
    """Thin bright lines, mostly vertical, of varying strength along their length."""
    if draw.seldom(0.2):
        return _lines(draw, (shape[1], shape[0])).T
    return _lines(draw, shape)


def _lines(draw: Draw, shape: Shape) -> Field:
    x = np.arange(shape[1])[None, :]
    y = np.arange(shape[0])[:, None]
    bright = np.zeros(shape)
    tilt = draw.rng.normal(0, 0.05)
    for column in _strata(draw, shape[1], int(draw.rng.integers(1, 4))):
        path = column + tilt * (y - shape[0] / 2) + 0.5 * _noise(draw.rng, (shape[0], 2), 1, 12)[:, :1]
        width = draw.scaled(0.8, 4)
        strength = np.clip(0.7 + 0.6 * _noise(draw.rng, (shape[0], 2), 1, draw.between(12, 70))[:, :1], 0, 1.5)
        bright += draw.between(0.5, 1.3) * strength * np.exp(-(np.abs((x - path) / width) ** 3))
    return np.asarray(bright * (1 + 0.25 * _noise(draw.rng, shape, 1, 5)))


def _nothing(_: Draw, shape: Shape) -> Field:
    return np.zeros(shape)


TEXTURES = {
    "crazing": Texture(defect=_cracks, grain=(0.3, 0.65), grain_blur=(0.9, 0.7), streaks=0.6),
    "inclusion": Texture(defect=_spots, grain=(0.09, 0.26), grain_blur=(0.9, 1.4), streaks=0.8),
    "patches": Texture(defect=_blotches, grain=(0.2, 0.55), grain_blur=(0.7, 1.2), streaks=0.6),
    "pitted_surface": Texture(defect=_pits, grain=(0.1, 0.3), grain_blur=(0.8, 0.8), streaks=0.6),
    "rolled-in_scale": Texture(defect=_scale, grain=(0.2, 0.5), grain_blur=(1.4, 0.8), streaks=0.4),
    "scratches": Texture(defect=_scratches, grain=(0.09, 0.26), grain_blur=(0.8, 1.4), streaks=1.0),
    "none": Texture(defect=_nothing, grain=(0.2, 0.5), grain_blur=(0.9, 1.1), streaks=1.0),
}
