"""Draw accuracy against milliseconds for one image: what a more accurate model costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator, NullFormatter

from steelbench.records import Row
from steelbench.report.figures.scale import Scale
from steelbench.report.figures.style import INK, PALE, QUIET, panels
from steelbench.report.formatting import backbone_label, method_and_variant, shorten

MARKERS = "osD^vPX*hp"
# Beside the frontier's dots; more names would cover each other.
NAMED = 8


def pareto(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure | None:
    """Draw a dot for each row: accuracy against the median milliseconds for one image, on a logarithmic axis.

    Args:
        rows: best first; those without a time are passed over.
        colours: by backbone.

    Returns:
        None if no row has a time.
    """
    shown = [(row, own) for row in rows if row.accuracy is not None and (own := milliseconds(row)) is not None]
    if not shown:
        return None
    # Rows far behind would squeeze the others into one line; they are arrows.
    start = Scale.of([row for row, _ in shown]).start
    figure, (axis,) = panels([6.2], 3.2)
    markers = _markers([row for row, _ in shown])
    best = frontier([(own, row.accuracy or 0.0) for row, own in shown])
    _join(axis, [shown[place] for place in best], start)
    for row, own in shown:
        _dot(axis, row, own, start, colours[row.backbone], markers[method_and_variant(row)])
    for place in best[:NAMED]:
        _name(axis, *shown[place], start)
    axis.set_xscale("log")
    times = [own for _, own in shown]
    axis.set_xlim(min(times) / 1.4, max(times) * 1.6)
    axis.set_ylim(100 * start - (100 - 100 * start) / 25, 100 + (100 - 100 * start) / 10)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(FuncFormatter(_minor) if max(times) < 30 * min(times) else NullFormatter())
    if start >= 0.9:
        axis.yaxis.set_major_locator(MultipleLocator(1 if start >= 0.95 else 2))
    axis.set(xlabel="ms for one image, median (logarithmic)", ylabel="test accuracy (%)")
    axis.grid(axis="both")
    _legend(axis, [row for row, _ in shown], colours, markers)
    return figure


def milliseconds(row: Row) -> float | None:
    """Return the median of a row's own engine; None if it was not timed."""
    times = row.cost.times if row.cost else []
    return next((own.ms_p50 for own in times if own.engine == row.engine), times[0].ms_p50 if times else None)


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the places of the points that no other one beats, fastest first.

    Args:
        points: milliseconds and accuracy; one beats another that it equals in one and betters in the other.
    """
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not found or points[place][1] > points[found[-1]][1]:
            found.append(place)
    return found


def _markers(rows: Sequence[Row]) -> dict[str, str]:
    names = sorted({method_and_variant(row) for row in rows})
    return {name: MARKERS[place % len(MARKERS)] for place, name in enumerate(names)}


def _join(axis: Axes, best: Sequence[tuple[Row, float]], start: float) -> None:
    heights = [100 * max(start, row.accuracy or 0.0) for row, _ in best]
    axis.step([own for _, own in best], heights, where="post", color=QUIET, linewidth=1, zorder=1)


def _dot(axis: Axes, row: Row, own: float, start: float, colour: str, marker: str) -> None:
    accuracy = row.accuracy or 0.0
    if accuracy < start:
        axis.plot(own, 100 * start, marker="v", color=colour, markersize=8, zorder=3)
        return
    if row.accuracy_low is not None and row.accuracy_high is not None:
        bounds = [100 * max(start, row.accuracy_low), 100 * row.accuracy_high]
        axis.plot([own, own], bounds, color=PALE, linewidth=1.5, zorder=0)
    # Hollow where the row is shown to be worse than the best.
    face = "white" if row.tied is False else colour
    axis.plot(own, 100 * accuracy, marker, color=colour, markerfacecolor=face, markersize=7, zorder=3)


def _name(axis: Axes, row: Row, own: float, start: float) -> None:
    text = shorten(f"{backbone_label(row)} {method_and_variant(row)}", 34)
    place = (own, 100 * max(start, row.accuracy or 0.0))
    axis.annotate(text, place, xytext=(7, 5), textcoords="offset points", fontsize=8.5, color=INK, zorder=4)


def _minor(value: float, _: object) -> str:
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def _legend(axis: Axes, rows: Sequence[Row], colours: Mapping[str, str], markers: Mapping[str, str]) -> None:
    backbones = dict.fromkeys(row.backbone for row in rows)
    dots = [
        Line2D([], [], marker="o", linestyle="", color=colours[name], label=shorten(name, 30)) for name in backbones
    ]
    kinds = [
        Line2D([], [], marker=marker, linestyle="", color=QUIET, label=shorten(name, 30))
        for name, marker in markers.items()
    ]
    axis.legend(handles=[*dots, *kinds], loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, fontsize=9)
