"""The figure of one confusion matrix."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steelbench.report.canvas import INK, panels
from steelbench.report.words import shorten

COUNTED = 30
LABELLED = 100


def confusion(title: str, classes: list[str], counts: list[list[int]]) -> Figure:
    """Counts as text; colour is the share of the true class: blue where right, orange where wrong.

    Above `COUNTED` classes the counts would be illegible and are left out; above `LABELLED`, some labels too.

    Args:
        title: the row.
        classes: C names.
        counts: [true class][predicted class], C x C.
    """
    table = np.asarray(counts, dtype=float)
    size = len(table)
    cell = 0.42 if size <= 8 else 0.4 if size <= 14 else 0.34 if size <= COUNTED else 0.19
    side = max(1.0, cell * size)
    figure, (axis,) = panels([side], side)
    axis.imshow(_shades(table), aspect="auto", interpolation="nearest")
    if size <= COUNTED:
        _write_counts(axis, table)
    step = math.ceil(size / LABELLED)
    labels = [shorten(name, 24) for name in classes]
    axis.set_xticks(range(0, size, step), labels[::step], rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axis.set_yticks(range(0, size, step), labels[::step], fontsize=9)
    borders = np.arange(size + 1) - 0.5
    axis.hlines(borders, -0.5, size - 0.5, color="#e4e7eb", linewidth=0.8, clip_on=False)
    axis.vlines(borders, -0.5, size - 0.5, color="#e4e7eb", linewidth=0.8, clip_on=False)
    axis.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(shorten(title, 44), fontsize=10)
    return figure


def _shades(table: np.ndarray) -> np.ndarray:
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    shades = colormaps["Oranges"](0.75 * np.sqrt(shares))
    diagonal = np.eye(len(table), dtype=bool)
    shades[diagonal] = colormaps["Blues"](0.85 * shares[diagonal])
    shades[table == 0] = 1.0
    return shades


def _write_counts(axis: Axes, table: np.ndarray) -> None:
    totals = table.sum(axis=1)
    for row, column in zip(*np.nonzero(table), strict=True):
        dark = row == column and table[row, column] > 0.75 * totals[row]
        axis.text(
            column,
            row,
            f"{table[row, column]:.0f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else INK,
            fontweight="normal" if row == column else "bold",
        )
