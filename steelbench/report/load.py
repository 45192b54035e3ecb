"""Read a results folder into the plain values that the report is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from steelbench.csv_files import read_csv
from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import DOSSIERS
from steelbench.files import file_digest, read_json
from steelbench.records import LabelEfficiency, Row, RunRecord, Summary, read_label_efficiency, read_record
from steelbench.report.formatting import is_majority, is_untrained
from steelbench.report.hard_images import HardImage, Thumbnails, read_hard_images, read_thumbnails
from steelbench.runs.intact import changed

if TYPE_CHECKING:
    from steelbench.report.figures.embeddings import EmbeddedRow
    from steelbench.report.looked_at import LookedAt

# The last stage, which classifies, writes this file; earlier ones write `history-<stage>.csv`.
LAST_HISTORY = "history.csv"
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
# Runs of a row, that is seeds times folds, whose histories are drawn as one band.
MOST_RUNS = 30
# Of a history, which has a line for each epoch, and of the list of images that are not used.
MOST_LINES = 20_000
# Of `config.json` and `environment.json`.
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class History:
    """The epochs of one stage of one row, seed 0, fold 0, and those of its other seeds and folds.

    Attributes:
        row: the row.
        stage: the name of the stage.
        last: whether it is the stage that classifies.
        best_epoch: the epoch that validation chose, counted from 1.
        epochs: their numbers.
        curves: a number for each epoch, by the names in `CURVES`; NaN where none was written.
        others: the same stage of the row's other seeds and folds.
    """

    row: Row
    stage: str
    last: bool
    best_epoch: int
    epochs: list[float]
    curves: dict[str, list[float]]
    others: tuple[History, ...] = ()

    @property
    def runs(self) -> tuple[History, ...]:
        """Return the histories of all seeds and folds, that of seed 0, fold 0 first."""
        return (self, *self.others)


@dataclass(frozen=True)
class Records:
    """The contents of a results folder; None where a file could not be read, which the page then says.

    Attributes:
        summary: of `results.json`.
        config: of `config.json`.
        environment: of `environment.json`.
        skipped: path and reason of the unreadable images.
        hard: images that are answered wrongly, those that most rows fail on first.
        thumbnails: of the images that the page shows.
        looked_at: where rows looked on the images that have a dossier.
        unused: path and reason of the files that were left out, of as many as the table lists.
        histories: of the ranked rows.
        embedded: of the ranked rows.
        mill_examples: the folder with one image under each corruption.
        efficiencies: of the backbones of ranked rows, what more labelled images bring.
    """

    summary: Summary
    config: dict[str, JsonValue] | None
    environment: dict[str, JsonValue] | None
    skipped: list[tuple[str, str]] | None
    hard: list[HardImage] | None
    thumbnails: Thumbnails
    looked_at: LookedAt
    unused: list[tuple[str, str]] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    embedded: list[EmbeddedRow] = field(default_factory=list)
    mill_examples: Path | None = None
    efficiencies: list[LabelEfficiency] = field(default_factory=list)

    @property
    def models(self) -> list[Row]:
        """Return the finished rows that are ranked, best first: no majority class, no untrained backbone."""
        return [row for row in self._finished if not is_untrained(row)]

    @property
    def untrained(self) -> list[Row]:
        """Return the finished rows whose backbone has random weights; they are shown, and never ranked."""
        return [row for row in self._finished if is_untrained(row)]

    @property
    def _finished(self) -> list[Row]:
        done = [row for row in self.summary.rows if row.status == "done" and row.accuracy is not None]
        return [row for row in done if not is_majority(row)]

    @property
    def majority(self) -> Row | None:
        """Return the row of the majority class, None if it has no accuracy."""
        return next((row for row in self.summary.rows if is_majority(row) and row.accuracy is not None), None)


def load(results: Path) -> Records:
    """Read a results folder; only `results.json` must be there and whole.

    Raises:
        SteelbenchError: if `results.json` is missing or broken.
    """
    # Imported here, because NumPy and Matplotlib are slow to import and `steelbench --help` needs neither.
    from steelbench.report.figures.embeddings import read_embedded_rows
    from steelbench.report.looked_at import read_looked_at

    broken = set(changed(results))
    if "results.json" in broken:
        raise SteelbenchError(
            f"{results / 'results.json'} is missing, or other than when it was written; run the command that made it "
            "again, and it is made anew."
        )
    summary = read_record(results / "results.json", Summary)
    # A table that is damaged is not shown; the page says so.
    listed = None if "skipped_images.csv" in broken else _read_skipped(results / "skipped_images.csv")
    # Unreadable images and files that were left out stand in one table; the summary counts the latter by reason. A
    # last row without a path says how many more there are.
    reasons = summary.dataset.left_out
    hard = None if "errors.csv" in broken else read_hard_images(results)
    records = Records(
        summary=summary,
        config=_read_object(results / "config.json"),
        environment=None if "environment.json" in broken else _read_object(results / "environment.json"),
        hard=hard,
        thumbnails=read_thumbnails(results),
        looked_at=read_looked_at(results, (hard or [])[:DOSSIERS]),
        skipped=None if listed is None else [row for row in listed if row[0] and row[1] not in reasons],
        unused=[row for row in listed or () if row[0] and row[1] in reasons],
        mill_examples=results / "robustness" / "examples",
    )
    ranked = {row.backbone for row in records.models}
    efficiencies = [own for own in read_label_efficiency(results) if own.backbone in ranked]
    # Of the ranked rows only: untrained ones have neither curves nor maps on the page.
    histories = [history for row in records.models for history in _read_histories(results, row)]
    return replace(
        records,
        histories=histories,
        embedded=read_embedded_rows(results, records.models),
        efficiencies=efficiencies,
    )


def _read_object(path: Path) -> dict[str, JsonValue] | None:
    try:
        value = read_json(path, MOST_BYTES)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _read_table(path: Path) -> list[dict[str, str]] | None:
    try:
        return read_csv(path, most_rows=MOST_LINES, errors="replace")
    except (OSError, ValueError):
        return None


def _read_skipped(path: Path) -> list[tuple[str, str]] | None:
    table = _read_table(path)
    return None if table is None else [(line.get("path", ""), line.get("reason", "")) for line in table]


def _read_histories(results: Path, row: Row) -> list[History]:
    # Seed 0, fold 0 is the run whose model is saved.
    first = next((run for run in row.runs if run.endswith("-s0-f0")), None)
    if first is None:
        return []
    others = [_read_run(results, row, run) for run in row.runs if run != first][: MOST_RUNS - 1]
    return [
        replace(stage, others=tuple(own for run in others for own in run if own.stage == stage.stage))
        for stage in _read_run(results, row, first)
    ]


def _read_run(results: Path, row: Row, name: str) -> list[History]:
    try:
        run = read_record(results / "runs" / name / "result.json", RunRecord)
    except SteelbenchError:
        return []
    found = []
    for stage in run.stages:
        path = results / "runs" / name / Path(stage.history).name
        whole = file_digest(path) == run.digests.get(path.name, file_digest(path))
        table = _read_table(path) if whole else None
        if table:
            curves = {name: [_number(line.get(name)) for line in table] for name in CURVES}
            epochs = [_number(line.get("epoch")) for line in table]
            last = stage.history == LAST_HISTORY
            found.append(History(row, stage.name, last, stage.best_epoch, epochs, curves))
    return found


def _number(text: str | None) -> float:
    try:
        value = float(text or "nan")
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan
