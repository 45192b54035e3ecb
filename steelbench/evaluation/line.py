"""Production lines of the trade and their cameras: what the report's line calculator starts from."""

from __future__ import annotations

from dataclasses import dataclass

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
