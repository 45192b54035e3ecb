"""Tables on standard output: the leaderboard, and what `steelbench list` knows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from steelbench.data.datasets import DATASETS
from steelbench.errors import choose
from steelbench.experiment import METHODS
from steelbench.models.backbones import BACKBONES
from steelbench.results import Summary

METRICS = {
    "accuracy": "share of test images whose class is right; mean over seeds of the pooled out-of-fold accuracy",
    "accuracy_low, accuracy_high": "its 95 % interval (Wilson 1927)",
    "macro_f1": "mean over classes of the harmonic mean of precision and recall",
    "precision, recall, f1": "per class, in results.json and the report",
}


def show(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a plain table; on a pipe nothing is cut off."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 250)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Names come from folders; rich must not read them as markup.
        table.add_row(*map(Text, row))
    console.print(table)


def print_leaderboard(summary: Summary) -> None:
    """The leaderboard in short, warnings first."""
    for notice in summary.warnings:
        print(f"steelbench: {notice.level}: {notice.row + ': ' if notice.row else ''}{notice.text}", file=sys.stderr)
    show(
        ("backbone", "method", "variant", "weights", "accuracy", "95 % interval", "macro-F1", "n", "seconds"),
        (
            (row.backbone, row.method, row.variant, row.weights, "failed", "", "", "", "")
            if row.status == "failed"
            else (
                row.backbone, row.method, row.variant, row.weights, f"{row.accuracy or 0:.2%}",
                f"{row.accuracy_low or 0:.2%} to {row.accuracy_high or 0:.2%}", f"{row.macro_f1 or 0:.3f}",
                str(row.n_test), f"{row.seconds or 0:.0f}",
            )
            for row in summary.rows
        ),
        right=("accuracy", "macro-F1", "n", "seconds"),
    )  # fmt: skip
    for row in summary.rows:
        if row.status == "failed":
            print(f"steelbench: {row.name} failed: {row.reason}", file=sys.stderr)


def list_backbones() -> None:
    """The rows of `BACKBONES`."""
    show(
        ("backbone", "keras.applications", "pixels", "features", "parameters", "weights"),
        (
            (
                name, row.constructor + "".join(f" {key}={value}" for key, value in row.arguments.items()),
                str(row.image_size), str(row.feature_dim), f"{row.params:,}",
                "imagenet, noisy-student" if row.noisy_student else "imagenet",
            )
            for name, row in BACKBONES.items()
        ),
        right=("pixels", "features", "parameters"),
    )  # fmt: skip


def list_methods() -> None:
    """The rows of `METHODS` with the settings that `--set` takes."""
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
    """The rows of `DATASETS`."""
    show(("reader", "what it recognises"), ((name, row.layout) for name, row in DATASETS.items()))


def list_metrics() -> None:
    """The columns of the leaderboard that measure."""
    show(("metric", "meaning"), METRICS.items())


LISTS = {
    "backbones": list_backbones,
    "methods": list_methods,
    "datasets": list_datasets,
    "metrics": list_metrics,
}


def print_lists(what: str | None) -> None:
    """One of the tables, or all."""
    for name in [choose("list", what, LISTS)] if what else LISTS:
        if what is None:
            print(f"\n{name.upper()}")
        LISTS[name]()
