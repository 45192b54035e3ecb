"""The scores of a run, and its `predictions.csv`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.records import whole_file

Metrics = dict[str, float | None]


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> Metrics:
    """Accuracy, macro-F1 and cross-entropy of one part, for the record; None where the part is empty.

    Args:
        probabilities: float32 [N, C].
        labels: int64 [N].
        num_classes: C.
    """
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    if not len(labels):
        return {"accuracy": None, "macro_f1": None, "loss": None}
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": float(f1_score(labels, predicted, labels=range(num_classes), average="macro", zero_division=0)),
        "loss": float(log_loss(labels, exact, labels=range(num_classes))),
    }


def write_predictions(
    path: Path,
    paths: Sequence[str],
    labels: Sequence[str],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
) -> None:
    """Write path, label, predicted, then `p_<class>` for each class; whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", *(f"p_{name}" for name in classes)])
        for name, label, row in zip(paths, labels, probabilities, strict=True):
            writer.writerow([name, label, classes[int(row.argmax())], *(f"{value:.8f}" for value in row)])
