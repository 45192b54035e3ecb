"""Print tables on standard output: the leaderboard, and those of `steelbench list`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from steelbench.cli.terminal import say
from steelbench.data.readers import DATASETS
from steelbench.errors import choose
from steelbench.experiment import METHODS
from steelbench.models.backbones import BACKBONES
from steelbench.printable import shown
from steelbench.records import Row, Summary
from steelbench.report.conclusion import conclusion, standings
from steelbench.report.formatting import count, interval, is_untrained, p_value, percent, row_label, split_label

# Columns of the printed leaderboard that hold numbers.
RIGHT = ("accuracy", "naive split", "macro-F1", "images", "seconds")
METRICS = {
    "accuracy": "share of test images whose class is right; mean over seeds of the pooled out-of-fold accuracy",
    "accuracy_low, accuracy_high": "its 95 % interval (mid-P); images sharing pixels are a group",
    "macro_f1": "mean over classes with a test image of the harmonic mean of precision and recall",
    "macro_f1_low, macro_f1_high": "its 95 % interval (delta method, by groups)",
    "balanced_accuracy": "mean over classes with a test image of the recall",
    "n_test, n_effective": "distinct test images; independent ones that would tell as much about the accuracy",
    "tied": "not shown to be worse than the most accurate row: p_value above .05",
    "p_value": "of the difference from the most accurate row: McNemar or sign flips by group, exact, after Holm",
    "naive_accuracy": "the same head on a random split that ignores shared pixels; to compare with others' numbers",
    "precision, recall, f1": "per class, in results.json and the report; recall with its interval",
}


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a plain table; nothing is cut off where the output is no terminal.

    Args:
        columns: their names.
        rows: the cells of each row, in the order of the columns.
        right: names of columns that are aligned to the right.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Names come from folders; rich must not read them as markup.
        table.add_row(*(Text(shown(cell)) for cell in row))
    _console().print(table)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 250)


def print_leaderboard(summary: Summary) -> None:
    """Print the leaderboard and its conclusion; split, notices and failures go to standard error."""
    data = summary.dataset
    say(f"{count(data.images or 0, 'image')} in {count(len(data.classes), 'class')}, {split_label(summary.split)}")
    for notice in summary.shown_notices:
        say(f"{notice.level}: {notice.row + ': ' if notice.row else ''}{notice.text}")
    # Stable: best first, and untrained networks, which are not ranked, after all others.
    rows = sorted(summary.rows, key=lambda row: (row.status == "failed", is_untrained(row)))
    show(*_fitting(_leaderboard_columns(rows), _console().width), right=RIGHT)
    for row in summary.rows:
        if row.status == "failed":
            say(f"{row.name} failed: {row.reason}")
    print(f"\n{shown(conclusion(summary))}")


def _leaderboard_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the cells by column, most important column first, without columns that would be empty."""
    marks = standings(rows)
    columns = {
        "model": [row_label(row) for row in rows],
        "accuracy": ["failed" if row.status == "failed" else percent(row.accuracy) for row in rows],
        "95 % interval": [interval(row) for row in rows],
        "standing": [marks.get(row.name) or _worse(row) for row in rows],
        "naive split": ["" if row.naive_accuracy is None else percent(row.naive_accuracy) for row in rows],
        "macro-F1": ["" if row.macro_f1 is None else percent(row.macro_f1) for row in rows],
        "images": [str(row.n_test or "") for row in rows],
        "weights": ["" if row.backbone == "none" else row.weights for row in rows],
        "seconds": ["" if row.accuracy is None else f"{row.seconds or 0:.0f}" for row in rows],
    }  # fmt: skip
    return {name: cells for name, cells in columns.items() if any(cells)}


def _worse(row: Row) -> str:
    if is_untrained(row) and row.status == "done":
        return "untrained"
    return "" if row.tied is None else f"worse, {p_value(row.p_value)}"


def _fitting(columns: dict[str, list[str]], width: int) -> tuple[list[str], Iterable[Sequence[str]]]:
    """Return names and rows of the first columns that fit into `width` characters; two are always kept."""
    kept: list[str] = []
    used = 0
    for name, cells in columns.items():
        used += 2 + max(map(len, (name, *cells)))
        if len(kept) < 2 or used - 2 <= width:
            kept.append(name)
    return kept, zip(*(columns[name] for name in kept), strict=True)


def list_backbones() -> None:
    """Print the rows of `BACKBONES`, and how an ensemble of them is named."""
    show(
        ("backbone", "keras.applications", "pixels", "features", "parameters", "weights"),
        (
            (
                name, row.architecture + "".join(f" {key}={value}" for key, value in row.arguments.items()),
                str(row.image_size), str(row.feature_dim), f"{row.params:,}",
                "imagenet, noisy-student" if row.noisy_student else "imagenet",
            )
            for name, row in BACKBONES.items()
        ),
        right=("pixels", "features", "parameters"),
    )  # fmt: skip
    print("\nName several with +, as in mobilenet_v2+densenet121, to join the features of all.")


def list_methods() -> None:
    """Print the rows of `METHODS` with the settings that `--set` takes."""
    show(
        ("method", "what it does", "settings (--set METHOD.FIELD=VALUE)"),
        (
            (
                name,
                row.summary,
                " ".join(f"{field}={info.default}" for field, info in row.settings.model_fields.items()),
            )
            for name, row in METHODS.items()
        ),
    )


def list_datasets() -> None:
    """Print the rows of `DATASETS`."""
    show(("reader", "what it recognises"), ((name, row.layout) for name, row in DATASETS.items()))


def list_metrics() -> None:
    """Print the measures in the leaderboard's columns."""
    show(("metric", "meaning"), METRICS.items())


LISTS = {
    "backbones": list_backbones,
    "methods": list_methods,
    "datasets": list_datasets,
    "metrics": list_metrics,
}


def print_lists(what: str | None) -> None:
    """Print one of the tables, or all of them.

    Raises:
        SteelbenchError: if there is no table of that name.
    """
    for name in [choose("list", what, LISTS)] if what else LISTS:
        if what is None:
            print(f"\n{name.upper()}")
        LISTS[name]()
