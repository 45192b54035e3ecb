"""Figures of the rows' embeddings: t-SNE maps, and distances within and between classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.embedding_file import read_embeddings
from steelbench.evaluation.embeddings.projection import Projection, project
from steelbench.evaluation.embeddings.retrieval import pair_cosines
from steelbench.methods import METHODS
from steelbench.records import Row
from steelbench.report.figures.style import PALETTE, QUIET, panels
from steelbench.report.formatting import row_label, shorten

SHOWN = 6
COLUMNS = 3
MARKERS = "osD^v<>P*X"
# The histograms need an axis of some length, also where all embeddings are the same.
SHORTEST_AXIS = 1e-6


@dataclass(frozen=True)
class EmbeddedRow:
    """The embedded test images of one row, seed 0, fold 0.

    Attributes:
        row: the row.
        images: its embeddings.
        projection: their t-SNE coordinates as the run stored them; None if it stored none, as runs of older versions.
    """

    row: Row
    images: Embedded
    projection: Projection | None = None


def read_embedded_rows(results: Path, models: Sequence[Row]) -> list[EmbeddedRow]:
    """Read the embeddings to draw side by side: those of the backbone of the best row that learned an embedding.

    Of rows that share an embedding, as all do that classify the frozen features, the first is taken. A file that is
    missing or damaged is left out.

    Args:
        results: the results folder.
        models: rows, best first.

    Returns:
        At most six rows, softmax first; [] if no row learned an embedding.
    """
    best = next((row for row in models if _learned(row)), None)
    if best is None:
        return []
    rows = [row for row in models if row.backbone == best.backbone]
    # The features that cross-entropy learns from come first, for comparison.
    rows.sort(key=lambda row: row.method != "softmax")
    found: list[EmbeddedRow] = []
    for row in rows:
        own = _read(results, row)
        if own and not any(np.array_equal(own.images.vectors, other.images.vectors) for other in found):
            found.append(own)
    return found[:SHOWN]


def _learned(row: Row) -> bool:
    """Return whether a row's method learns an embedding; records may name methods that are unknown here."""
    return row.method in METHODS and METHODS[row.method].learns_embedding


def _read(results: Path, row: Row) -> EmbeddedRow | None:
    first = next((run for run in row.runs if run.endswith("-s0-f0")), "")
    found = read_embeddings(results / "runs" / first)
    return EmbeddedRow(row, *found) if found else None


def distances(rows: Sequence[EmbeddedRow]) -> Figure:
    """Draw histograms of 1 - cosine between test images that share no pixels: same class and different classes.

    Args:
        rows: a panel for each, at least one.
    """
    import seaborn

    figure, axes = _grid(len(rows), 3.2, 1.9, gap=0.85)
    pairs = [pair_cosines(row.images) for row in rows]
    # One scale for all, so that panels can be compared.
    reach = max([SHORTEST_AXIS, *(float(1 - cosines.min()) for cosines, _ in pairs if len(cosines))])
    for axis, row, (cosines, same) in zip(axes, rows, pairs, strict=True):
        for kind, colour, name in ((same, PALETTE[0], "same class"), (~same, PALETTE[1], "different classes")):
            if kind.any():
                seaborn.histplot(
                    x=1 - cosines[kind],
                    bins=50,
                    binrange=(0, reach),
                    stat="density",
                    element="step",
                    alpha=0.35,
                    color=colour,
                    label=name,
                    ax=axis,
                )
        axis.set_xlim(0, reach)
        axis.set_title(shorten(row_label(row.row), 34))
        axis.set_xlabel("1 - cosine")
        axis.set_ylabel("density of pairs")
        axis.tick_params(colors=QUIET)
    _legend_below(figure, axes[0], 0.55)
    return figure


def tsne(rows: Sequence[EmbeddedRow], classes: Sequence[str]) -> Figure:
    """Draw a t-SNE map of each row's images; colours and markers are classes.

    The coordinates are those that the run stored; for runs that stored none they are computed here, the same ones.

    Args:
        rows: a panel for each, at least one.
        classes: names, by class number.
    """
    figure, axes = _grid(len(rows), 3.2, 3.2, gap=0.5)
    for axis, row in zip(axes, rows, strict=True):
        _map(axis, row.images, row.projection or project(row.images), classes)
        axis.set_title(shorten(row_label(row.row), 34))
        axis.set_xticks([])
        axis.set_yticks([])
    _legend_below(figure, axes[0], 0.1)
    return figure


def _map(axis: Axes, images: Embedded, projection: Projection | None, classes: Sequence[str]) -> None:
    points = np.empty((0, 2), np.float32) if projection is None else projection.points
    labels = np.empty(0, np.int64) if projection is None else images.labels[projection.rows]
    if projection is None:
        text = "no map: the embeddings\nare all the same"
        axis.annotate(text, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color=QUIET)
    # Without points, too: the legend is that of the first panel.
    for number, name in enumerate(classes):
        own = points[labels == number]
        colour = PALETTE[number % len(PALETTE)]
        marker = MARKERS[number // len(PALETTE) % len(MARKERS)]
        axis.scatter(own[:, 0], own[:, 1], 14, colour, marker=marker, linewidths=0, alpha=0.85, label=shorten(name, 24))


def _legend_below(figure: Figure, axis: Axes, inches: float) -> None:
    """Draw the legend of one axis below all of them; beside them, it would be outside a narrow screen."""
    handles, names = axis.get_legend_handles_labels()
    place = (0.0, -inches / figure.get_figheight())
    figure.legend(handles, names, loc="upper left", bbox_to_anchor=place, ncols=COLUMNS, fontsize=9, markerscale=1.6)


def _grid(count: int, width: float, height: float, gap: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` axes, three to a line.

    Args:
        count: of the axes, at least one.
        width: of each, in inches.
        height: of each, in inches.
        gap: between lines, in inches.
    """
    columns, lines = min(COLUMNS, count), -(-count // COLUMNS)
    gap_x, gap_y = 0.75, gap
    figure, axes = panels([width] * columns, height, gap_x)
    if lines == 1:
        return figure, axes
    total_width = width * columns + gap_x * (columns - 1)
    total_height = height * lines + gap_y * (lines - 1)
    figure.set_size_inches(total_width, total_height)
    for axis in axes:
        axis.remove()
    found = []
    for place in range(count):
        line, column = divmod(place, columns)
        left = column * (width + gap_x) / total_width
        bottom = 1 - (line * (height + gap_y) + height) / total_height
        found.append(figure.add_axes((left, bottom, width / total_width, height / total_height)))
    return figure, found
