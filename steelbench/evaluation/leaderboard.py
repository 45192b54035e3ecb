"""From run records to `leaderboard.csv` and `results.json`: a row for each name, over its seeds and folds."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.evaluation.metrics import learn_dependences, naive_accuracy, row_scores
from steelbench.evaluation.notices import doubts
from steelbench.evaluation.predictions import RowPredictions, gather, read_groups
from steelbench.evaluation.ranking import judge
from steelbench.evaluation.statistics.dependence import Dependence
from steelbench.files import whole_file, write_json
from steelbench.records import Notice, Row, RunRecord, Summary, read_record

COLUMNS = (
    "backbone", "method", "variant", "weights", "status", "reason", "accuracy", "accuracy_low", "accuracy_high",
    "macro_f1", "n_test", "engine", "precision", "params", "model_bytes", "seconds", "image_size",
    "validation_accuracy", "verified_images", "verified_difference", "verified_classes_changed",
    "macro_f1_low", "macro_f1_high", "balanced_accuracy", "n_effective", "tied", "p_value", "naive_accuracy", "model",
)  # fmt: skip
# Steps that all runs of a backbone share; they count once.
SHARED = ("load", "features")


def assemble(
    results: Path,
    dataset: dict[str, Any],
    split: dict[str, Any],
    failures: dict[str, str],
    notices: Sequence[Notice],
    weights: dict[str, str],
) -> Summary:
    """Read every run, write `leaderboard.csv` and `results.json`.

    Images that share pixels, as `audit/groups.csv` says, are no independent evidence: intervals and comparisons go by
    groups. Without that file every image is its own group.

    Args:
        results: the results folder.
        dataset: as in `Summary`.
        split: as in `Summary`.
        failures: reason by run name, for runs that failed just now.
        notices: what came up before and while training.
        weights: kind of weights by backbone, for rows of which every run failed.

    Raises:
        SteelbenchError: if a record, a `predictions.csv` or `groups.csv` is damaged.
    """
    groups = read_groups(results)
    rows, answers, dependences = _read_rows(results, split["seeds"] * split["folds"], groups, failures)
    named = {row.name for row in rows}
    rows += [_lost_row(name, lost, weights) for name, lost in _by_row(failures).items() if name not in named]
    rows.sort(key=lambda row: (row.status == "failed", -(row.accuracy or 0.0), -(row.macro_f1 or 0.0), row.name))
    rows, judgement = judge(rows, answers, groups, dependences)
    warnings = [*notices, *doubts(rows, split)]
    summary = Summary(dataset=dataset, split=split, rows=rows, warnings=warnings, judgement=judgement)
    write_json(results / "results.json", summary)
    _write_csv(results / "leaderboard.csv", rows)
    return summary


def _read_rows(
    results: Path, expected: int, groups: dict[str, str], failures: dict[str, str]
) -> tuple[list[Row], dict[str, RowPredictions], dict[str, Dependence]]:
    """Return a row for each name of which a run was written; answers of the finished ones, and their dependences."""
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for path in sorted((results / "runs").glob("*/result.json")):
        record = read_record(path, RunRecord)
        runs[record.name].append(record)
    failed = _by_row(failures)
    finished = {name: own for name, own in runs.items() if name not in failed and len(own) >= expected}
    answers = {name: gather(results, records) for name, records in finished.items()}
    baselines = [name for name, records in finished.items() if records[0].backbone == "none"]
    dependences = learn_dependences(answers, groups, baselines)
    rows = [
        _finished_row(records, row_scores(answers[name], records[0].classes, groups, dependences[name]))
        if name in finished
        else _unfinished_row(records, failed.get(name, []), expected)
        for name, records in runs.items()
    ]
    return rows, answers, dependences


def _by_row(failures: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Run names and reasons, by the row's name."""
    failed: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for run_name, reason in failures.items():
        failed[run_name.rsplit("-s", 1)[0]].append((run_name, reason))
    return failed


def _lost_row(name: str, reasons: list[tuple[str, str]], weights: dict[str, str]) -> Row:
    backbone, method, *variant = name.split("-", 2)
    return Row(
        name=name, backbone=backbone, method=method, variant="".join(variant), weights=weights.get(backbone, ""),
        status="failed", reason=_reasons(reasons),
    )  # fmt: skip


def _reasons(reasons: list[tuple[str, str]]) -> str:
    first = reasons[0][1]
    return first if len(reasons) == 1 else f"{len(reasons)} runs failed, {reasons[0][0]}: {first}"


def _unfinished_row(records: list[RunRecord], reasons: list[tuple[str, str]], expected: int) -> Row:
    reason = _reasons(reasons) if reasons else f"unfinished: {len(records)} of {expected} runs"
    return Row(**_what_ran(records), status="failed", reason=reason)


def _finished_row(records: list[RunRecord], scores: dict[str, Any]) -> Row:
    return Row(
        **_what_ran(records),
        **scores,
        status="done",
        validation_accuracy=_mean(records, "validation"),
        train_accuracy=_mean(records, "train"),
        naive_accuracy=naive_accuracy(records),
    )


def _what_ran(records: list[RunRecord]) -> dict[str, Any]:
    first = min(records, key=lambda record: (record.seed, record.fold))
    return {
        "name": first.name, "backbone": first.backbone, "method": first.method, "variant": first.variant,
        "weights": first.weights.get("kind", ""), "engine": first.engine, "precision": first.precision,
        "params": first.params, "image_size": first.image_size or None, "model": first.model,
        "model_bytes": first.model_bytes, "verification": first.verification,
        "runs": [record.run_name for record in records], "seconds": _seconds(records),
        "detail": {"seconds": _steps(records), "weights": first.weights, "notes": first.notes},
    }  # fmt: skip


def _steps(records: list[RunRecord]) -> dict[str, float]:
    steps: dict[str, float] = defaultdict(float)
    for record in records:
        for name, value in record.seconds.items():
            steps[name] = max(steps[name], value) if name in SHARED else steps[name] + value
    return dict(steps)


def _seconds(records: list[RunRecord]) -> float:
    return round(sum(_steps(records).values()), 3)


def _mean(records: list[RunRecord], part: str) -> float | None:
    found = [record.metrics[part]["accuracy"] for record in records]
    values = [value for value in found if value is not None]
    return float(np.mean(values)) if values else None


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            checked = row.verification
            values = {
                **row.model_dump(),
                "verified_images": checked and checked.images,
                "verified_difference": checked and f"{checked.max_difference:.2g}",
                "verified_classes_changed": checked and checked.classes_changed,
            }
            writer.writerow(_cell(values[name]) for name in COLUMNS)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else value
