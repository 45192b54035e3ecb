"""From run records to `leaderboard.csv` and `results.json`: a row for each name, over its seeds and folds."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.evaluation.notices import doubts
from steelbench.results import (
    ClassScore,
    Notice,
    Row,
    RunRecord,
    Summary,
    read_record,
    whole_file,
    write_json,
)

COLUMNS = (
    "backbone", "method", "variant", "weights", "status", "reason", "accuracy", "accuracy_low", "accuracy_high",
    "macro_f1", "n_test", "engine", "precision", "params", "model_bytes", "seconds", "image_size",
    "validation_accuracy", "verified_images", "verified_difference", "verified_classes_changed", "model",
)  # fmt: skip
# Steps that all runs of a backbone share; they count once.
SHARED = ("load", "features")


def read_predictions(path: Path, classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Paths, true and predicted class numbers of a `predictions.csv`.

    Raises:
        SteelbenchError: if it is missing or names unknown classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["path"], number[row["label"]], number[row["predicted"]]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise SteelbenchError(
            f"{path} is missing or damaged ({error}); run the same command with --force to make it anew."
        ) from None
    paths, truth, predicted = zip(*rows, strict=True) if rows else ((), (), ())
    return list(paths), np.array(truth, np.int64), np.array(predicted, np.int64)


def assemble(
    results: Path,
    dataset: dict[str, Any],
    split: dict[str, Any],
    failures: dict[str, str],
    notices: Sequence[Notice],
    weights: dict[str, str],
) -> Summary:
    """Read every run, write `leaderboard.csv` and `results.json`.

    Args:
        results: the results folder.
        dataset: as in `Summary`.
        split: as in `Summary`.
        failures: reason by run name, for runs that failed just now.
        notices: what came up before and while training.
        weights: kind of weights by backbone, for rows of which every run failed.
    """
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for path in sorted((results / "runs").glob("*/result.json")):
        record = read_record(path, RunRecord)
        runs[record.name].append(record)
    failed: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for run_name, reason in failures.items():
        failed[run_name.rsplit("-s", 1)[0]].append((run_name, reason))
    expected = split["seeds"] * split["folds"]
    rows = [_row(results, records, failed.pop(name, []), expected) for name, records in runs.items()]
    rows += [_lost_row(name, reasons, weights) for name, reasons in failed.items()]
    rows.sort(key=lambda row: (row.status == "failed", -(row.accuracy or 0.0), -(row.macro_f1 or 0.0), row.name))
    summary = Summary(dataset=dataset, split=split, rows=rows, warnings=[*notices, *doubts(rows, split)])
    write_json(results / "results.json", summary)
    _write_csv(results / "leaderboard.csv", rows)
    return summary


def _lost_row(name: str, reasons: list[tuple[str, str]], weights: dict[str, str]) -> Row:
    backbone, method, *variant = name.split("-", 2)
    return Row(
        name=name, backbone=backbone, method=method, variant="".join(variant), weights=weights.get(backbone, ""),
        status="failed", reason=_reasons(reasons),
    )  # fmt: skip


def _reasons(reasons: list[tuple[str, str]]) -> str:
    first = reasons[0][1]
    return first if len(reasons) == 1 else f"{len(reasons)} runs failed, {reasons[0][0]}: {first}"


def _row(results: Path, records: list[RunRecord], reasons: list[tuple[str, str]], expected: int) -> Row:
    first = min(records, key=lambda record: (record.seed, record.fold))
    common: dict[str, Any] = {
        "name": first.name, "backbone": first.backbone, "method": first.method, "variant": first.variant,
        "weights": first.weights.get("kind", ""), "engine": first.engine, "precision": first.precision,
        "params": first.params, "image_size": first.image_size or None, "model": first.model,
        "model_bytes": first.model_bytes, "verification": first.verification,
        "runs": [record.run_name for record in records], "seconds": _seconds(records),
        "detail": {"seconds": _steps(records), "weights": first.weights, "notes": first.notes},
    }  # fmt: skip
    if reasons or len(records) < expected:
        missing = _reasons(reasons) if reasons else f"unfinished: {len(records)} of {expected} runs"
        return Row(**common, status="failed", reason=missing)
    return Row(**common, status="done", **_scores(results, records))


def _steps(records: list[RunRecord]) -> dict[str, float]:
    steps: dict[str, float] = defaultdict(float)
    for record in records:
        for name, value in record.seconds.items():
            steps[name] = max(steps[name], value) if name in SHARED else steps[name] + value
    return dict(steps)


def _seconds(records: list[RunRecord]) -> float:
    return round(sum(_steps(records).values()), 3)


def _scores(results: Path, records: list[RunRecord]) -> dict[str, Any]:
    from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support
    from statsmodels.stats.proportion import proportion_confint

    classes = records[0].classes
    every = range(len(classes))
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    accuracies, f1, images = [], [], set()
    all_truth, all_predicted = [], []
    for seed in sorted({record.seed for record in records}):
        pooled = [_predictions(results, record) for record in records if record.seed == seed]
        truth = np.concatenate([part[1] for part in pooled])
        predicted = np.concatenate([part[2] for part in pooled])
        images |= {path for part in pooled for path in part[0]}
        accuracies.append(np.mean(truth == predicted))
        f1.append(f1_score(truth, predicted, labels=every, average="macro", zero_division=0))
        confusion += confusion_matrix(truth, predicted, labels=every)
        all_truth.append(truth)
        all_predicted.append(predicted)
    accuracy = float(np.mean(accuracies))
    low, high = proportion_confint(accuracy * len(images), len(images), method="wilson")
    parts = precision_recall_fscore_support(
        np.concatenate(all_truth), np.concatenate(all_predicted), labels=every, zero_division=0
    )
    return {
        "accuracy": accuracy,
        # Rounding may put the limits on the wrong side of 0, 1 or the value itself.
        "accuracy_low": min(max(float(low), 0.0), accuracy),
        "accuracy_high": max(min(float(high), 1.0), accuracy),
        "macro_f1": float(np.mean(f1)),
        "n_test": len(images),
        "validation_accuracy": _mean(records, "validation"),
        "train_accuracy": _mean(records, "train"),
        "confusion": confusion.tolist(),
        "per_class": [
            ClassScore(name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n))
            for name, p, r, f, n in zip(classes, *parts, strict=True)
        ],
    }


def _predictions(results: Path, record: RunRecord) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    path = results / "runs" / record.run_name / "predictions.csv"
    found = read_predictions(path, record.classes)
    if len(found[0]) != record.n_test:
        raise SteelbenchError(
            f"{path} has {len(found[0])} lines, its record says {record.n_test} test images; run the same command with "
            "--force to make it anew."
        )
    return found


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
    return f"{value:.6g}" if isinstance(value, float) else value
