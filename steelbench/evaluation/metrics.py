"""Score the answers of one row, with the intervals of the scores; score one part of one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Labels
from steelbench.evaluation.predictions import RowPredictions, groups_of_paths
from steelbench.evaluation.sound_material import sound_scores
from steelbench.evaluation.statistics.dependence import Dependence, learn_dependence
from steelbench.evaluation.statistics.intervals import Interval, proportion_interval, row_intervals
from steelbench.evaluation.statistics.macro_f1 import balanced_accuracy
from steelbench.records import ClassScore, RunRecord


def learn_dependences(
    answers: Mapping[str, RowPredictions], groups: Mapping[str, str], baselines: Collection[str]
) -> dict[str, Dependence]:
    """Return by row how alike its answers to images of one group are, learned from all rows with the same tests.

    A baseline learns from its own errors only. It has enough of them, and they are of another kind: HOG's errors on NEU
    share groups three times as often as the networks' errors, those of the majority class nearly always.

    Args:
        answers: of every finished row, by name.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.
        baselines: names of the rows without a network.
    """
    pools: dict[Any, list[str]] = defaultdict(list)
    for name, row in answers.items():
        pools[name if name in baselines else row.tests()].append(name)
    found: dict[str, Dependence] = {}
    for names in pools.values():
        found |= dict.fromkeys(names, _learn([answers[name] for name in names], groups))
    return found


def _learn(rows: Sequence[RowPredictions], groups: Mapping[str, str]) -> Dependence:
    tables = [row.table() for row in rows]
    shared = groups_of_paths(rows[0].paths, groups)[tables[0][2]]
    return learn_dependence([y_pred == y_true for y_true, y_pred, _ in tables], shared)


def row_scores(
    answers: RowPredictions,
    classes: Sequence[str],
    groups: Mapping[str, str],
    dependence: Dependence,
    none_class: str = "",
) -> dict[str, Any]:
    """Return the fields of a `Row` that come from its answers.

    Accuracy, macro-F1 and balanced accuracy are means over seeds of all tests of one seed together; a class's
    recall, precision and F1 are those of all tests of all seeds. An interval never counts more images than there
    are. Where seeds tested different images (`--folds 1` with several seeds), an image that two seeds tested is a
    group of two tests, so that it weighs in the variance as it weighs in the accuracy.

    Args:
        answers: of the row.
        classes: C names.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.
        dependence: of the row, from `learn_dependences`.
        none_class: the class of sound material; "" for none.
    """
    from sklearn.metrics import confusion_matrix

    every = range(len(classes))
    tested = answers.by_seed()
    confusions = [confusion_matrix(truth, predicted, labels=every) for truth, predicted in tested]
    accuracy = float(np.mean([np.mean(truth == predicted) for truth, predicted in tested]))
    macro_f1 = float(np.mean([_macro_f1(truth, predicted) for truth, predicted in tested]))
    y_true, y_pred, image = answers.table()
    shared = groups_of_paths(answers.paths, groups)[image]
    found = row_intervals(y_true, y_pred, shared, len(classes), dependence, images=image)
    # With holes the mean over seeds is not the mean over tests.
    sure, sure_f1 = _around(accuracy, found.accuracy), _around(macro_f1, found.macro_f1)
    return {
        "accuracy": accuracy,
        "accuracy_low": sure.low,
        "accuracy_high": sure.high,
        "macro_f1": macro_f1,
        "macro_f1_low": sure_f1.low,
        "macro_f1_high": sure_f1.high,
        "balanced_accuracy": float(np.mean(balanced_accuracy(np.stack(confusions)))),
        "n_test": len(answers.paths),
        "n_effective": sure.n_effective,
        "confusion": np.sum(confusions, axis=0).tolist(),
        "per_class": _class_scores(answers, classes, found.recalls, groups),
        "sound": sound_scores(answers, classes, groups, dependence, none_class),
    }


def _macro_f1(truth: Labels, predicted: Labels) -> float:
    """Return the mean F1 over the classes that have a true image: without one F1 is 0, however good the model."""
    from sklearn.metrics import f1_score

    return float(f1_score(truth, predicted, labels=np.unique(truth), average="macro", zero_division=0))


def _around(value: float, interval: Interval) -> Interval:
    return proportion_interval(value, interval.n_effective)


def _class_scores(
    answers: RowPredictions,
    classes: Sequence[str],
    intervals: Sequence[Interval | None],
    groups: Mapping[str, str],
) -> list[ClassScore]:
    from sklearn.metrics import precision_recall_fscore_support

    truth, predicted, _ = answers.flat()
    shared = groups_of_paths(answers.paths, groups)
    parts = precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), zero_division=0)
    return [
        ClassScore(
            name=name,
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            support=int(support),
            groups=len(np.unique(shared[answers.y_true == label])),
            **_limits(float(recall), interval),
        )
        for label, (name, precision, recall, f1, support, interval) in enumerate(
            zip(classes, *parts, intervals, strict=True)
        )
    ]


def _limits(recall: float, interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {}
    # The sum over tests and the mean over seeds of one number differ by rounding.
    around = _around(recall, interval)
    return {"recall_low": around.low, "recall_high": around.high, "n_effective": around.n_effective}


def naive_accuracy(records: Sequence[RunRecord]) -> float | None:
    """Return the accuracy on a random split that ignores shared pixels, in 0..1: seed 0, folds weighted by images.

    Args:
        records: of every run of the row.

    Returns:
        None if no run tried.
    """
    tried = [record.metrics["naive"] for record in records if record.seed == 0 and "naive" in record.metrics]
    known = [(run["accuracy"], run.get("images") or 0.0) for run in tried if run.get("accuracy") is not None]
    images = sum(weight for _, weight in known)
    return sum(float(share or 0.0) * weight for share, weight in known) / images if images else None


Metrics = dict[str, float | None]


def score(probabilities: NDArray[np.float32], labels: NDArray[np.int64], num_classes: int) -> Metrics:
    """Return accuracy, macro-F1 and cross-entropy of one part of the images, each None where the part is empty.

    Macro-F1 is the mean over the classes that have an image in this part.

    Args:
        probabilities: float32 [N, C].
        labels: int64 [N].
        num_classes: C.
    """
    from sklearn.metrics import accuracy_score, log_loss

    if not len(labels):
        return {"accuracy": None, "macro_f1": None, "loss": None}
    predicted = probabilities.argmax(axis=1)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "macro_f1": _macro_f1(labels, predicted),
        "loss": float(log_loss(labels, exact, labels=range(num_classes))),
    }
