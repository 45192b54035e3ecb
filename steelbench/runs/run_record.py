"""The record of one run and its predictions: how every run is written, with and without a network. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelbench.arrays import Features
from steelbench.data.splits import Split
from steelbench.evaluation.metrics import Metrics, score
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import file_digest, write_json
from steelbench.records import RunKey, RunRecord
from steelbench.runs.jobs import RunData

# What a finished run consists of beside its record.
FILES = ("predictions.csv", "history*.csv", "head.npz", "embeddings.npz", "neighbours.csv", "candidates.csv")


def describe_run(
    key: RunKey,
    data: RunData,
    split: Split,
    probabilities: Features,
    *,
    naive: Metrics | None = None,
    **fields: Any,
) -> RunRecord:
    """Return the record of a run: its name, the sizes of its split, its metrics on each part.

    Args:
        key: the run.
        data: images and classes.
        split: training, validation and test images.
        probabilities: float32 [N, C], of all images.
        naive: metrics of the same head on a random split.
        fields: the other fields of `RunRecord`.
    """
    labels, classes = data.labels, data.classes
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    metrics = {part: score(probabilities[rows], labels[rows], len(classes)) for part, rows in parts.items()}
    if naive:
        metrics["naive"] = naive
    return RunRecord(
        backbone=key.backbone,
        method=key.method,
        variant=key.variant,
        seed=key.seed,
        fold=key.fold,
        classes=classes,
        n_train=len(split.train),
        n_validation=len(split.validation),
        n_test=len(split.test),
        metrics=metrics,
        **fields,
    )


def write_run(folder: Path, record: RunRecord, data: RunData, split: Split, probabilities: Features) -> None:
    """Write `predictions.csv` of the test images and, last, `result.json`, which marks the run as finished.

    The record gets the digest of every file of the run, by which damage is found later.

    Args:
        folder: of the run.
        record: of `describe_run`.
        data: images and classes.
        split: its test images are written.
        probabilities: float32 [N, C], of all images.
    """
    labels, test = data.labels, split.test
    paths = [data.images[row].path for row in test]
    truth = [data.classes[labels[row]] for row in test]
    write_predictions(folder / "predictions.csv", paths, truth, probabilities[test], data.classes)
    files = sorted({path for pattern in FILES for path in folder.glob(pattern)})
    digests = {path.name: file_digest(path) for path in files}
    write_json(folder / "result.json", record.model_copy(update={"digests": {**digests, **record.digests}}))
