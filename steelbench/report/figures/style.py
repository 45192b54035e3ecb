"""The style of all figures: fonts, colours, axes sized in inches, and saving as PNG."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from steelbench.files import whole_file

DPI = 110
INK = "#1f2933"
QUIET = "#7b8794"
PALE = "#d3d9e0"
# Okabe and Ito's colours without yellow and black, then four of Tol's muted ones: colour-blind readers
# tell them apart. The soft ones, Tol's light scheme, fill areas that stand for no backbone.
PALETTE = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"),
    *("#56b4e9", "#882255", "#332288", "#999933", "#117733"),
)
SOFT = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#44bb99", "#99ddff", "#bbcc33", "#aaaa00", "#bbbbbb")
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
# DejaVu, which Matplotlib brings, has no Chinese, Japanese or Korean; these are used if the machine has them.
CJK = (
    "Noto Sans CJK SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "SimHei",
    "PingFang SC",
)


def colours(names: Iterable[str], first: int = 0) -> dict[str, str]:
    """Return a colour for each name, in alphabetical order so that the ranking does not change it.

    Args:
        names: duplicates count once.
        first: where in `PALETTE` to start, so that two kinds of names do not share their first colours.
    """
    return {name: PALETTE[(first + place) % len(PALETTE)] for place, name in enumerate(sorted(set(names)))}


@contextmanager
def figure_style() -> Iterator[None]:
    """Set the fonts and colours of figures that are made and saved inside the `with` block."""
    installed = set(font_manager.get_font_names())
    settings: Any = {
        "font.family": ["DejaVu Sans", *(name for name in CJK if name in installed)],
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": QUIET,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": "#e4e7eb",
        "axes.axisbelow": True,
        "legend.frameon": False,
        # Hinted, small bold DejaVu Sans looks like a serif face.
        "text.hinting": "no_hinting",
        # Names come from files: `$x^2$` is a class, not a formula.
        "text.parse_math": False,
    }
    with warnings.catch_warnings(), mpl.rc_context(settings):
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def panels(widths: list[float], height: float, gap: float = 0.7) -> tuple[Figure, list[Axes]]:
    """Return a figure with axes side by side; labels go outside of them and are never cut.

    Args:
        widths: of the axes, in inches.
        height: of all axes, in inches.
        gap: between them, in inches.
    """
    total = sum(widths) + gap * (len(widths) - 1)
    figure = Figure(figsize=(total, height), dpi=DPI)
    FigureCanvasAgg(figure)
    axes, left = [], 0.0
    for width in widths:
        axes.append(figure.add_axes((left / total, 0.0, width / total, 1.0)))
        left += width + gap
    return figure, axes


def grid_across_bars(axis: Axes) -> None:
    """Draw grid lines at the values of horizontal bars, and no tick marks beside their names."""
    axis.grid(axis="x")
    axis.tick_params(axis="y", length=0)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})
