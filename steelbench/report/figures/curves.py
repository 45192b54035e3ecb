"""Draw accuracy and loss epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from steelbench.report.figures.style import DASHES, INK, PALE, PALETTE, panels
from steelbench.report.formatting import count, method_and_variant, row_label, shorten
from steelbench.report.load import History

# So many rows of one backbone have a colour of their own; the others stay pale in the background.
FOLLOWED = len(PALETTE)
# A quantity and the kind of loss, "" for accuracy and cross-entropy.
Quantity = tuple[str, str]
# By method and stage, "" for the last one; a loss that is not here is cross-entropy, or called by its stage.
LOSSES = {("arcface", ""): "ArcFace", ("triplet", ""): "triplet", ("supcon", "encoder"): "contrastive"}
QUANTITIES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss", 1.0)}


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
            _line(axis, history, name, f"val_{name}", **style)
    _set_limits(axes)
    _add_legend(axes, handles + _background(len(histories) - len(handles)))
    return figure


def one_backbone(title: str, histories: list[History], colours: dict[str, str]) -> Figure:
    """Draw training (dashed) and validation (solid) of one backbone's rows; a dot marks the epoch that was kept.

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
                _line(axis, history, name, f"val_{name}", color=PALE, zorder=1)
                continue
            _line(axis, history, name, name, color=colours[label], linestyle="--", alpha=0.75)
            _line(axis, history, name, f"val_{name}", color=colours[label])
            _mark_kept(axis, history, name, colours[label])
        if place < FOLLOWED:
            handles.append(Line2D([], [], color=colours[label], label=shorten(label, 44), linewidth=1.8))
    kinds = [
        Line2D([], [], color=INK, linestyle="-", label="validation"),
        Line2D([], [], color=INK, linestyle="--", alpha=0.75, label="training"),
        Line2D([], [], color=INK, linestyle="", marker="o", label="epoch that was kept"),
    ]
    _set_limits(axes)
    _add_legend(axes, handles + _background(len(histories) - FOLLOWED) + kinds)
    return figure


def loss_kind(history: History) -> str:
    """Return what a history's loss is, "" for cross-entropy: losses of different kinds share no axis."""
    if not history.last:
        return LOSSES.get((history.row.method, history.stage), history.stage)
    return LOSSES.get((history.row.method, ""), "")


def _axes(histories: list[History], title: str) -> tuple[Figure, dict[Quantity, Axes]]:
    """Return axes by recorded quantity and kind of loss; an encoder's stage has a loss and no accuracy."""
    found = [("accuracy", "")] if any(_recorded(h, "accuracy") for h in histories) else []
    kinds = dict.fromkeys(loss_kind(h) for h in histories if _recorded(h, "loss"))
    found += [("loss", kind) for kind in sorted(kinds)]
    names = found or [("loss", loss_kind(histories[0]))]
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
        if name == "accuracy" or kind == loss_kind(history):
            yield name, axis


def _recorded(history: History, name: str) -> bool:
    return any(math.isfinite(value) for value in history.curves[name] + history.curves[f"val_{name}"])


def _line(axis: Axes, history: History, name: str, column: str, **style: Any) -> None:
    values = [QUANTITIES[name][1] * value for value in history.curves[column]]
    # A line through a single epoch would be invisible without a marker.
    axis.plot(history.epochs, values, linewidth=1.6, marker="." if len(values) < 3 else "", **style)


def _mark_kept(axis: Axes, history: History, name: str, colour: str) -> None:
    for epoch, value in zip(history.epochs, history.curves[f"val_{name}"], strict=True):
        if epoch == history.best_epoch:
            marker: dict[str, Any] = {
                "color": colour,
                "markeredgecolor": "white",
                "markersize": 7,
                "clip_on": False,
                "zorder": 3,
            }
            axis.plot(epoch, QUANTITIES[name][1] * value, "o", **marker)


def _background(rows: int) -> list[Line2D]:
    if rows <= 0:
        return []
    return [Line2D([], [], color=PALE, linewidth=1.8, label=count(rows, "lower row"))]


def _set_limits(axes: dict[Quantity, Axes]) -> None:
    for (name, _), axis in axes.items():
        low, high = axis.get_ylim()
        # Accuracy ends at 100 % with room for the dot, loss begins at 0 unless a loss is negative.
        axis.set_ylim(*((max(low, -1.0), min(high, 101.0)) if name == "accuracy" else (min(low, 0.0), 1.03 * high)))


def _add_legend(axes: dict[Quantity, Axes], handles: list[Line2D]) -> None:
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
