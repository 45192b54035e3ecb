"""Draw accuracy against labelled images, a line and a band for each backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from steelbench.evaluation.learning_curve import BAND, Point
from steelbench.report.figures.style import QUIET, colours, panels
from steelbench.report.formatting import count

# For each panel: field of `Point` on the x axis, factor, label, width in inches.
PANELS = (
    ("share", 100, "labelled share of the training images (%)", 4.8),
    ("per_class", 1, "labelled images per class", 2.2),
)


def label_efficiency(points: Sequence[Point]) -> Figure:
    """Draw two panels with one accuracy axis: shares of the training images, and a few images per class.

    Args:
        points: some of each kind of budget; a line is their mean, a band their middle `BAND` per cent.
    """
    import seaborn

    figure, axes = panels([width for *_, width in PANELS], 3.6, gap=0.35)
    for axis, (field, scale, label, _) in zip(axes, PANELS, strict=True):
        _panel(axis, [point for point in points if getattr(point, field) is not None], field, scale, axis is axes[-1])
        axis.set_xlabel(label)
    bottoms, tops = zip(*(axis.get_ylim() for axis in axes), strict=True)
    for axis in axes:
        axis.set_ylim(max(0.0, min(bottoms)), min(101.0, max(tops)))
    axes[0].set_title("Accuracy against labelled images")
    axes[0].set_ylabel("test accuracy (%)")
    axes[1].tick_params(labelleft=False)
    seaborn.move_legend(
        axes[1], "upper left", bbox_to_anchor=(1.04, 1.0), borderaxespad=0, fontsize=9, title=None, frameon=False
    )
    axes[0].annotate(_caption(points), (0, -0.19), xycoords="axes fraction", va="top", fontsize=9, color=QUIET)
    return figure


def _panel(axis: Axes, points: Sequence[Point], field: str, scale: int, legend: bool) -> None:
    import pandas as pd
    import seaborn

    frame = pd.DataFrame([asdict(point) for point in points])
    frame["x"], frame["y"] = scale * frame[field], 100 * frame["accuracy"]
    names, ticks = sorted(set(frame["backbone"])), sorted(set(frame["x"]))
    axis.set_xscale("log")
    seaborn.lineplot(
        frame,
        x="x",
        y="y",
        hue="backbone",
        hue_order=names,
        palette=colours(names),
        style="backbone",
        style_order=names,
        dashes=False,
        markers=True,
        errorbar=("pi", BAND),
        err_kws={"alpha": 0.18},
        legend="auto" if legend else False,
        ax=axis,
    )
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylabel("")
    axis.grid(axis="y")


def _caption(points: Sequence[Point]) -> str:
    splits, draws = len({point.seed for point in points}), 1 + max(point.draw for point in points)
    return (
        f"Line: mean. Band: the middle {BAND} % of the fits, each on another draw of the labelled images "
        f"({count(splits, 'split')} x {count(draws, 'draw')})."
    )
