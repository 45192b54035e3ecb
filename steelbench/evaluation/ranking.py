"""Compare the rows of a leaderboard: which are tied for best, and how small a difference could have been shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from steelbench.arrays import Mask
from steelbench.evaluation.predictions import RowPredictions, groups_of_paths
from steelbench.evaluation.statistics.dependence import Dependence
from steelbench.evaluation.statistics.power import Discordance, discordance, images_needed, smallest_difference
from steelbench.evaluation.statistics.significance import PairTest, compare_with_best, corrected_resampled_t, holm
from steelbench.records import Row

LEVEL = 0.05
# So many times the test images, what they would show is said, too.
MORE = (2, 4)


def judge(
    ranked: Sequence[Row],
    answers: Mapping[str, RowPredictions],
    groups: Mapping[str, str],
    dependences: Mapping[str, Dependence],
) -> tuple[list[Row], dict[str, Any]]:
    """Compare the most accurate row with each other finished one, but for the majority class and untrained networks.

    Every test of every seed counts, added up by group: McNemar's exact test where each image is its own group and
    was tested once, otherwise the exact sign-flip test. P-values are Holm's over all these comparisons.

    Args:
        ranked: rows, best first.
        answers: of every finished row, by name.
        groups: by path; images of one group share pixels. A path that it lacks is its own group.
        dependences: of every finished row, by name, from `learn_dependences`.

    Returns:
        The rows with `tied` and `p_value`, in their order, and `Summary.judgement`: {} if nothing finished, otherwise
        best: name of the most accurate row.
        tied: names of the rows that are not shown to be worse, the best one first.
        level: a row is worse if its p-value is at most this.
        method: of the test; "" if there was nothing to compare.
        n_effective: independent images that would tell as much about the accuracy of the best row.
        rival: name of the most accurate other row; "" if there is none.
        smallest_difference: the smallest true difference between two rows that disagree as the best one and its rival
            do, in 0..1, that the test shows four times out of five. Without a rival: from a row that errs
            independently of the best.
        images_needed: test images like these that would show the difference between the best row and its rival so
            often; None if it is shown already, is zero, or would take more than `MOST_TIMES` as many.
        smallest_with_more: `smallest_difference` with so many times the test images.
        differences: by name, the best row's share of right answers minus the other's, in -1..1.
        resampled_t: by name, p-values of the corrected resampled t-test over folds and seeds, Holm's over all
            comparisons; {} with a single run. It asks whether other training images would turn the order.
        left_out: names of finished rows whose test images are others, so that they cannot be compared.
    """
    finished = [row for row in ranked if row.name in answers and row.method != "majority" and not row.untrained]
    if not finished:
        return list(ranked), {}
    compared = _same_tests(finished, answers)
    best, *others = compared
    tests = _against_best(compared, answers, groups)
    tied = [name for name, test in tests.items() if not test.shows_worse(LEVEL)]
    rival = others[0].name if others else ""
    found, level = _disagreement(best, rival, answers, groups, dependences), _level_of(rival, tied)
    behind = tests[rival].difference if rival in tied else 0.0
    judgement = {
        "best": best.name,
        "tied": [best.name, *tied],
        "level": LEVEL,
        "method": next((test.method for test in tests.values()), ""),
        "n_effective": best.n_effective,
        "rival": rival,
        "smallest_difference": smallest_difference(found, level=level),
        "images_needed": images_needed(found, behind, best.n_test or 0, level=level),
        "smallest_with_more": {
            str(times): smallest_difference(replace(found, n_effective=times * found.n_effective), level=level)
            for times in MORE
        },
        "differences": {name: test.difference for name, test in tests.items()},
        "resampled_t": _resampled(best, others, answers),
        "left_out": [row.name for row in finished if row not in compared],
    }
    return [_marked(row, best, tests, tied) for row in ranked], judgement


def _same_tests(finished: Sequence[Row], answers: Mapping[str, RowPredictions]) -> list[Row]:
    """Return the rows that made the same tests as most rows did (of equally many, as the best of them)."""
    tests = {row.name: answers[row.name].tests() for row in finished}
    (most, _), *_ = Counter(tests.values()).most_common(1)
    return [row for row in finished if tests[row.name] == most]


def _against_best(
    compared: Sequence[Row], answers: Mapping[str, RowPredictions], groups: Mapping[str, str]
) -> dict[str, PairTest]:
    best = compared[0].name
    image = answers[best].flat()[2]
    correct = {row.name: _correct(answers[row.name]) for row in compared}
    return compare_with_best(best, correct, groups_of_paths(answers[best].paths, groups)[image])


def _correct(answers: RowPredictions) -> Mask:
    truth, predicted, _ = answers.flat()
    return truth == predicted


def _level_of(rival: str, tied: Sequence[str]) -> float:
    """Return the level at which Holm's method tests the rival as the first of the rows that it leaves tied."""
    return LEVEL / max(1, len({rival, *tied}))


def _disagreement(
    best: Row,
    rival: str,
    answers: Mapping[str, RowPredictions],
    groups: Mapping[str, str],
    dependences: Mapping[str, Dependence],
) -> Discordance:
    if not rival:
        accuracy, n_effective = best.accuracy or 0.0, best.n_effective or 1.0
        return Discordance(each_way=accuracy * (1 - accuracy), n_effective=n_effective)
    images, test = np.unique(answers[best.name].flat()[2], return_inverse=True)
    shared = groups_of_paths(answers[best.name].paths, groups)[images]
    # The share of an image's tests that each row passed.
    first, second = (np.bincount(test, _correct(answers[name])) / np.bincount(test) for name in (best.name, rival))
    return discordance(first, second, shared, dependences[best.name].images)


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
