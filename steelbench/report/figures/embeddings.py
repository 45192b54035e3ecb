"""What the embeddings of the rows look like: t-SNE side by side, distances within and between classes."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.projection import project
from steelbench.evaluation.embeddings.retrieval import pair_cosines
from steelbench.records import Row
from steelbench.report.figures.style import PALETTE, QUIET, panels
from steelbench.report.formatting import row_label, shorten

# Methods that learn an embedding; without one of them there is nothing to look at.
LEARNED = ("supcon", "triplet", "arcface")
SHOWN = 6
COLUMNS = 3


@dataclass(frozen=True)
class Sheet:
    """The embedded test images of one row, seed 0, fold 0."""

    row: Row
    images: Embedded


def read_sheets(results: Path, models: Sequence[Row]) -> list[Sheet]:
    """Sheets to show side by side, all of the backbone of the best row that learned its embedding; at most six.

    Of rows that share an embedding, as all do that classify the frozen features, the first is shown. A file that is
    missing or damaged is left out; [] if no row learned one.
    """
    learned = next((row for row in models if row.method in LEARNED), None)
    if learned is None:
        return []
    rows = [row for row in models if row.backbone == learned.backbone]
    # The cross-entropy's features first, for comparison.
    rows.sort(key=lambda row: row.method != "softmax")
    found: list[Sheet] = []
    for row in rows:
        images = _read(results, row)
        if images is not None and not any(np.array_equal(images.vectors, sheet.images.vectors) for sheet in found):
            found.append(Sheet(row, images))
    return found[:SHOWN]


def _read(results: Path, row: Row) -> Embedded | None:
    first = next((run for run in row.runs if run.endswith("-s0-f0")), "")
    try:
        with np.load(results / "runs" / first / "embeddings.npz", allow_pickle=False) as arrays:
            vectors = arrays["vectors"].astype(np.float32)
            found = Embedded(vectors, arrays["labels"].astype(np.int64), arrays["groups"].astype(np.int64))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    whole = found.vectors.ndim == 2 and len(found.vectors) == len(found.labels) == len(found.groups) > 2
    return found if whole and np.isfinite(found.vectors).all() else None


def distances(sheets: Sequence[Sheet]) -> Figure:
    """Histograms of 1 - cosine between test images that share no pixels: same class and different classes."""
    import seaborn

    figure, axes = _grid(len(sheets), 3.2, 1.9, gap=0.85)
    pairs = [pair_cosines(sheet.images) for sheet in sheets]
    # One scale for all, so that panels can be compared.
    reach = max((float(1 - cosines.min()) for cosines, _ in pairs if len(cosines)), default=1.0)
    for axis, sheet, (cosines, same) in zip(axes, sheets, pairs, strict=False):
        for kind, colour, name in ((same, PALETTE[0], "same class"), (~same, PALETTE[1], "different classes")):
            if kind.any():
                seaborn.histplot(
                    x=1 - cosines[kind], bins=50, binrange=(0, reach), stat="density", element="step", alpha=0.35,
                    color=colour, label=name, ax=axis,
                )  # fmt: skip
        axis.set_xlim(0, reach)
        axis.set_title(shorten(row_label(sheet.row), 34))
        axis.set_xlabel("1 - cosine")
        axis.set_ylabel("density of pairs")
        axis.tick_params(colors=QUIET)
    _legend_below(figure, axes[0], 0.55)
    return figure


def _legend_below(figure: Figure, axis: Axes, inches: float) -> None:
    """The legend of an axis below all of them: beside them, a narrow screen would have it out of sight."""
    handles, names = axis.get_legend_handles_labels()
    place = (0.0, -inches / figure.get_figheight())
    figure.legend(handles, names, loc="upper left", bbox_to_anchor=place, ncols=COLUMNS, fontsize=9, markerscale=1.6)


def _grid(count: int, width: float, height: float, gap: float) -> tuple[Figure, list[Axes]]:
    """Axes of these inches, three to a line, lines so many inches apart."""
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


def tsne(sheets: Sequence[Sheet], classes: Sequence[str]) -> Figure:
    """A map of each sheet's images, near where the embeddings are near; colours are classes.

    PCA to 50 dimensions first. At most 1000 images, drawn by seed.

    References:
        van der Maaten and Hinton 2008, "Visualizing Data using t-SNE".
    """
    figure, axes = _grid(len(sheets), 3.2, 3.2, gap=0.5)
    for axis, sheet in zip(axes, sheets, strict=False):
        points, labels = project(sheet.images)
        for number, name in enumerate(classes):
            own = points[labels == number]
            colour = PALETTE[number % len(PALETTE)]
            marker = "osD^v<>P*X"[number // len(PALETTE) % 10]
            axis.scatter(
                own[:, 0], own[:, 1], 14, colour, marker=marker, linewidths=0, alpha=0.85, label=shorten(name, 24)
            )
        axis.set_title(shorten(row_label(sheet.row), 34))
        axis.set_xticks([])
        axis.set_yticks([])
    _legend_below(figure, axes[0], 0.1)
    return figure
