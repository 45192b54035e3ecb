"""Draw accuracy against the strength of each corruption, and one image under all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import image
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from steelbench.arrays import AnyArray
from steelbench.records import Robustness, Row
from steelbench.report.figures.style import DASHES, DPI, PALE
from steelbench.report.formatting import row_label, shorten

# So many rows have a colour, the most accurate ones.
SHOWN = 8
COLUMNS = 4
# An example larger than this was not written by a run.
MOST_BYTES = 1024 * 1024
PNG = b"\x89PNG\r\n\x1a\n"
MOST_SIDE = 400


def strengths(rows: Sequence[Row], colours: Mapping[str, str]) -> Figure | None:
    """Draw a small panel for each corruption, with a line for each row, all on the same axes.

    Args:
        rows: best first; those that were not measured are passed over, those after `SHOWN` stay pale.
        colours: by row name.

    Returns:
        None if no row was measured.
    """
    measured = [(row, row.robustness) for row in rows if row.robustness]
    if not measured:
        return None
    titles = dict((own.corruption, own.title) for _, record in measured for own in record.results)
    low = min(cell.accuracy for _, record in measured for own in record.results for cell in own.cells)
    # One place more, for the legend.
    figure, axes = _grid(len(titles) + 1)
    for place, (name, title) in enumerate(titles.items()):
        _panel(axes[place], measured, name, colours)
        axes[place].set_title(title, fontsize=9.5)
        axes[place].set(xlim=(-0.15, 5.15), ylim=(100 * max(0.0, low - 0.03), 101), xticks=range(6))
        axes[place].grid(axis="y")
        if place % COLUMNS:
            axes[place].set_yticklabels([])
        else:
            axes[place].set_ylabel("accuracy (%)", fontsize=8.5)
        if place + COLUMNS < len(titles):
            axes[place].set_xticklabels([])
        elif place + COLUMNS > len(titles):
            # Not where the legend is below.
            axes[place].set_xlabel("strength", fontsize=8.5)
    last = axes[len(titles)]
    last.axis("off")
    last.legend(*axes[0].get_legend_handles_labels(), loc="lower left", fontsize=8, borderaxespad=0)
    return figure


def _panel(axis: Axes, measured: Sequence[tuple[Row, Robustness]], name: str, colours: Mapping[str, str]) -> None:
    used: Counter[str] = Counter()
    for place, (row, record) in enumerate(measured):
        result, clear, colour = record.of(name), place < SHOWN, colours[row.name]
        cells = result.cells if result else []
        axis.plot(
            [0, *(cell.strength for cell in cells)],
            [100 * record.clean_accuracy, *(100 * cell.accuracy for cell in cells)],
            color=colour if clear else PALE,
            linestyle=DASHES[used[colour] % len(DASHES)],
            linewidth=1.4 if clear else 0.8,
            marker="o",
            markersize=2.6,
            zorder=3 if clear else 1,
            label=shorten(row_label(row), 32) if clear else None,
        )
        used[colour] += 1


def examples(folder: Path, rows: Sequence[Row]) -> Figure | None:
    """Draw one image as it is and under each corruption, with its title.

    Args:
        folder: with a PNG of each corruption's name, and `clean.png`.
        rows: of which the first that was measured names the corruptions.

    Returns:
        None if the images are not there.
    """
    record = next((row.robustness for row in rows if row.robustness), None)
    titles = {"clean": "unchanged", **{own.corruption: own.title for own in record.results}} if record else {}
    read = {name: _read(folder, name) for name in titles}
    shown = {name: pixels for name, pixels in read.items() if pixels is not None}
    if not shown:
        return None
    figure, axes = _grid(len(shown), columns=6, width=1.35, height=1.35, gap=(0.08, 0.3))
    for axis, (name, pixels) in zip(axes, shown.items(), strict=True):
        axis.imshow(pixels)
        axis.set_title(titles[name], fontsize=8.5, weight="normal")
        axis.axis("off")
    return figure


def _read(folder: Path, name: str) -> AnyArray | None:
    # A corruption's name comes from a file: a plain one below the folder, or nothing.
    path = folder / f"{name}.png"
    if Path(name).name != name or not path.is_file() or path.stat().st_size > MOST_BYTES:
        return None
    head = path.read_bytes()[:24]
    sides = [int.from_bytes(head[start : start + 4], "big") for start in (16, 20)]
    if not head.startswith(PNG) or not all(0 < side <= MOST_SIDE for side in sides):
        return None
    try:
        return np.asarray(image.imread(path))
    except (OSError, ValueError, SyntaxError):
        return None


def _grid(
    count: int, columns: int = COLUMNS, width: float = 1.85, height: float = 1.2, gap: tuple[float, float] = (0.2, 0.38)
) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes in rows, their sizes and gaps (across, down) in inches."""
    rows = -(-count // columns)
    across, down = width + gap[0], height + gap[1]
    total = (columns * across - gap[0], rows * down - gap[1])
    figure = Figure(figsize=total, dpi=DPI)
    FigureCanvasAgg(figure)
    axes = []
    for place in range(count):
        left, top = place % columns * across, total[1] - place // columns * down
        box = (left / total[0], (top - height) / total[1], width / total[0], height / total[1])
        axes.append(figure.add_axes(box))
    return figure, axes
