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
        """Return the scale that holds the intervals of the rows that are tied with the best or near it.

        Near: within three widths of the best row's interval, or five points. Rows far behind would squeeze the others
        into one dot; they lie below the scale. It starts at a whole per cent above 90 %, else at a multiple of five.
        """
        best = max(models, key=lambda row: row.accuracy or 0.0, default=None)
        if best is None:
            return cls(0.0)
        width = (best.accuracy_high or 0.0) - (best.accuracy_low or 0.0)
        least = (best.accuracy or 0.0) - max(0.05, 3 * width)
        near = [row for row in models if row.tied or (row.accuracy or 0.0) >= least]
        lows = [low for row in near for low in (row.accuracy_low, row.accuracy) if low is not None]
        low = min(lows, default=0.0)
        steps = 100 if low > 0.9 else 20
        return cls(min(0.98, max(0.0, math.floor(steps * low - 0.1) / steps)))

    def x(self, share: float) -> float:
        """Return the x coordinate of `share` in pixels; below the scale, that of its left end."""
        inside = max(0.0, share - self.start) / (1 - self.start)
        return round(MARGIN + inside * (WIDTH - 2 * MARGIN), 1)

    def is_below(self, share: float) -> bool:
        """Return whether `share` (0..1) lies below the start of the scale."""
        return share < self.start
