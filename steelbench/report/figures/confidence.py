"""Draw what confidence is worth: accuracy against confidence, and escapes against images sent to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steelbench.records import ReliabilityBin, Row, Trust
from steelbench.report.figures.style import DASHES, PALE, QUIET, panels
from steelbench.report.formatting import method_and_variant, row_label, shorten

# So many rows have a panel of their own, the most accurate ones.
SHOWN = 6
# Fewer answers in a bin say little about its accuracy; their dots are hollow.
FEW = 10


def reliability(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure | None:
    """Draw accuracy against confidence, a small panel for each row; gray is before temperature scaling.

    Args:
        rows: best first; those without `trust` are passed over.
        colours: by row name.

    Returns:
        None if no row has `trust`.
    """
    shown = [(row, row.trust) for row in rows if row.trust][:SHOWN]
    if not shown:
        return None
    figure, axes = panels([1.75] * len(shown), 1.75, gap=0.35)
    for axis, (row, trust) in zip(axes, shown, strict=True):
        axis.plot([0, 100], [0, 100], color=PALE, linewidth=1, zorder=1)
        _curve(axis, trust.raw_bins, QUIET, "--")
        _curve(axis, trust.bins, colours[row.name], "-")
        axis.set_title(
            f"{shorten(row.backbone, 22)}\n{shorten(method_and_variant(row), 22)}", fontsize=8.5, weight="normal"
        )
        axis.set(xlim=(0, 102), ylim=(0, 102), xticks=(0, 50, 100), yticks=(0, 50, 100))
        axis.set_xlabel("confidence (%)", fontsize=8.5)
        if axis is not axes[0]:
            axis.set_yticklabels([])
    axes[0].set_ylabel("right answers (%)", fontsize=8.5)
    return figure


def _curve(axis: Axes, bins: Sequence[ReliabilityBin], colour: str, dashes: str) -> None:
    x, y = (100 * np.array([getattr(own, name) for own in bins]) for name in ("confidence", "accuracy"))
    few = np.array([own.count < FEW for own in bins])
    axis.plot(x, y, color=colour, linewidth=1.2, linestyle=dashes, zorder=2)
    axis.scatter(x[few], y[few], s=14, facecolors="white", edgecolors=colour, zorder=3)
    axis.scatter(x[~few], y[~few], s=14, color=colour, zorder=3)


def referrals(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure | None:
    """Draw the share of escapes against the share of images sent to a person, a line for each row.

    Args:
        rows: best first; those without `trust` are passed over, those after `SHOWN` stay pale.
        colours: by row name.

    Returns:
        None if no row has `trust`.
    """
    shown = [(row, row.trust) for row in rows if row.trust]
    if not shown:
        return None
    figure, (axis,) = panels([5.2], 2.6)
    used: Counter[str] = Counter()
    for place, (row, trust) in enumerate(shown):
        clear, colour = place < SHOWN, colours[row.name]
        axis.step(
            100 * np.array(trust.referred),
            100 * np.array(trust.escaped),
            where="post",
            color=colour if clear else PALE,
            linestyle=DASHES[used[colour] % len(DASHES)],
            linewidth=1.5 if clear else 1,
            zorder=3 if clear else 1,
            label=shorten(row_label(row), 36) if clear else None,
        )
        used[colour] += 1
    among = "images with a defect" if shown[0][1].none_class else "all images"
    axis.set(xlabel="images sent to a person (%)", ylabel=f"escapes (% of {among})")
    axis.set_xlim(0, 100 * _widest(shown))
    axis.set_ylim(0)
    axis.grid(axis="y")
    axis.legend(fontsize=8.5)
    return figure


def _widest(shown: Sequence[tuple[Row, Trust]]) -> float:
    """Return the share of referrals at which no row has an escape any more, at least 5 %."""
    ends = [
        next((share for share, left in zip(trust.referred, trust.escaped, strict=True) if left == 0), 1.0)
        for _, trust in shown[:SHOWN]
    ]
    return min(1.0, max(0.05, *ends))
