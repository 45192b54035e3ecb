"""What the rows of a leaderboard allow to conclude: which are tied for best, and what could have been shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from steelbench.evaluation.predictions import UNTESTED, Ints, RowPredictions, group_numbers
from steelbench.evaluation.statistics.intervals import effective_size
from steelbench.evaluation.statistics.power import smallest_difference
from steelbench.evaluation.statistics.significance import PairTest, compare_pair, corrected_resampled_t, holm
from steelbench.records import Row

LEVEL = 0.05


def judge(
    ranked: Sequence[Row], answers: Mapping[str, RowPredictions], groups: Mapping[str, str]
) -> tuple[list[Row], dict[str, Any]]:
    """Compare the most accurate row with each other finished one; the majority class takes no part.

    Every test of every seed counts, added up by group: McNemar's exact test where each image is its own group and
    was tested once, otherwise the exact sign-flip test. P-values are Holm's over all these comparisons.

    Args:
        ranked: rows, best first.
        answers: of every finished row, by name.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.

    Returns:
        The rows with `tied` and `p_value`, in their order, and `Summary.judgement`: {} if nothing finished, otherwise
        best: name of the most accurate row.
        tied: names of the rows that are not shown to be worse, the best one first.
        level: a row is worse if its p-value is at most this.
        method: of the test; "" if there was nothing to compare.
        n_effective: independent images that would tell as much, by how the errors of all compared rows share groups:
            a best row without an error alone says nothing of that.
        smallest_difference: the smallest true difference from the best row, in 0..1, that a test at `level` over
            the number of comparisons shows four times out of five, if the rows err independently.
        differences: by name, the best row's share of right answers minus the other's, in -1..1.
        resampled_t: by name, p-values of the corrected resampled t-test over folds and seeds, Holm's over all
            comparisons; {} with a single run. It asks whether other training images would turn the order.
        left_out: names of finished rows whose test images are others, so that they cannot be compared.
    """
    finished = [row for row in ranked if row.name in answers and row.method != "majority"]
    if not finished:
        return list(ranked), {}
    compared = _same_tests(finished, answers)
    best, *others = compared
    tests = _against_best(best, others, answers, groups)
    tied = [name for name, test in tests.items() if test.p_value > LEVEL or test.difference <= 0]
    n_effective, accuracy = _worth(compared, answers, groups), best.accuracy or 0.0
    judgement = {
        "best": best.name,
        "tied": [best.name, *tied],
        "level": LEVEL,
        "method": next((f"{test.method}, Holm" for test in tests.values()), ""),
        "n_effective": n_effective,
        "smallest_difference": smallest_difference(n_effective, accuracy, level=LEVEL / max(1, len(others))),
        "differences": {name: test.difference for name, test in tests.items()},
        "resampled_t": _resampled(best, others, answers),
        "left_out": [row.name for row in finished if row not in compared],
    }
    return [_marked(row, best, tests, tied) for row in ranked], judgement


def _same_tests(finished: Sequence[Row], answers: Mapping[str, RowPredictions]) -> list[Row]:
    """The rows that made the same tests as most rows did (of equally many, as the best of them)."""
    tests = {row.name: _tests(answers[row.name]) for row in finished}
    (most, _), *_ = Counter(tests.values()).most_common(1)
    return [row for row in finished if tests[row.name] == most]


def _tests(answers: RowPredictions) -> tuple[Any, ...]:
    runs = tuple((run.seed, run.fold, run.n_test) for run in answers.runs)
    return tuple(answers.paths), (answers.y_pred != UNTESTED).tobytes(), runs


def _against_best(
    best: Row, others: Sequence[Row], answers: Mapping[str, RowPredictions], groups: Mapping[str, str]
) -> dict[str, PairTest]:
    correct = {row.name: _correct(answers[row.name]) for row in (best, *others)}
    image = answers[best.name].flat()[2]
    shared = group_numbers(answers[best.name].paths, groups)[image]
    # Not `compare_with_best`: with unequal test sets its best, of all tests together, could be another row.
    tests = {row.name: compare_pair(correct[best.name], correct[row.name], shared) for row in others}
    adjusted = holm([test.p_value for test in tests.values()])
    return {
        name: PairTest(test.difference, float(p_value), test.method)
        for (name, test), p_value in zip(tests.items(), adjusted, strict=True)
    }


def _worth(compared: Sequence[Row], answers: Mapping[str, RowPredictions], groups: Mapping[str, str]) -> float:
    tables = [answers[row.name].table() for row in compared]
    truth, _, image = tables[0]
    paths = answers[compared[0].name].paths
    correct = np.concatenate([predicted == truth for _, predicted, _ in tables])
    return min(effective_size(correct, group_numbers(paths, groups)[image]), float(len(paths)))


def _correct(answers: RowPredictions) -> Ints:
    truth, predicted, _ = answers.flat()
    return truth == predicted


def _resampled(best: Row, others: Sequence[Row], answers: Mapping[str, RowPredictions]) -> dict[str, float]:
    runs = answers[best.name].runs
    if len(runs) < 2 or not others:
        return {}
    n_train, n_test = (float(np.mean([getattr(run, part) for run in runs])) for part in ("n_train", "n_test"))
    own = np.array([run.accuracy for run in runs])
    p_values = [
        corrected_resampled_t(own - [run.accuracy for run in answers[row.name].runs], n_train, n_test).p_value
        for row in others
    ]
    return {row.name: float(p_value) for row, p_value in zip(others, holm(p_values), strict=True)}


def _marked(row: Row, best: Row, tests: Mapping[str, PairTest], tied: Sequence[str]) -> Row:
    if row.name in tests:
        return row.model_copy(update={"tied": row.name in tied, "p_value": tests[row.name].p_value})
    return row.model_copy(update={"tied": True}) if row is best and tests else row
