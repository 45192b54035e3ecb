"""Line speed: how many images a strip asks for each second, and which models keep up on how many cores.

`report/templates/line.js` computes the same on the page; a test compares the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# Of a quotient of decimal numbers, which may lie above a whole number by a rounding error.
ROUNDING = 1e-9
CANDIDATES = 200
PEAK_FACTOR = 3
TILE = 224


@dataclass(frozen=True, kw_only=True)
class Line:
    """A production line and its camera.

    Attributes:
        name: for the choice of presets.
        speed: of the strip, m/s.
        pixel: what one pixel shows, mm.
        width: of the strip, m.
        source: where the numbers come from.
    """

    name: str
    speed: float
    pixel: float
    width: float
    source: str


# The highest speed where a source names a range.
LINES = (
    Line(
        name="hot strip",
        speed=20,
        pixel=1,
        width=1.65,
        source="8 to 20 m/s: Neogi et al., EURASIP J. Image Video Process. 2014:50, and vendors' plant cases",
    ),
    Line(
        name="tinplate",
        speed=15,
        pixel=0.5,
        width=1,
        source="VDI working group, 2023: 200,000 events in a strip of 15 km, some 200 per second; the pixel is assumed",
    ),
    Line(name="pickling", speed=15, pixel=0.5, width=1.65, source="3 to 15 m/s: Vision Systems Design, 1999"),
    Line(name="galvanising", speed=4.2, pixel=0.5, width=1.4, source="3 to 4.2 m/s: SMS group"),
    Line(
        name="billet",
        speed=2,
        pixel=0.25,
        width=0.2,
        source="Neogi et al., EURASIP J. Image Video Process. 2014:50",
    ),
)


def tiles_per_second(speed: float, pixel: float, width: float, tile: int) -> float:
    """Return how many square tiles the whole strip makes each second.

    Args:
        speed: v, m/s.
        pixel: p, mm.
        width: W, m.
        tile: t, side in pixels.

    Returns:
        v / (t p) * ceil(W / (t p)): rows of tiles each second, times the tiles that cover the width.
    """
    side = tile * pixel
    return 1000 * speed / side * math.ceil(1000 * width / side - ROUNDING)


def candidates_per_second(candidates: float, peak_factor: float) -> float:
    """Return how many images a detector before the model sends each second at its peak.

    Args:
        candidates: per second, on average.
        peak_factor: how many times as many come at once.
    """
    return candidates * peak_factor


def cores_needed(images: float, images_per_second: float, threads: int) -> int:
    """Return how many cores answer so many images each second, at least one.

    Args:
        images: to answer each second.
        images_per_second: that the model answers in batches.
        threads: cores that it used for that.
    """
    return max(1, math.ceil(images * threads / images_per_second - ROUNDING))


def exposure_microseconds(speed: float, pixel: float) -> float:
    """Return how long a camera may expose until the strip has moved by one pixel, µs.

    Args:
        speed: m/s.
        pixel: mm.
    """
    return 1000 * pixel / speed
