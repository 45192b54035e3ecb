"""Draw accuracy, loss and learning rate epoch by epoch; several seeds and folds are a mean and a band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from steelbench.arrays import Floats
from steelbench.report.figures.style import DASHES, INK, PALE, PALETTE, QUIET, panels
from steelbench.report.formatting import count, method_and_variant, row_label, shorten
from steelbench.report.load import History

# So many rows of one backbone have a colour of their own; the others stay pale in the background.
FOLLOWED = len(PALETTE)
# Backbones side by side; more would be too narrow to read.
COLUMNS = 5
# With so many runs a band holds their middle half: from the lowest to the highest, it would grow with each run.
MANY, MIDDLE = 5, (25, 75)
# A quantity and the kind of loss, "" for accuracy and cross-entropy.
Quantity = tuple[str, str]
# By method and stage, "" for the last one; a loss that is not here is cross-entropy, or called by its stage.
LOSSES = {("arcface", ""): "ArcFace", ("triplet", ""): "triplet", ("supcon", "encoder"): "contrastive"}
QUANTITIES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss", 1.0), "rate": ("learning\nrate", 1.0)}
# A panel of the small multiples, in inches: its width, and its height by quantity.
NARROW, HEIGHTS = 2.15, {"accuracy": 1.7, "loss": 1.4, "rate": 0.8}
GAP_X, GAP_Y = 0.2, 0.5


@dataclass(frozen=True)
class Band:
    """The curves of several runs as one: for each epoch a middle value and a band; NaN where no run has a value.

    Of fewer than `MANY` runs it is their mean, from the lowest to the highest; of more their median and middle half.
    Epochs that fewer than half of the runs reached are left out: the line would jump where runs end.
    """

    epochs: Floats
    middle: Floats
    low: Floats
    high: Floats


def band(runs: Sequence[History], column: str, scale: float = 1.0) -> Band:
    """Return the band of a column over runs, at least one.

    Args:
        runs: of one stage of one row.
        column: a name of `CURVES`.
        scale: factor of all values.
    """
    reached = [own.epochs for own in runs]
    epochs = sorted({epoch for own in reached for epoch in own if math.isfinite(epoch)})
    epochs = [epoch for epoch in epochs if 2 * sum(epoch in own for own in reached) >= len(runs)]
    place = {epoch: number for number, epoch in enumerate(epochs)}
    values = np.full((len(runs), len(epochs)), np.nan)
    for line, own in zip(values, runs, strict=True):
        for epoch, value in zip(own.epochs, own.curves[column], strict=True):
            if epoch in place:
                line[place[epoch]] = scale * value
    found = np.full((3, len(epochs)), np.nan)
    limits = MIDDLE if len(runs) >= MANY else (0, 100)
    for number, column_values in enumerate(values.T):
        known = column_values[np.isfinite(column_values)]
        if len(known):
            middle = np.median(known) if len(runs) >= MANY else np.mean(known)
            found[:, number] = middle, *np.percentile(known, limits)
    return Band(np.array(epochs), *found)


def small_multiples(histories: list[History], colours: dict[str, str]) -> Figure:
    """Draw a column for each backbone: validation accuracy, each kind of loss, and the learning rate, on shared axes.

    Args:
        histories: of all stages, best row first; `COLUMNS` backbones at most.
        colours: by `method_and_variant`.
    """
    backbones = list(dict.fromkeys(history.row.backbone for history in histories))
    lines = _quantities(histories)
    figure, grid = _grid([HEIGHTS[name] for name, _ in lines], len(backbones))
    handles: dict[str, Line2D] = {}
    for (name, kind), axes in zip(lines, grid, strict=True):
        axes[0].set_ylabel(_axis_label(name, kind), fontsize=9)
        for backbone, axis in zip(backbones, axes, strict=True):
            for history in histories:
                label = method_and_variant(history.row)
                if history.row.backbone == backbone and _belongs(history, name, kind):
                    colour = colours.get(label, PALE)
                    _draw(axis, history, name, color=colour)
                    if label in colours:
                        key = Line2D([], [], label=shorten(label, 40), linewidth=1.8, color=colour)
                        handles.setdefault(label, key)
        _limit(axes[0], name)
    for backbone, axis in zip(backbones, grid[0], strict=True):
        axis.set_title(shorten(backbone, 26), fontsize=10)
    for axis in grid[-1] if len(backbones) > 1 else [axes[0] for axes in grid]:
        axis.set_xlabel("epoch", fontsize=9)
    keys = [*handles.values(), *_keys(histories, training=False)]
    if any(not history.last for history in histories):
        keys.append(Line2D([], [], color=INK, linestyle=":", label="learning rate of an earlier stage"))
    width, height = figure.get_size_inches()
    place = (0.0, -0.5 / height)
    columns = max(1, min(len(keys), int(width // 2)))
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=place, ncols=columns, fontsize=9, handlelength=2.4)
    return figure


def _grid(heights: Sequence[float], columns: int) -> tuple[Figure, list[list[Axes]]]:
    """Return axes line by line, those of a line on the same axes; a single column lies on its side.

    Args:
        heights: of the lines, in inches.
        columns: at least one.
    """
    wide = len(heights) if columns == 1 else columns
    gap = 0.75 if columns == 1 else GAP_X
    total_x = NARROW * wide + gap * (wide - 1)
    total_y = max(heights) if columns == 1 else sum(heights) + GAP_Y * (len(heights) - 1)
    figure, axes = panels([total_x], total_y)
    axes[0].remove()
    grid: list[list[Axes]] = []
    top = total_y
    for line, height in enumerate(heights):
        tall = total_y if columns == 1 else height
        found: list[Axes] = []
        for column in range(columns):
            left = (line if columns == 1 else column) * (NARROW + gap)
            box = (left / total_x, (top - tall) / total_y, NARROW / total_x, tall / total_y)
            first = found[0] if found else None
            axis = figure.add_axes(box, sharex=first, sharey=first)
            axis.grid(visible=True)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=4))
            axis.tick_params(labelleft=column == 0, labelsize=8)
            found.append(axis)
        grid.append(found)
        top -= 0 if columns == 1 else height + GAP_Y
    return figure, grid


def compare(histories: list[History], colours: dict[str, str]) -> Figure:
    """Draw validation accuracy and loss of all rows, one line each; rows of one colour differ by their dashes.

    Args:
        histories: best row first; when a colour's dashes are used up, its next rows stay pale.
        colours: by row name.
    """
    figure, axes = _axes(histories, "Validation {}")
    handles: list[Line2D] = []
    seen = dict.fromkeys(colours.values(), 0)
    for history in histories:
        colour = colours[history.row.name]
        style: dict[str, Any] = {"color": PALE, "zorder": 1}
        if seen[colour] < len(DASHES):
            style = {"color": colour, "linestyle": DASHES[seen[colour]]}
            seen[colour] += 1
            handles.append(Line2D([], [], label=shorten(row_label(history.row), 44), linewidth=1.8, **style))
        for name, axis in _own(axes, history):
            _line(axis, band(history.runs, f"val_{name}", QUANTITIES[name][1]), **style)
    _set_limits(axes)
    _add_legend(axes, [*handles, *_background(len(histories) - len(handles))])
    return figure


def one_backbone(title: str, histories: list[History], colours: dict[str, str]) -> Figure:
    """Draw training (dashed) and validation (solid) of one backbone's rows; a dot marks the epoch that a run kept.

    Args:
        title: backbone, and the stage unless it is the last one.
        histories: best row first; those after `FOLLOWED` stay in the background, pale and without training.
        colours: by `method_and_variant`.
    """
    figure, axes = _axes(histories, title + ": {}")
    handles = []
    for place, history in enumerate(histories):
        label = method_and_variant(history.row)
        for name, axis in _own(axes, history):
            if place >= FOLLOWED:
                _line(axis, band(history.runs, f"val_{name}", QUANTITIES[name][1]), color=PALE, zorder=1)
                continue
            training = band(history.runs, name, QUANTITIES[name][1])
            _line(axis, training, color=colours[label], linestyle="--", alpha=0.75)
            _draw(axis, history, name, color=colours[label])
        if place < FOLLOWED:
            handles.append(Line2D([], [], color=colours[label], label=shorten(label, 44), linewidth=1.8))
    _set_limits(axes)
    _add_legend(axes, [*handles, *_background(len(histories) - FOLLOWED), *_keys(histories, training=True)])
    return figure


def kept_epoch(history: History) -> int:
    """Return the epoch that the runs of a row kept: their median, the earlier one of two."""
    return median_low(run.best_epoch for run in history.runs)


def loss_kind(history: History) -> str:
    """Return what a history's loss is, "" for cross-entropy: losses of different kinds share no axis."""
    if not history.last:
        return LOSSES.get((history.row.method, history.stage), history.stage)
    return LOSSES.get((history.row.method, ""), "")


def _quantities(histories: Sequence[History]) -> list[Quantity]:
    """Return what is drawn for any of the histories: accuracy, the losses of each kind, learning rates of each kind."""
    with_accuracy = [h for h in histories if _recorded(h, "accuracy") and _belongs(h, "accuracy", "")]
    found = [("accuracy", "")] if with_accuracy else []
    found += [("loss", kind) for kind in sorted({loss_kind(h) for h in histories if _recorded(h, "loss")})]
    found += [("rate", "")] if any(_rated(h) for h in histories) else []
    return found or [("loss", loss_kind(histories[0]))]


def _belongs(history: History, name: str, kind: str) -> bool:
    # The accuracy of an earlier stage is not that of its row.
    if name == "accuracy":
        return history.last
    return name == "rate" or kind == loss_kind(history)


def _axis_label(name: str, kind: str) -> str:
    return f"{kind} {QUANTITIES[name][0]}".strip()


def _axes(histories: list[History], title: str) -> tuple[Figure, dict[Quantity, Axes]]:
    """Return axes by recorded quantity and kind of loss; an encoder's stage has a loss and no accuracy."""
    names = [(name, kind) for name, kind in _quantities(histories) if name != "rate"] or [("loss", "")]
    kinds = {kind for name, kind in names if name == "loss"}
    figure, axes = panels([4.1 if len(names) < 3 else 3.2] * len(names), 3.0, gap=0.75)
    for (name, kind), axis in zip(names, axes, strict=True):
        axis.set_title(title.format(f"{kind} {name}".strip() if len(kinds) > 1 else name))
        axis.set_ylabel(QUANTITIES[name][0])
        axis.set_xlabel("epoch")
        axis.grid(visible=True)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, dict(zip(names, axes, strict=True))


def _own(axes: dict[Quantity, Axes], history: History) -> Iterator[tuple[str, Axes]]:
    """Yield the quantities of a history with their axes."""
    for (name, kind), axis in axes.items():
        if _belongs(history, name, kind):
            yield name, axis


def _recorded(history: History, name: str) -> bool:
    return any(math.isfinite(value) for value in history.curves[name] + history.curves[f"val_{name}"])


def _rated(history: History) -> bool:
    return any(math.isfinite(value) for value in history.curves.get("learning_rate", ()))


def _draw(axis: Axes, history: History, name: str, **style: Any) -> None:
    """Draw the validation curve of a history with its band, or its learning rate, and dots at the epochs kept."""
    if name == "rate":
        if _rated(history):
            _line(axis, band(history.runs, "learning_rate"), linestyle="-" if history.last else ":", **style)
        return
    found = band(history.runs, f"val_{name}", QUANTITIES[name][1])
    if history.others:
        axis.fill_between(found.epochs, found.low, found.high, color=style["color"], alpha=0.18, linewidth=0)
    _line(axis, found, **style)
    _mark_kept(axis, found, kept_epoch(history), style["color"])


def _line(axis: Axes, found: Band, **style: Any) -> None:
    # A line through a single epoch would be invisible without a marker.
    axis.plot(found.epochs, found.middle, linewidth=1.6, marker="." if len(found.epochs) < 3 else "", **style)


def _mark_kept(axis: Axes, found: Band, kept: int, colour: str) -> None:
    for epoch, value in zip(found.epochs, found.middle, strict=True):
        if epoch == kept:
            marker: dict[str, Any] = {
                "color": colour,
                "markeredgecolor": "white",
                "markersize": 7,
                "clip_on": False,
                "zorder": 3,
            }
            axis.plot(epoch, value, "o", **marker)


def _keys(histories: Iterable[History], training: bool) -> list[Line2D | Patch]:
    """Return the legend's entries for what lines, bands and dots mean."""
    several = max((len(history.runs) for history in histories), default=1)
    middle = "median" if several >= MANY else "mean"
    runs = f"validation, {middle} of {several} runs" if several > 1 else "validation"
    keys: list[Line2D | Patch] = [Line2D([], [], color=INK, linestyle="-", label=runs)]
    if several > 1:
        told = "middle half of the runs" if several >= MANY else "lowest to highest run"
        keys.append(Patch(color=QUIET, alpha=0.35, linewidth=0, label=told))
    if training:
        keys.append(Line2D([], [], color=INK, linestyle="--", alpha=0.75, label="training"))
    dot = "epoch that was kept, median" if several > 1 else "epoch that was kept"
    return [*keys, Line2D([], [], color=INK, linestyle="", marker="o", label=dot)]


def _background(rows: int) -> list[Line2D]:
    if rows <= 0:
        return []
    return [Line2D([], [], color=PALE, linewidth=1.8, label=count(rows, "lower row"))]


def _set_limits(axes: dict[Quantity, Axes]) -> None:
    for (name, _), axis in axes.items():
        _limit(axis, name)


def _limit(axis: Axes, name: str) -> None:
    """Let accuracy end at 100 % with room for the dot, and loss begin at 0 unless a loss is negative."""
    low, high = axis.get_ylim()
    if name == "rate":
        axis.set_ylim(0.0, max(high, 1e-12))
    elif name == "accuracy":
        axis.set_ylim(max(low, -1.0), min(high, 101.0))
    else:
        axis.set_ylim(min(low, 0.0), 1.03 * high)


def _add_legend(axes: dict[Quantity, Axes], handles: Sequence[Line2D | Patch]) -> None:
    """Draw one legend below the first axis, in as many columns as its longest label leaves room for."""
    longest = max(len(str(handle.get_label())) for handle in handles)
    next(iter(axes.values())).legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, -0.17),
        ncols=max(1, min(4, len(handles), 120 * len(axes) // 2 // (longest + 8))),
        fontsize=9,
        handlelength=2.6,
        borderaxespad=0,
        borderpad=0,
    )
