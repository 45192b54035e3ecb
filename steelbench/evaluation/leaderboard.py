"""From run records to `leaderboard.csv` and `results.json`: a row for each name, over its seeds and folds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.csv_files import write_csv
from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import ERRORS_FILE, write_errors
from steelbench.evaluation.errors import find_errors
from steelbench.evaluation.metrics import learn_dependences, naive_accuracy, row_scores
from steelbench.evaluation.notices import result_notices
from steelbench.evaluation.outcome import RunOutcome
from steelbench.evaluation.predictions import RowPredictions, gather, read_groups
from steelbench.evaluation.ranking import judge
from steelbench.evaluation.robustness import read_robustness
from steelbench.evaluation.statistics.dependence import Dependence
from steelbench.evaluation.trust import describe_trust
from steelbench.files import write_json
from steelbench.records import (
    Comparison,
    Cost,
    Robustness,
    Row,
    RowDetail,
    RunKey,
    RunRecord,
    ShareScore,
    Summary,
    Trust,
    UnknownRecord,
    cost_file,
    read_record,
    read_unknown,
)

COLUMNS = (
    "backbone", "method", "variant", "weights", "status", "reason", "accuracy", "accuracy_low", "accuracy_high",
    "macro_f1", "n_test", "engine", "precision", "params", "model_bytes", "seconds", "image_size",
    "validation_accuracy", "verified_images", "verified_difference", "verified_classes_changed",
    "macro_f1_low", "macro_f1_high", "balanced_accuracy", "n_effective", "tied", "p_value", "naive_accuracy", "model",
    "escape", "escape_low", "escape_high", "overkill", "overkill_low", "overkill_high",
)  # fmt: skip
# Steps that all runs of a backbone share; they count once.
SHARED = ("load", "features")
# A run that failed, and why.
Failure = tuple[RunKey, str]


def assemble(results: Path, outcome: RunOutcome) -> Summary:
    """Read every run, write `leaderboard.csv`, `errors.csv` and, unless it is whole, `results.json`.

    Images that share pixels, as `audit/groups.csv` says, are no independent evidence: intervals and comparisons go by
    groups. Without that file every image is its own group.

    Args:
        results: the results folder.
        outcome: what the run records do not hold.

    Raises:
        SteelbenchError: if a record, a `predictions.csv` or `groups.csv` is damaged.
    """
    groups, split, failed = read_groups(results), outcome.split, _by_row(outcome.failures)
    runs = _read_runs(results)
    if outcome.kept is not None:
        _write_tables(results, outcome.kept, runs)
        return outcome.kept
    expected = split.seeds * split.folds
    rows, answers, dependences = _read_rows(results, runs, expected, groups, failed, outcome.none_class)
    named = {row.name for row in rows}
    rows += [_lost_row(lost, outcome.weights) for name, lost in failed.items() if name not in named]
    rows.sort(key=lambda row: (row.status == "failed", -(row.accuracy or 0.0), -(row.macro_f1 or 0.0), row.name))
    rows, judgement = judge(rows, answers, groups, dependences)
    summary = Summary(
        dataset=outcome.dataset,
        split=split,
        rows=rows,
        warnings=[*outcome.notices, *result_notices(rows, split)],
        silenced=list(outcome.silenced),
        judgement=Comparison(**judgement),
        none_class=outcome.none_class,
    )
    write_json(results / "results.json", summary)
    _write_tables(results, summary, runs)
    return summary


def _write_tables(results: Path, summary: Summary, runs: Mapping[str, list[RunRecord]]) -> None:
    """Write `leaderboard.csv` and `errors.csv`, which hold nothing that summary and runs do not."""
    _write_csv(results / "leaderboard.csv", summary.rows)
    compared = [row.name for row in summary.rows if row.trust is not None]
    write_errors(results / ERRORS_FILE, find_errors(results, {name: runs[name] for name in compared}))


def _read_runs(results: Path) -> dict[str, list[RunRecord]]:
    """Return the records of every run that was written, by the name of its row."""
    runs: dict[str, list[RunRecord]] = defaultdict(list)
    for path in sorted((results / "runs").glob("*/result.json")):
        record = read_record(path, RunRecord)
        runs[record.name].append(record)
    return runs


def _read_rows(
    results: Path,
    runs: Mapping[str, list[RunRecord]],
    expected: int,
    groups: dict[str, str],
    failed: dict[str, list[Failure]],
    none_class: str,
) -> tuple[list[Row], dict[str, RowPredictions], dict[str, Dependence]]:
    """Return a row for each name of which a run was written; answers of the finished ones, and their dependences."""
    finished = {name: own for name, own in runs.items() if name not in failed and len(own) >= expected}
    answers = {name: gather(results, records) for name, records in finished.items()}
    # Untrained networks err as baselines do: often, and for other reasons than the rest.
    apart = [name for name, records in finished.items() if records[0].backbone == "none" or _is_untrained(records[0])]
    dependences = learn_dependences(answers, groups, apart)
    rows = [
        _finished_row(
            records,
            row_scores(answers[name], records[0].classes, groups, dependences[name], none_class),
            trust=None if name in apart else describe_trust(results, records, records[0].classes, groups, none_class),
            cost=_read_cost(results, records),
            unknown=_read_unknown(results, records),
            robustness=read_robustness(results, records),
        )
        if name in finished
        else _unfinished_row(records, failed.get(name, []), expected)
        for name, records in runs.items()
    ]
    return rows, answers, dependences


def _by_row(failures: Mapping[RunKey, str]) -> dict[str, list[Failure]]:
    """Group failures by leaderboard row."""
    failed: dict[str, list[Failure]] = defaultdict(list)
    for key, reason in failures.items():
        failed[key.name].append((key, reason))
    return failed


def _lost_row(failed: list[Failure], weights: dict[str, str]) -> Row:
    """Return the row of an experiment of which no run was finished."""
    key, _ = failed[0]
    return Row(
        name=key.name,
        backbone=key.backbone,
        method=key.method,
        variant=key.variant,
        weights=weights.get(key.backbone, ""),
        status="failed",
        reason=_reason(failed),
    )


def _reason(failed: list[Failure]) -> str:
    key, first = failed[0]
    return first if len(failed) == 1 else f"{len(failed)} runs failed, {key.run_name}: {first}"


def _unfinished_row(records: list[RunRecord], failed: list[Failure], expected: int) -> Row:
    reason = _reason(failed) if failed else f"unfinished: {len(records)} of {expected} runs"
    return Row(**_what_ran(records), status="failed", reason=reason)


def _read_cost(results: Path, records: list[RunRecord]) -> Cost | None:
    """Return what the saved model costs; None where that was not measured, or on another run's model."""
    try:
        cost = read_record(cost_file(results, records[0].name), Cost)
    except SteelbenchError:
        # Costs count for nothing in the comparison: the leaderboard is written without them.
        return None
    return cost if cost.fingerprint in {record.fingerprint for record in records} else None


def _read_unknown(results: Path, records: list[RunRecord]) -> UnknownRecord | None:
    first = _first(records)
    return read_unknown(results, first.name, first.fingerprint)


def _finished_row(
    records: list[RunRecord],
    scores: dict[str, Any],
    *,
    trust: Trust | None,
    cost: Cost | None,
    unknown: UnknownRecord | None,
    robustness: Robustness | None,
) -> Row:
    return Row(
        **_what_ran(records),
        **scores,
        status="done",
        validation_accuracy=_mean(records, "validation"),
        train_accuracy=_mean(records, "train"),
        naive_accuracy=naive_accuracy(records),
        trust=trust,
        cost=cost,
        unknown=unknown,
        robustness=robustness,
    )


def _first(records: list[RunRecord]) -> RunRecord:
    return min(records, key=lambda record: (record.seed, record.fold))


def _what_ran(records: list[RunRecord]) -> dict[str, Any]:
    first = _first(records)
    return {
        "name": first.name, "backbone": first.backbone, "method": first.method, "variant": first.variant,
        "untrained": _is_untrained(first),
        "weights": first.weights.kind, "engine": first.engine, "precision": first.precision,
        "params": first.params, "image_size": first.image_size or None, "model": first.model,
        "model_bytes": first.model_bytes, "verification": first.verification,
        "runs": [record.run_name for record in records], "seconds": _seconds(records),
        "detail": RowDetail(seconds=_steps(records), weights=first.weights, notes=first.notes),
    }  # fmt: skip


def _is_untrained(record: RunRecord) -> bool:
    """Return whether the backbone has random weights that no method trained."""
    return record.weights.kind == "random" and record.settings.get("trainable") != "all"


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
    write_csv(path, COLUMNS, map(_cells, rows))


def _cells(row: Row) -> list[Any]:
    checked, sound = row.verification, row.sound
    values = {
        **row.model_dump(),
        "verified_images": checked and checked.images,
        "verified_difference": checked and f"{checked.max_difference:.2g}",
        "verified_classes_changed": checked and checked.classes_changed,
        **_limits("escape", sound.escape if sound else None),
        **_limits("overkill", sound.overkill if sound else None),
    }
    return [_cell(values[name]) for name in COLUMNS]


def _limits(name: str, score: ShareScore | None) -> dict[str, float | None]:
    values = (score.share, score.low, score.high) if score else (None, None, None)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else value
