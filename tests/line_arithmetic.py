"""What the line calculator of the page computes, written again: tests hold `line.js` against it."""

import math

# Of a quotient of decimal numbers, which may lie above a whole number by a rounding error.
ROUNDING = 1e-9


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
