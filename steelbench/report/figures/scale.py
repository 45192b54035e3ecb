"""Map shares to pixels for the dots and intervals that the template draws inside table cells."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steelbench.records import Row

WIDTH = 104
MARGIN = 6


@dataclass(frozen=True)
class Scale:
    """A linear scale from `start`..1 to the pixels of a picture that is `WIDTH` wide."""

    start: float

    @classmethod
    def of(cls, models: list[Row]) -> Scale:
        """Return the scale that holds every interval of these rows; it starts at a multiple of 5 %, at most 95 %."""
        lows = [low for row in models for low in (row.accuracy_low, row.accuracy) if low is not None]
        return cls(min(0.95, max(0.0, math.floor(20 * min(lows, default=0.0) - 0.1) / 20)))

    def x(self, share: float) -> float:
        """Return the x coordinate of `share` in pixels; below the scale, that of its left end."""
        inside = max(0.0, share - self.start) / (1 - self.start)
        return round(MARGIN + inside * (WIDTH - 2 * MARGIN), 1)

    def is_below(self, share: float) -> bool:
        """Return whether `share` (0..1) lies below the start of the scale."""
        return share < self.start
