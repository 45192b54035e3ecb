"""Draw bars and intervals: accuracy and seconds of each row, images of each class."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steelbench.records import Row
from steelbench.report.figures.scale import Scale
from steelbench.report.figures.style import INK, QUIET, SOFT, grid_across_bars, panels
from steelbench.report.formatting import percent, row_label, shorten

OTHER = "other steps"
STRIPE = "#e3eef7"


def accuracy(
    models: list[Row], majority: Row | None, colours: Mapping[str, str], standings: Mapping[str, str]
) -> Figure:
    """Draw a dot and an interval for each row, best on top; enlarged beside it where all intervals lie above 50 %.

    Args:
        models: rows with an accuracy, best first, at least one.
        majority: the row of the majority class, drawn as a reference line; None for no line.
        colours: by backbone.
        standings: by row name, `best` or `tied for best`; the stripes of these rows are shaded.
    """
    start = 100 * Scale.of(models).start
    enlarge = start >= 50
    figure, axes = panels([2.6, 4.6] if enlarge else [7.4], 0.3 * len(models) + 0.5, gap=0.35)
    for axis in axes:
        _whiskers(axis, models, colours)
        for place, row in enumerate(models):
            if row.name in standings:
                axis.axhspan(place - 0.5, place + 0.5, color=STRIPE, linewidth=0, zorder=0)
        axis.set_ylim(len(models) + (0.3 if majority else -0.4), -0.6)
        axis.set_xlabel("accuracy (%)")
    axes[0].set_title("Test accuracy")
    axes[0].set_xlim(0, 101.5)
    axes[0].set_yticks(range(len(models)), [shorten(row_label(row), 44) for row in models])
    if enlarge:
        axes[1].set_title(f"Enlarged: {start:.0f} to 100 %")
        axes[1].set_xlim(start, 100 + (100 - start) / 60)
        axes[1].set_yticks(range(len(models)), [])
        _arrows(axes[1], models, start, colours)
    if majority is not None and majority.accuracy is not None:
        for axis in axes:
            if axis.get_xlim()[0] <= 100 * majority.accuracy:
                _reference(axis, 100 * majority.accuracy, len(models) - 0.1)
    for place, row in enumerate(models):
        text = "   ".join(filter(None, (percent(row.accuracy), standings.get(row.name))))
        axes[-1].annotate(text, (1.02, place), xycoords=("axes fraction", "data"), va="center", color=INK)
    return figure


def _arrows(axis: Axes, models: list[Row], start: float, colours: Mapping[str, str]) -> None:
    """Mark the rows that lie below the enlarged axis."""
    for place, row in enumerate(models):
        if 100 * (row.accuracy or 0.0) < start:
            axis.plot(start, place, marker="<", color=colours[row.backbone], markersize=8, clip_on=False)


def _whiskers(axis: Axes, models: list[Row], colours: Mapping[str, str]) -> None:
    for place, row in enumerate(models):
        middle = 100 * (row.accuracy or 0.0)
        if row.accuracy_low is not None and row.accuracy_high is not None:
            bounds = [100 * row.accuracy_low, 100 * row.accuracy_high]
            axis.plot(bounds, [place, place], color=colours[row.backbone], linewidth=2, solid_capstyle="butt")
        # Hollow where the row is shown to be worse than the best.
        face = "white" if row.tied is False else colours[row.backbone]
        axis.plot(middle, place, "o", color=colours[row.backbone], markerfacecolor=face, markersize=7)
    grid_across_bars(axis)


def _reference(axis: Axes, value: float, bottom: float) -> None:
    """Draw a dashed line at `value` (per cent), labelled in the empty row at `bottom`, below the last dot."""
    axis.axvline(value, color=QUIET, linewidth=1.2, linestyle="--")
    left = value > 50
    axis.annotate(
        f"majority class {value:.1f} %",
        (value, bottom),
        xytext=(-4 if left else 4, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=9,
    )


def seconds(rows: list[Row]) -> Figure | None:
    """Draw the seconds of each row by step as stacked bars; None if no row has any.

    Steps beyond the number of colours become one, `OTHER`.
    """
    spent = {row.name: _steps(row) for row in rows}
    shown = [row for row in rows if spent[row.name]]
    if not shown:
        return None
    names = list(dict.fromkeys(step for row in shown for step in spent[row.name]))
    if len(names) > len(SOFT):
        names = [*names[: len(SOFT) - 1], OTHER]
    figure, (axis,) = panels([7.0], 0.3 * len(shown) + 0.3)
    lefts = [0.0] * len(shown)
    for name, colour in zip(names, SOFT, strict=False):
        widths = [_spent(spent[row.name], name, names) for row in shown]
        axis.barh(range(len(shown)), widths, 0.62, lefts, color=colour, label=shorten(name), linewidth=0)
        lefts = [left + width for left, width in zip(lefts, widths, strict=True)]
    for place, total in enumerate(lefts):
        text = f"{total:.0f} s" if total >= 10 else f"{total:.1f} s"
        axis.annotate(text, (total, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(shown)), [shorten(row_label(row), 44) for row in shown])
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.set_xlim(0, 1.1 * max(*lefts, 0.1))
    axis.set_xlabel("seconds, all runs of the row together")
    axis.set_title("Where the time went")
    grid_across_bars(axis)
    axis.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=9)
    return figure


def _steps(row: Row) -> dict[str, float]:
    return {step: value for step, value in row.detail.seconds.items() if value > 0}


def _spent(steps: dict[str, float], name: str, names: list[str]) -> float:
    if name != OTHER:
        return steps.get(name, 0.0)
    return sum(value for step, value in steps.items() if step not in names)


def images_per_class(counts: dict[str, int]) -> Figure:
    """Draw a bar for each class, in the order of `counts`, images by class."""
    figure, (axis,) = panels([3.9], 0.27 * len(counts) + 0.3)
    axis.barh(range(len(counts)), list(counts.values()), 0.66, color=SOFT[0], linewidth=0)
    for place, count in enumerate(counts.values()):
        axis.annotate(str(count), (count, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=9)
    axis.set_yticks(range(len(counts)), [shorten(name) for name in counts])
    axis.set_ylim(len(counts) - 0.5, -0.5)
    axis.set_xlim(0, 1.08 * max(*counts.values(), 1))
    axis.set_xlabel("images")
    axis.set_title("Images per class")
    grid_across_bars(axis)
    return figure
