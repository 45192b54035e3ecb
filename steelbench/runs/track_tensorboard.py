"""Write TensorBoard's event files of finished runs into `RESULTS/tensorboard`. No TensorFlow."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from steelbench.files import whole_file
from steelbench.runs.tracking import Curve, TrackedRun

FOLDER = "tensorboard"
# TensorBoard takes a file for its own by this word.
FILE = "events.out.tfevents.0000000000.steelbench"
# Keras's names of what `history.csv` has, so that curves stand where they stood while the run trained.
VALIDATION = "val_"


def send(results: Path, _experiment: str, runs: Sequence[TrackedRun]) -> None:
    """Write the numbers of each run, with its settings as hyperparameters; the same records give the same bytes.

    What Keras wrote while a run trained goes: the records have the same curves.

    Args:
        results: the results folder.
        _experiment: its name, which TensorBoard does not need.
        runs: rows and runs.
    """
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    for run in runs:
        folder = results / FOLDER / run.name
        shutil.rmtree(folder, ignore_errors=True)
        settings = hparams_pb(run.params, trial_id=run.name, start_time_secs=run.finished)
        _write(folder / FILE, run.finished, [(0, settings), *((0, (name, own)) for name, own in run.metrics.items())])
        for part, points in _by_part(run.curves).items():
            _write(folder / part / FILE, run.finished, points)


def _by_part(curves: Sequence[Curve]) -> dict[str, list[tuple[int, Any]]]:
    parts: dict[str, list[tuple[int, Any]]] = {}
    for curve in curves:
        part = "validation" if curve.name.startswith(VALIDATION) else "train"
        where = part if curve.last else f"{curve.stage}/{part}"
        tag = f"epoch_{curve.name.removeprefix(VALIDATION)}"
        parts.setdefault(where, []).extend((epoch, (tag, value)) for epoch, value in curve.points)
    return parts


def _write(path: Path, when: float, values: Iterable[tuple[int, Any]]) -> None:
    """Write an event file; a value is (step, (tag, number)) or (step, a summary)."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    with whole_file(path) as temporary, temporary.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=when, file_version="brain.Event:2").SerializeToString())
        for step, value in values:
            if isinstance(value, tuple):
                value = Summary(value=[Summary.Value(tag=value[0], simple_value=value[1])])
            writer.write(Event(wall_time=when, step=step, summary=value).SerializeToString())
