"""The small dot and whisker inside a table cell: positions on a common scale, for the template to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steelbench.records import Row

WIDTH = 104
MARGIN = 6


@dataclass(frozen=True)
class Scale:
    """Maps a share in `start`..1 to a pixel of a picture that is `WIDTH` wide."""

    start: float

    @classmethod
    def of(cls, models: list[Row]) -> Scale:
        """The scale on which every interval of these rows fits; starts at a multiple of 5 %."""
        lows = [low for row in models for low in (row.accuracy_low, row.accuracy) if low is not None]
        return cls(min(0.95, max(0.0, math.floor(20 * min(lows, default=0.0) - 0.1) / 20)))

    def x(self, share: float) -> float:
        """The pixel of `share`; what lies below the scale sits at its left end."""
        inside = max(0.0, share - self.start) / (1 - self.start)
        return round(MARGIN + inside * (WIDTH - 2 * MARGIN), 1)

    def off(self, share: float) -> bool:
        """Whether `share` lies below the scale."""
        return share < self.start
