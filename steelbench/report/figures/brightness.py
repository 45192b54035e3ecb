"""Draw the brightness of each class, before and after homogenisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from steelbench.report.figures.style import INK, SOFT, grid_across_bars, panels
from steelbench.report.formatting import shorten

if TYPE_CHECKING:
    from steelbench.audit.shortcuts import Brightness

STATES = {"as they are": ("mean", "spread"), "homogenised": ("mean_after", "spread_after")}


def brightness(rows: Sequence[Brightness]) -> Figure:
    """Draw the mean gray level of each class (0..255), two bars for each; whiskers are one standard deviation.

    Args:
        rows: one for each class, at least one.
    """
    import pandas as pd
    import seaborn

    # By number, because two long names may be equal once they are shortened.
    frame = pd.DataFrame(
        [
            {"class": str(place), "images": state, "level": getattr(row, mean), "spread": getattr(row, spread)}
            for state, (mean, spread) in STATES.items()
            for place, row in enumerate(rows)
        ]
    )
    figure, (axis,) = panels([4.2], 0.5 * len(rows) + 0.3)
    seaborn.barplot(
        frame, x="level", y="class", hue="images", palette=list(SOFT[:2]), saturation=1, errorbar=None, ax=axis
    )
    # The whiskers that follow become containers of the axis, too.
    drawn = [container for container in axis.containers if isinstance(container, BarContainer)]
    for bars, state in zip(drawn, STATES, strict=True):
        own = frame[frame["images"] == state]
        middles = [bar.get_y() + bar.get_height() / 2 for bar in bars.patches]
        axis.errorbar(own["level"], middles, xerr=own["spread"], fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        for level, spread, middle in zip(own["level"], own["spread"], middles, strict=True):
            axis.annotate(
                f"{level:.0f} ± {spread:.0f}",
                (level + spread, middle),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
    axis.set_yticks(range(len(rows)), [shorten(row.label) for row in rows])
    axis.set_xlim(0, 1.16 * max(frame["level"] + frame["spread"]))
    axis.set_xlabel("mean gray level (0 to 255)")
    axis.set_ylabel("")
    axis.set_title("Brightness")
    grid_across_bars(axis)
    seaborn.move_legend(
        axis,
        "lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.2,
        ncols=2,
        columnspacing=1.2,
        fontsize=9,
        title=None,
    )
    return figure
