"""Draw accuracy, loss and learning rate epoch by epoch; several seeds and folds are a mean and a band."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
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
# A quantity and the kind of loss, "" for accuracy and cross-entropy.
Quantity = tuple[str, str]
# By method and stage, "" for the last one; a loss that is not here is cross-entropy, or called by its stage.
LOSSES = {("arcface", ""): "ArcFace", ("triplet", ""): "triplet", ("supcon", "encoder"): "contrastive"}
QUANTITIES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss", 1.0), "rate": ("learning rate", 1.0)}
# A panel of the small multiples, in inches: its width, and its height by quantity.
NARROW, HEIGHTS = 2.15, {"accuracy": 1.7, "loss": 1.5, "rate": 0.75}
GAP_X, GAP_Y = 0.2, 0.5


@dataclass(frozen=True)
class Band:
    """The curves of several runs as one: for each epoch mean, lowest and highest value; NaN where no run has one.

    Epochs that fewer than half of the runs reached are left out: the mean would jump where runs end.
    """

    epochs: Floats
    mean: Floats
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
    epochs = [epoch for epoch in sorted({e for own in reached for e in own if math.isfinite(e)})]
    epochs = [epoch for epoch in epochs if 2 * sum(epoch in own for own in reached) >= len(runs)]
    place = {epoch: number for number, epoch in enumerate(epochs)}
    values = np.full((len(runs), len(epochs)), np.nan)
    for line, own in zip(values, runs, strict=True):
        for epoch, value in zip(own.epochs, own.curves[column], strict=True):
            if epoch in place:
                line[place[epoch]] = scale * value
    known = np.isfinite(values)
    number = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean = np.divide(total, number, out=np.full(len(epochs), np.nan), where=number > 0)
    low, high = np.where(known, values, np.inf).min(axis=0), np.where(known, values, -np.inf).max(axis=0)
    return Band(np.array(epochs), mean, np.where(number > 0, low, np.nan), np.where(number > 0, high, np.nan))


def small_multiples(histories: list[History], colours: dict[str, str]) -> Figure:
    """Draw a column for each backbone: validation accuracy, each kind of loss, and the learning rate, on shared axes.

    Args:
        histories: of all stages, best row first; `COLUMNS` backbones at most.
        colours: by `method_and_variant`.
    """
    backbones = list(dict.fromkeys(history.row.backbone for history in histories))
    lines = _quantities(histories)
    heights = [HEIGHTS[name] for name, _ in lines]
    total_x = NARROW * len(backbones) + GAP_X * (len(backbones) - 1)
    total_y = sum(heights) + GAP_Y * (len(lines) - 1)
    figure, axes = panels([NARROW], total_y)
    axes[0].remove()
    figure.set_size_inches(total_x, total_y)
    handles: dict[str, Line2D] = {}
    top, bottom_line = total_y, []
    for number, ((name, kind), height) in enumerate(zip(lines, heights, strict=True)):
        first: Axes | None = None
        shown = []
        for column, backbone in enumerate(backbones):
            box = (
                column * (NARROW + GAP_X) / total_x,
                (top - height) / total_y,
                NARROW / total_x,
                height / total_y,
            )
            axis = figure.add_axes(box, sharex=first, sharey=first)
            first = first or axis
            shown.append(axis)
            axis.grid(visible=True)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=4))
            axis.tick_params(labelleft=column == 0, labelsize=8)
            if not number:
                axis.set_title(shorten(backbone, 26), fontsize=10)
            own = [history for history in histories if history.row.backbone == backbone]
            for history in own:
                if not _belongs(history, name, kind):
                    continue
                label = method_and_variant(history.row)
                style = {"color": colours.get(label, PALE)}
                if label in colours:
                    handles.setdefault(label, Line2D([], [], label=shorten(label, 40), linewidth=1.8, **style))
                _draw(axis, history, name, **style)
        shown[0].set_ylabel(_axis_label(name, kind), fontsize=9)
        _limit(shown[0], name)
        bottom_line = shown
        top -= height + GAP_Y
    for axis in bottom_line:
        axis.set_xlabel("epoch", fontsize=9)
    keys = [*handles.values(), *_keys(histories, training=False)]
    columns = max(1, min(len(keys), int(total_x // 2)))
    place = (0.0, -0.5 / total_y)
    figure.legend(handles=keys, loc="upper left", bbox_to_anchor=place, ncols=columns, fontsize=9, handlelength=2.4)
    return figure


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


def loss_kind(history: History) -> str:
    """Return what a history's loss is, "" for cross-entropy: losses of different kinds share no axis."""
    if not history.last:
        return LOSSES.get((history.row.method, history.stage), history.stage)
    return LOSSES.get((history.row.method, ""), "")


def _quantities(histories: Sequence[History]) -> list[Quantity]:
    """Return what is drawn for any of the histories: accuracy, the losses of each kind, learning rates of each kind."""
    found = [("accuracy", "")] if any(_recorded(h, "accuracy") for h in histories) else []
    found += [("loss", kind) for kind in sorted({loss_kind(h) for h in histories if _recorded(h, "loss")})]
    found += [("rate", kind) for kind in sorted({loss_kind(h) for h in histories if _rated(h)})]
    return found or [("loss", loss_kind(histories[0]))]


def _belongs(history: History, name: str, kind: str) -> bool:
    return name == "accuracy" or kind == loss_kind(history)


def _axis_label(name: str, kind: str) -> str:
    if name == "rate":
        return f"{kind} rate".strip()
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
            _line(axis, band(history.runs, "learning_rate"), **style)
        return
    found = band(history.runs, f"val_{name}", QUANTITIES[name][1])
    if history.others:
        axis.fill_between(found.epochs, found.low, found.high, color=style["color"], alpha=0.18, linewidth=0)
    _line(axis, found, **style)
    for run in history.runs:
        _mark_kept(axis, run, name, style["color"], 7 if not history.others else 4.5)


def _line(axis: Axes, found: Band, **style: Any) -> None:
    # A line through a single epoch would be invisible without a marker.
    axis.plot(found.epochs, found.mean, linewidth=1.6, marker="." if len(found.epochs) < 3 else "", **style)


def _mark_kept(axis: Axes, history: History, name: str, colour: str, size: float) -> None:
    for epoch, value in zip(history.epochs, history.curves[f"val_{name}"], strict=True):
        if epoch == history.best_epoch:
            marker: dict[str, Any] = {
                "color": colour,
                "markeredgecolor": "white",
                "markeredgewidth": 0.7,
                "markersize": size,
                "clip_on": False,
                "zorder": 3,
            }
            axis.plot(epoch, QUANTITIES[name][1] * value, "o", **marker)


def _keys(histories: Iterable[History], training: bool) -> list[Line2D | Patch]:
    """Return the legend's entries for what lines, bands and dots mean."""
    several = max((len(history.runs) for history in histories), default=1)
    runs = f"validation, mean of {several} runs" if several > 1 else "validation"
    keys: list[Line2D | Patch] = [Line2D([], [], color=INK, linestyle="-", label=runs)]
    if several > 1:
        keys.append(Patch(color=QUIET, alpha=0.35, linewidth=0, label="lowest to highest run"))
    if training:
        keys.append(Line2D([], [], color=INK, linestyle="--", alpha=0.75, label="training"))
    dot = "epoch that each run kept" if several > 1 else "epoch that was kept"
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
