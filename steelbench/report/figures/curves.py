"""Figures of what happened epoch by epoch."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from steelbench.report.figures.style import DASHES, INK, PALE, PALETTE, panels
from steelbench.report.formatting import row_label, shorten, variety
from steelbench.report.load import History

# Rows of one backbone that have a colour of their own; the others stay pale in the background.
FOLLOWED = len(PALETTE)
FACES = {"accuracy": ("accuracy (%)", 100.0), "loss": ("loss", 1.0)}


def compare(histories: list[History], colours: dict[str, str]) -> Figure:
    """Validation accuracy and loss of all rows, one line each; rows of one colour differ by their dashes.

    Args:
        histories: best row first; when a colour's dashes are used up, its next rows stay pale.
        colours: of each row's name.
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
        for name, axis in axes.items():
            _line(axis, history, name, f"val_{name}", **style)
    _finish(axes, handles + _background(len(histories) - len(handles)))
    return figure


def one_backbone(title: str, histories: list[History], colours: dict[str, str]) -> Figure:
    """Training (dashed) and validation (solid) of one backbone's rows; a dot marks the epoch that was kept.

    Args:
        title: backbone, and the stage unless it is the last.
        histories: best row first; those after `FOLLOWED` stay in the background, pale and without training.
        colours: of each `variety`.
    """
    figure, axes = _axes(histories, title + ": {}")
    handles = []
    for place, history in enumerate(histories):
        label = variety(history.row)
        for name, axis in axes.items():
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
    _finish(axes, handles + _background(len(histories) - FOLLOWED) + kinds)
    return figure


def _axes(histories: list[History], title: str) -> tuple[Figure, dict[str, Axes]]:
    """Axes for what was recorded: an encoder's stage has a loss and no accuracy."""
    names = [name for name in FACES if any(_recorded(h, name) for h in histories)] or ["loss"]
    figure, axes = panels([4.1] * len(names), 3.0, gap=0.75)
    for name, axis in zip(names, axes, strict=True):
        axis.set_title(title.format(name))
        axis.set_ylabel(FACES[name][0])
        axis.set_xlabel("epoch")
        axis.grid(visible=True)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure, dict(zip(names, axes, strict=True))


def _recorded(history: History, name: str) -> bool:
    return any(math.isfinite(value) for value in history.curves[name] + history.curves[f"val_{name}"])


def _line(axis: Axes, history: History, name: str, column: str, **style: Any) -> None:
    values = [FACES[name][1] * value for value in history.curves[column]]
    # A single epoch is a point: without a marker nothing would be seen.
    axis.plot(history.epochs, values, linewidth=1.6, marker="." if len(values) < 3 else "", **style)


def _mark_kept(axis: Axes, history: History, name: str, colour: str) -> None:
    for epoch, value in zip(history.epochs, history.curves[f"val_{name}"], strict=True):
        if epoch == history.best_epoch:
            face: dict[str, Any] = {
                "color": colour,
                "markeredgecolor": "white",
                "markersize": 7,
                "clip_on": False,
                "zorder": 3,
            }
            axis.plot(epoch, FACES[name][1] * value, "o", **face)


def _background(count: int) -> list[Line2D]:
    if count <= 0:
        return []
    return [Line2D([], [], color=PALE, linewidth=1.8, label=f"{count} lower {'row' if count == 1 else 'rows'}")]


def _finish(axes: dict[str, Axes], handles: list[Line2D]) -> None:
    for name, axis in axes.items():
        low, high = axis.get_ylim()
        # Accuracy ends at 100 % with room for the dot, loss begins at 0 unless a loss is negative.
        axis.set_ylim(*((max(low, -1.0), min(high, 101.0)) if name == "accuracy" else (min(low, 0.0), 1.03 * high)))
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
