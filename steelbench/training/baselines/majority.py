"""Rows that need no network: how they are written, and the one that everything is held against, the majority class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.data.inspection import Inspection
from steelbench.data.splits import Split
from steelbench.evaluation.metrics import score
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.records import RunRecord


def run_majority(results: Path, inspection: Inspection, splits: dict[tuple[int, int], Split]) -> None:
    """Write the run `none-majority` of every seed and fold: the training images' class shares as probabilities.

    Args:
        results: the results folder.
        inspection: the images.
        splits: by seed and fold.
    """
    labels = inspection.labels
    for (seed, fold), split in splits.items():
        shares = np.bincount(labels[split.train], minlength=len(inspection.classes)) / len(split.train)
        probabilities = np.tile(shares.astype(np.float32), (len(labels), 1))
        write_run(
            results, inspection, split, probabilities, method="majority", seed=seed, fold=fold, settings={},
            fingerprint="majority", image_size=0, params=0, seconds={},
        )  # fmt: skip


def write_run(
    results: Path, inspection: Inspection, split: Split, probabilities: NDArray[np.float32], **more: Any
) -> None:
    """Write the predictions and, last, the record of a run without a network.

    Args:
        results: the results folder.
        inspection: the images.
        split: the parts of the run.
        probabilities: float32 [N, C] of all images.
        more: the fields of `RunRecord` that are the method's own.
    """
    classes, labels = list(inspection.classes), inspection.labels
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    record = RunRecord(
        backbone="none", classes=classes, weights={"kind": "none"}, engine="", precision="",
        n_train=len(split.train), n_validation=len(split.validation), n_test=len(split.test),
        metrics={part: score(probabilities[rows], labels[rows], len(classes)) for part, rows in parts.items()},
        **more,
    )  # fmt: skip
    folder = results / "runs" / record.run_name
    paths = [inspection.images[row].sample.path for row in split.test]
    truth = [classes[labels[row]] for row in split.test]
    write_predictions(folder / "predictions.csv", paths, truth, probabilities[split.test], classes)
    write_json(folder / "result.json", record)
