"""Draw accuracy against labelled images, a line and a band for each backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from steelbench.evaluation.learning_curve import BAND, Point
from steelbench.records import LabelEfficiency
from steelbench.report.figures.style import DASHES, PALETTE, QUIET, colours, panels
from steelbench.report.formatting import count, shorten

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


def growth(found: Sequence[LabelEfficiency], best: LabelEfficiency, networks: Mapping[str, str]) -> Figure:
    """Draw accuracy against training images, a line and a band for each backbone; beside it recall by class of one.

    Args:
        found: of the backbones, each with two levels or more.
        best: the one whose classes are drawn.
        networks: colour by backbone.
    """
    figure, (accuracy, recall) = panels([4.4, 4.4], 2.9, gap=0.75)
    for own in found:
        images, colour = [level.images for level in own.levels], networks.get(own.backbone, QUIET)
        low, high = ([100 * getattr(level, side) for level in own.levels] for side in ("low", "high"))
        accuracy.fill_between(images, low, high, color=colour, alpha=0.16, linewidth=0)
        label = shorten(own.backbone, 30)
        accuracy.plot(images, [100 * level.accuracy for level in own.levels], "o-", color=colour, ms=4, label=label)
    images = [level.images for level in best.levels]
    # Those that more images help most: more lines could not be told apart.
    places = sorted(range(len(best.classes)), key=lambda place: -best.classes[place].gain)[: len(PALETTE)]
    numbers = [number for number, value in enumerate(best.levels[-1].recalls) if value is not None]
    for order, place in enumerate(places):
        values = [level.recalls[numbers[place]] for level in best.levels] if place < len(numbers) else []
        shown = [(x, 100 * value) for x, value in zip(images, values, strict=False) if value is not None]
        style: dict[str, Any] = {"color": PALETTE[order], "linestyle": DASHES[order % len(DASHES)]}
        recall.plot(*zip(*shown, strict=True), marker="o", ms=3.5, label=shorten(best.classes[place].name, 22), **style)
    accuracy.set_title("Test accuracy (%)")
    recall.set_title(f"Recall by class (%), {shorten(best.backbone, 24)}")
    for axis in (accuracy, recall):
        axis.set_xscale("log", base=2)
        axis.xaxis.set_major_locator(FixedLocator(images))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("training images (each step doubles them)")
        axis.set_ylim(max(0.0, axis.get_ylim()[0]), min(101.0, axis.get_ylim()[1]))
        axis.grid(visible=True)
        columns = 2 if axis is accuracy else 3
        axis.legend(loc="upper left", bbox_to_anchor=(0.0, -0.2), ncols=columns, fontsize=8.5, borderaxespad=0)
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
