"""Send the numbers of a results folder to a tracker (`--track`): a pure function of its records. No TensorFlow."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import pkgutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from steelbench.csv_files import read_csv
from steelbench.errors import SteelbenchError
from steelbench.notices import notice
from steelbench.records import Notice, Row, RunRecord, ShareScore, Summary, read_record

# Tracker -> the function that sends. The module that it needs, and the extra of setup.cfg, are called like the tracker.
TRACKERS = {
    "tensorboard": "steelbench.runs.track_tensorboard:send",
    "mlflow": "steelbench.runs.track_mlflow:send",
}
CURVES = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
# The last stage of a method, which classifies, writes this file.
LAST_HISTORY = "history.csv"
ROW_METRICS = (
    "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "macro_f1_low", "macro_f1_high", "balanced_accuracy",
    "validation_accuracy", "train_accuracy", "naive_accuracy", "p_value", "n_test", "n_effective", "params",
    "model_bytes", "seconds",
)  # fmt: skip
LONGEST = 500


@dataclass(frozen=True)
class Curve:
    """A column of a history: the name of the stage, whether it is the last one, and (epoch, value) pairs."""

    stage: str
    last: bool
    name: str
    points: list[tuple[int, float]]


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker gets of a row of the leaderboard, or of one of its runs.

    Attributes:
        name: of the row or the run; no two have the same.
        row: name of the row that a run belongs to; "" for a row.
        finished: seconds since 1970, when its record was written.
        seconds: that it took.
        params: what was set.
        metrics: what came out, shares in 0..1.
        tags: what it is, and where its model lies.
        curves: of the run's stages.
    """

    name: str
    row: str
    finished: float
    seconds: float
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    curves: list[Curve] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """Return the digest of everything that a tracker gets."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


def refuse_missing(tracker: str) -> None:
    """Refuse a tracker whose package is not installed.

    Raises:
        SteelbenchError: says what to install.
    """
    if tracker in TRACKERS and importlib.util.find_spec(tracker) is None:
        raise SteelbenchError(
            f"--track {tracker} needs the package {tracker}, which is not installed; "
            f"pip install 'steelbench[{tracker}]', or leave --track out."
        )


def track(results: Path, summary: Summary, tracker: str) -> Notice | None:
    """Send every finished row and its runs to a tracker; what it has already stays, what changed is replaced.

    Args:
        results: the results folder.
        summary: its `results.json`.
        tracker: off, tensorboard or mlflow.

    Returns:
        A notice if the tracker failed: results never depend on it.
    """
    if tracker not in TRACKERS:
        return None
    try:
        send = pkgutil.resolve_name(TRACKERS[tracker])
        send(results, summary.dataset.name or "steelbench", list(tracked_runs(results, summary)))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        return notice("SB601", tracker=tracker, reason=f"{type(error).__name__}: {reason}".rstrip(": ")[:LONGEST])
    return None


def tracked_runs(results: Path, summary: Summary) -> Iterator[TrackedRun]:
    """Yield each finished row, and after it its runs.

    Raises:
        SteelbenchError: if a run's record is missing or damaged.
    """
    for row in summary.rows:
        if row.status != "done":
            continue
        paths = [results / "runs" / Path(name).name / "result.json" for name in row.runs]
        runs = [(read_record(path, RunRecord), path.stat().st_mtime) for path in paths]
        yield _row(results, row, runs)
        for record, finished in runs:
            yield _run(results, row, record, finished)


def _row(results: Path, row: Row, runs: list[tuple[RunRecord, float]]) -> TrackedRun:
    shared = _settings(runs[0][0]) if runs else {}
    sound = row.sound
    more = {
        **_limits("escape", sound.escape if sound else None),
        **_limits("overkill", sound.overkill if sound else None),
        "calibration_error": row.trust and row.trust.calibration_error,
    }
    return TrackedRun(
        name=row.name,
        row="",
        finished=max((finished for _, finished in runs), default=0.0),
        seconds=row.seconds or 0.0,
        params=shared | {"runs": str(len(runs))},
        metrics=_numbers({name: getattr(row, name) for name in ROW_METRICS} | more),
        tags=_tags(results, row, row.model),
    )


def _run(results: Path, row: Row, record: RunRecord, finished: float) -> TrackedRun:
    parts = {f"{part}_{name}": value for part, own in record.metrics.items() for name, value in own.items()}
    steps = {f"seconds_{step.replace(' ', '_')}": value for step, value in record.seconds.items()}
    return TrackedRun(
        name=record.run_name,
        row=row.name,
        finished=finished,
        seconds=sum(record.seconds.values()),
        params=_settings(record) | {"seed": str(record.seed), "fold": str(record.fold)},
        metrics=_numbers(parts | steps),
        tags=_tags(results, row, record.model),
        curves=_curves(results / "runs" / record.run_name, record),
    )


def _settings(record: RunRecord) -> dict[str, str]:
    names = ("backbone", "method", "variant", "image_size", "augment", "homogenize", "engine", "precision")
    numbers = ("n_train", "n_validation", "n_test")
    own = {name: getattr(record, name) for name in (*names, *numbers)} | {"weights": record.weights.kind}
    return {name: str(value)[:LONGEST] for name, value in (own | record.settings).items() if value not in ("", None)}


def _tags(results: Path, row: Row, model: str | None) -> dict[str, str]:
    tags = {"backbone": row.backbone, "method": row.method, "variant": row.variant, "model": model or ""}
    if row.untrained:
        tags["untrained"] = "true"
    return {name: value for name, value in tags.items() if value} | {"results": str(results.resolve())}


def _limits(name: str, score: ShareScore | None) -> dict[str, float | None]:
    return {name: score.share, f"{name}_low": score.low, f"{name}_high": score.high} if score else {}


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _curves(folder: Path, record: RunRecord) -> list[Curve]:
    """Return the curves of a run's stages; a history that cannot be read has none."""
    found = []
    for stage in record.stages:
        try:
            lines = read_csv(folder / Path(stage.history).name)
            for name in CURVES:
                points = [(int(float(line["epoch"])), float(line[name])) for line in lines if line.get(name)]
                points = [(epoch, value) for epoch, value in points if math.isfinite(value)]
                if points:
                    found.append(Curve(stage.name, stage.history == LAST_HISTORY, name, points))
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            continue
    return found
