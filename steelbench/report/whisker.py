"""The small dot and whisker inside a table cell: positions on a common scale, for the template to draw."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steelbench.results import Row

WIDTH = 104
MARGIN = 6


@dataclass(frozen=True)
class Scale:
    """Maps a share in `start`..1 to a pixel of a picture that is `WIDTH` wide.

    `band` is the first row's interval in pixels, shown behind every row: who touches it is not
    separated from it.
    """

    start: float
    band: tuple[float, float] | None

    @classmethod
    def of(cls, models: list[Row]) -> Scale:
        """The scale on which every interval of these rows (best first) fits; starts at a multiple of 5 %."""
        lows = [low for row in models for low in (row.accuracy_low, row.accuracy) if low is not None]
        start = min(0.95, max(0.0, math.floor(20 * min(lows, default=0.0) - 0.1) / 20))
        scale = cls(start, None)
        if not models or models[0].accuracy_low is None or models[0].accuracy_high is None:
            return scale
        return cls(start, (scale.x(models[0].accuracy_low), scale.x(models[0].accuracy_high)))

    def x(self, share: float) -> float:
        """The pixel of `share`; what lies below the scale sits at its left end."""
        inside = max(0.0, share - self.start) / (1 - self.start)
        return round(MARGIN + inside * (WIDTH - 2 * MARGIN), 1)

    def off(self, share: float) -> bool:
        """Whether `share` lies below the scale."""
        return share < self.start
