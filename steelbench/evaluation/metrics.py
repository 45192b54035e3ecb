"""The numbers of one finished row: what its answers score, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.evaluation.predictions import Ints, RowPredictions, group_numbers
from steelbench.evaluation.statistics.bootstrap import balanced_accuracy, macro_f1_interval
from steelbench.evaluation.statistics.intervals import Interval, effective_size, proportion_interval, recall_intervals
from steelbench.records import ClassScore, RunRecord


def row_scores(answers: RowPredictions, classes: Sequence[str], groups: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a `Row` that come from its answers.

    Accuracy, macro-F1 and balanced accuracy are means over seeds of all tests of one seed together; a class's
    recall, precision and F1 are those of all tests of all seeds. An interval never counts more images than there
    are. Where seeds tested different images (`--folds 1` with several seeds), an image that two seeds tested is a
    group of two tests, so that it weighs in the variance as it weighs in the accuracy.

    Args:
        answers: of the row.
        classes: C names.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.
    """
    from sklearn.metrics import confusion_matrix, f1_score

    every = range(len(classes))
    n = len(answers.paths)
    tested = answers.by_seed()
    confusions = [confusion_matrix(truth, predicted, labels=every) for truth, predicted in tested]
    accuracy = float(np.mean([np.mean(truth == predicted) for truth, predicted in tested]))
    macro_f1 = float(np.mean([f1_score(*seed, labels=every, average="macro", zero_division=0) for seed in tested]))
    y_true, y_pred, image = answers.table()
    shared = group_numbers(answers.paths, groups)[image]
    n_effective = min(effective_size(y_pred == y_true, shared), float(n))
    sure = proportion_interval(accuracy, n_effective)
    spread = macro_f1_interval(y_true, y_pred, shared, len(classes))
    sure_f1 = proportion_interval(macro_f1, min(spread.n_effective, float(n)))
    return {
        "accuracy": accuracy,
        "accuracy_low": sure.low,
        "accuracy_high": sure.high,
        "macro_f1": macro_f1,
        "macro_f1_low": sure_f1.low,
        "macro_f1_high": sure_f1.high,
        "balanced_accuracy": float(np.mean(balanced_accuracy(np.stack(confusions)))),
        "n_test": n,
        "n_effective": n_effective,
        "confusion": np.sum(confusions, axis=0).tolist(),
        "per_class": _class_scores(answers, classes, recall_intervals(y_true, y_pred, shared, len(classes))),
    }


def _class_scores(
    answers: RowPredictions, classes: Sequence[str], intervals: Sequence[Interval | None]
) -> list[ClassScore]:
    from sklearn.metrics import precision_recall_fscore_support

    truth, predicted, _ = answers.flat()
    parts = precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), zero_division=0)
    images = np.bincount(answers.y_true, minlength=len(classes))
    return [
        ClassScore(
            name=name, precision=float(p), recall=float(r), f1=float(f), support=int(n), **_limits(float(r), sure, own)
        )
        for name, p, r, f, n, sure, own in zip(classes, *parts, intervals, images, strict=True)
    ]  # fmt: skip


def _limits(recall: float, sure: Interval | None, images: Ints) -> dict[str, float]:
    if sure is None:
        return {}
    # The sum over tests and the mean over seeds of one number differ by rounding.
    limits = proportion_interval(recall, min(sure.n_effective, float(images)))
    return {"recall_low": limits.low, "recall_high": limits.high}


def naive_accuracy(records: Sequence[RunRecord]) -> float | None:
    """Return the accuracy on a random split that ignores shared pixels, in 0..1: seed 0, folds weighted by images.

    None if no run tried.
    """
    tried = [record.metrics["naive"] for record in records if record.seed == 0 and "naive" in record.metrics]
    known = [(run["accuracy"], run.get("images") or 0.0) for run in tried if run.get("accuracy") is not None]
    images = sum(weight for _, weight in known)
    return sum(float(share or 0.0) * weight for share, weight in known) / images if images else None


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
