"""The row that everything is held against: always the most frequent class of the training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steelbench.data.inspection import Inspection
from steelbench.data.splits import Split
from steelbench.results import RunRecord, write_json
from steelbench.training.division import labels_of
from steelbench.training.predictions import score, write_predictions


def run_majority(results: Path, inspection: Inspection, splits: dict[tuple[int, int], Split]) -> None:
    """Write the run `none-majority` of every seed and fold: the training images' class shares as probabilities."""
    classes = list(inspection.classes)
    labels = labels_of(inspection)
    for (seed, fold), split in splits.items():
        shares = np.bincount(labels[split.train], minlength=len(classes)) / len(split.train)
        probabilities = np.tile(shares.astype(np.float32), (len(labels), 1))
        record = RunRecord(
            backbone="none", method="majority", seed=seed, fold=fold, settings={}, fingerprint="majority",
            classes=classes, n_train=len(split.train), n_validation=len(split.validation), n_test=len(split.test),
            image_size=0, weights={"kind": "none"}, engine="", precision="", params=0,
            metrics={
                part: score(probabilities[rows], labels[rows], len(classes))
                for part, rows in (("train", split.train), ("validation", split.validation), ("test", split.test))
            },
            seconds={},
        )  # fmt: skip
        folder = results / "runs" / record.run_name
        paths = [inspection.images[row].sample.path for row in split.test]
        truth = [classes[labels[row]] for row in split.test]
        write_predictions(folder / "predictions.csv", paths, truth, probabilities[split.test], classes)
        write_json(folder / "result.json", record)
