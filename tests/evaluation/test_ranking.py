"""Who is tied for best: against scipy's tests, sign flips one by one, and cases worked out by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from steelbench.evaluation.metrics import learn_dependences
from steelbench.evaluation.predictions import UNTESTED, RowPredictions, RunScore
from steelbench.evaluation.ranking import judge
from steelbench.evaluation.statistics.power import mcnemar_power
from steelbench.records import Row


def answers_of(correct, runs=None):
    """From 1 (right), 0 (wrong) and -1 (not tested), [N] or [S, N]."""
    table = np.atleast_2d(np.asarray(correct))
    y_pred = np.where(table < 0, UNTESTED, 1 - table)
    found = [
        RunScore(seed, 0, float(line[line >= 0].mean()), 200, int((line >= 0).sum())) for seed, line in enumerate(table)
    ]
    paths = [f"{place:03d}" for place in range(table.shape[1])]
    return RowPredictions(paths, np.zeros(table.shape[1], int), y_pred, runs or found)


def row_of(name, answers, **more):
    backbone, method = name.split("-")
    scores = [np.mean(predicted == truth) for truth, predicted in answers.by_seed()]
    return Row(
        name=name,
        backbone=backbone,
        method=method,
        weights="",
        status="done",
        accuracy=float(np.mean(scores)),
        n_test=len(answers.paths),
        n_effective=float(len(answers.paths)),
        **more,
    )


def judged(table, groups=None, runs=None):
    """Rows best first, as the leaderboard has them; `table` maps names to what `answers_of` takes."""
    answers = {name: answers_of(correct, (runs or {}).get(name)) for name, correct in table.items()}
    rows = sorted((row_of(name, each) for name, each in answers.items()), key=lambda row: -row.accuracy)
    paths = {f"{place:03d}": str(group) for place, group in enumerate(groups)} if groups is not None else {}
    baselines = [name for name in answers if name.startswith("none-")]
    rows, judgement = judge(rows, answers, paths, learn_dependences(answers, paths, baselines))
    return {row.name: row for row in rows}, judgement


def wrong_on(images, n=200):
    return np.where(np.isin(np.arange(n), list(images)), 0, 1)


def test_a_single_seed_of_single_images_is_mcnemars_test_after_holm():
    rows, judgement = judged(
        {
            "a-x": wrong_on(range(4)),
            "b-x": wrong_on(range(2, 16)),  # 12 of its own errors against 2
            "c-x": wrong_on(range(2, 9)),  # 5 against 2
        }
    )

    raw = [stats.binomtest(2, 14).pvalue, stats.binomtest(2, 7).pvalue]
    assert rows["b-x"].p_value == pytest.approx(2 * raw[0]) and raw[0] < 0.025
    assert rows["c-x"].p_value == pytest.approx(max(2 * raw[0], raw[1]))
    assert (rows["a-x"].p_value, rows["a-x"].tied) == (None, True)
    assert (rows["b-x"].tied, rows["c-x"].tied) == (False, True)
    assert judgement["best"] == "a-x" and judgement["tied"] == ["a-x", "c-x"]
    assert judgement["method"] == "exact McNemar, Holm"
    assert judgement["differences"] == pytest.approx({"b-x": 10 / 200, "c-x": 3 / 200})


def test_images_that_share_pixels_flip_their_sign_together():
    rng = np.random.default_rng(0)
    groups = np.arange(40) // 4
    table = {"a-x": rng.integers(0, 2, (2, 40)) | 1, "b-x": rng.integers(0, 2, (2, 40))}
    table["a-x"][:, 5] = 0

    rows, judgement = judged(table, groups)

    ahead = (table["a-x"] - table["b-x"]).sum(axis=0)
    by_group = np.array([ahead[groups == group].sum() for group in range(10)])
    patterns = itertools.product((1, -1), repeat=10)
    as_far = [abs(np.dot(signs, by_group)) >= abs(by_group.sum()) for signs in patterns]
    assert rows["b-x"].p_value == pytest.approx(np.mean(as_far))
    assert judgement["method"] == "exact sign flips by group, Holm"


def test_copies_of_one_image_do_not_decide_what_a_single_image_would_not():
    table = {"a-x": wrong_on([]), "b-x": wrong_on(range(20))}

    alone, _ = judged(table)
    together, _ = judged(table, groups=np.where(np.arange(200) < 20, -1, np.arange(200)))

    assert alone["b-x"].tied is False
    assert together["b-x"].tied is True and together["b-x"].p_value == 1.0


def test_an_image_that_two_seeds_tested_is_one_piece_of_evidence():
    tested = np.stack([np.arange(200) < 150, np.arange(200) < 100])

    rows, _ = judged({"a-x": np.where(tested, 1, -1), "b-x": np.where(tested, wrong_on(range(5)), -1)})

    # Five images, each wrong twice: two of all 2^5 patterns of signs are as far from 0.
    assert rows["b-x"].p_value == pytest.approx(2 / 2**5)


def test_all_seeds_count_not_only_the_first():
    rows, _ = judged(
        {
            "a-x": [wrong_on(range(10)), wrong_on([]), wrong_on([])],
            "b-x": [wrong_on([]), wrong_on(range(10, 40)), wrong_on(range(10, 40))],
        }
    )

    assert rows["a-x"].tied is True and rows["b-x"].tied is False


def test_equal_rows_are_tied_and_the_first_is_best():
    rows, judgement = judged({"a-x": wrong_on([1, 2]), "b-x": wrong_on([1, 2])})

    assert rows["b-x"].p_value == 1.0 and judgement["tied"] == ["a-x", "b-x"]


def test_the_majority_class_takes_no_part_but_a_baseline_that_looks_at_images_does():
    rows, judgement = judged(
        {"a-x": wrong_on([]), "none-hog": wrong_on(range(50)), "none-majority": wrong_on(range(150))}
    )

    assert rows["none-majority"].tied is None and rows["none-majority"].p_value is None
    assert rows["none-hog"].tied is False
    assert set(judgement["differences"]) == {"none-hog"}


def test_a_single_row_is_compared_with_nothing():
    rows, judgement = judged({"a-x": wrong_on(range(6)), "none-majority": wrong_on(range(150))})

    assert rows["a-x"].tied is None
    assert (judgement["best"], judgement["tied"], judgement["method"]) == ("a-x", ["a-x"], "")
    assert judgement["rival"] == ""
    assert 0 < judgement["smallest_difference"] < 1


def test_nothing_finished_is_no_judgement():
    failed = Row(name="a-x", backbone="a", method="x", weights="", status="failed")

    assert judge([failed], {}, {}, {}) == ([failed], {})


@pytest.mark.parametrize("others", [1, 4])
def test_the_smallest_difference_is_what_the_strictest_comparison_shows_four_times_in_five(others):
    table = {"a-x": wrong_on(range(10))} | {f"b{n}-x": wrong_on(range(10 + n, 20 + 2 * n)) for n in range(others)}

    _, judgement = judged(table)

    # Best and rival are alone right on ten images each.
    smallest = judgement["smallest_difference"]
    against = 0.05 * np.sqrt(0.05 / (0.05 + smallest))
    power = mcnemar_power(200, against + smallest, against, 0.05 / others)
    assert power == pytest.approx(0.8, abs=0.01)
    assert judgement["rival"] == "b0-x"
    assert judgement["n_effective"] == 200


def test_rows_that_are_shown_to_be_worse_do_not_make_the_rivals_test_stricter():
    front = {"a-x": wrong_on(range(10)), "b-x": wrong_on(range(10, 20))}

    alone, among = (judged(front | more)[1] for more in ({}, {f"c{n}-x": wrong_on(range(90)) for n in range(4)}))

    assert among["tied"] == ["a-x", "b-x"]
    assert among["smallest_difference"] == pytest.approx(alone["smallest_difference"])


def test_rows_that_err_on_the_same_images_are_told_apart_by_smaller_differences():
    apart, alike = (
        judged({"a-x": wrong_on(range(20)), "b-x": wrong_on(range(first, 20 + first))})[1] for first in (20, 2)
    )

    assert alike["smallest_difference"] < 0.7 * apart["smallest_difference"]


def test_a_difference_that_is_shown_is_not_below_what_the_test_set_is_said_to_show():
    """Before, rows were taken to err independently: 9 points of 200 images, beside rows shown to differ by 4."""
    _, judgement = judged({"a-x": wrong_on(range(20)), "b-x": wrong_on(range(28))})

    assert judgement["tied"] == ["a-x"] and judgement["differences"]["b-x"] == pytest.approx(0.04)
    assert judgement["smallest_difference"] < 0.06


def test_the_seeds_of_a_pair_are_averaged_before_its_disagreement_is_taken():
    one = {"a-x": wrong_on(range(10)), "b-x": wrong_on(range(10, 20))}
    three = {name: np.stack([answers] * 3) for name, answers in one.items()}

    assert judged(three)[1]["smallest_difference"] == pytest.approx(judged(one)[1]["smallest_difference"])


def test_over_folds_the_corrected_t_test_is_students_with_its_variance_corrected():
    accuracies = {"a-x": [0.95, 0.93, 0.96, 0.94, 0.97], "b-x": [0.94, 0.90, 0.95, 0.90, 0.92]}
    runs = {
        name: [RunScore(0, fold, value, 130 + fold, 40) for fold, value in enumerate(values)]
        for name, values in accuracies.items()
    }
    table = {"a-x": wrong_on(range(10)), "b-x": wrong_on(range(5, 20))}

    _, judgement = judged(table, runs=runs)

    plain = stats.ttest_rel(accuracies["a-x"], accuracies["b-x"])
    t = plain.statistic * np.sqrt((1 / 5) / (1 / 5 + 40 / 132))
    assert judgement["resampled_t"] == pytest.approx({"b-x": 2 * stats.t.sf(t, 4)})


def test_a_single_run_says_nothing_of_other_trainings():
    _, judgement = judged({"a-x": wrong_on(range(10)), "b-x": wrong_on(range(5, 20))})

    assert judgement["resampled_t"] == {}


def test_rows_that_were_tested_on_other_images_are_left_out_and_named():
    short = wrong_on([], 150)

    rows, judgement = judged({"z-x": short, "a-x": wrong_on([1]), "b-x": wrong_on([2])})

    assert judgement["best"] == "a-x" and judgement["left_out"] == ["z-x"]
    assert rows["z-x"].tied is None and rows["b-x"].tied is True
