"""Draw a confusion matrix."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure

from steelbench.report.figures.style import panels
from steelbench.report.formatting import shorten

COUNTED = 30
LABELLED = 100


def confusion(title: str, classes: list[str], counts: list[list[int]]) -> Figure:
    """Draw counts as text and shares of the true class as colour, blue where right and orange where wrong.

    Above `COUNTED` classes the counts would be illegible and are left out; above `LABELLED`, some labels too.

    Args:
        title: label of the row.
        classes: C names.
        counts: images, [true class][predicted class], C x C.
    """
    import seaborn

    table = np.asarray(counts, dtype=float)
    size, right = len(table), np.eye(len(table), dtype=bool)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    cell = 0.42 if size <= 8 else 0.4 if size <= 14 else 0.34 if size <= COUNTED else 0.19
    side = max(1.0, cell * size)
    figure, (axis,) = panels([side], side)
    # The root makes few errors visible. `darkest` keeps the text legible on the darkest shade that is used.
    for cells, values, shades, darkest, weight in (
        (right, shares, "Blues", 0.85, "normal"),
        (~right, np.sqrt(shares), "Oranges", 0.75, "bold"),
    ):
        seaborn.heatmap(
            values,
            mask=~cells | (table == 0),
            cmap=shades,
            vmin=0,
            vmax=1 / darkest,
            cbar=False,
            ax=axis,
            annot=table if size <= COUNTED else None,
            fmt=".0f",
            annot_kws={"fontsize": 9, "fontweight": weight},
            xticklabels=False,
            yticklabels=False,
        )
    step = math.ceil(size / LABELLED)
    labels = [shorten(name, 24) for name in classes]
    middles = np.arange(0, size, step) + 0.5
    axis.set_xticks(middles, labels[::step], rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axis.set_yticks(middles, labels[::step], rotation=0, fontsize=9)
    axis.hlines(range(size + 1), 0, size, color="#e4e7eb", linewidth=0.8, clip_on=False)
    axis.vlines(range(size + 1), 0, size, color="#e4e7eb", linewidth=0.8, clip_on=False)
    axis.tick_params(length=0)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    axis.set_title(shorten(title, 44), fontsize=10)
    return figure
