"""A row's numbers against scikit-learn and scipy; with groups and holes against loops over pairs of images."""

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from steelbench.evaluation.metrics import learn_dependences, naive_accuracy, row_scores, score
from steelbench.evaluation.predictions import UNTESTED, RowPredictions
from steelbench.evaluation.statistics import PRIOR
from steelbench.records import RunRecord

CLASSES = ["a", "b", "c"]


def answers_of(y_true, y_pred):
    y_pred = np.atleast_2d(y_pred)
    return RowPredictions([f"{place:03d}" for place in range(len(y_true))], np.asarray(y_true), y_pred, [])


def groups_of(numbers):
    return {f"{place:03d}": str(number) for place, number in enumerate(numbers)}


def made_up(seeds=1, images=240, size=4, seed=0):
    """Groups of `size` images whose errors come together."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(images) // size
    y_true = numbers % 3
    hard = rng.random(images // size)[numbers] < 0.25
    wrong = rng.random((seeds, images)) < np.where(hard, 0.7, 0.05)
    return y_true, (y_true + wrong) % 3, numbers


def scores_of(answers, groups):
    return row_scores(answers, CLASSES, groups, learn_dependences({"row": answers}, groups, [])["row"])


def effective(correct, groups, images):
    """Loops over pairs of images of one group; the prior counts three groups; then Kish's design effect."""
    errors, variance = correct - correct.mean(), correct.mean() * (1 - correct.mean())
    products, grouped, seen = 0.0, 0, 0
    for group in np.unique(groups):
        own = errors[groups == group]
        if len(own) > 1:
            products += sum(a * b for a, b in itertools.permutations(own, 2)) / (len(own) - 1)
            grouped += len(own)
            seen += bool((own < 0).any())
    correlation = (seen * min(max(products / grouped / variance, 0), 1) + 3 * PRIOR.images) / (seen + 3)
    sizes = np.unique(groups, return_counts=True)[1]
    effect = 1 + correlation * (np.sum(sizes**2) / np.sum(sizes) - 1)
    student = stats.t.ppf(0.975, len(correct) - 1) / stats.t.ppf(0.975, len(sizes) - 1)
    return min(len(correct) / effect * student**2, images)


def test_with_groups_the_effective_images_are_those_of_loops_over_pairs():
    y_true, y_pred, numbers = made_up()

    scores = scores_of(answers_of(y_true, y_pred), groups_of(numbers))

    assert scores["n_effective"] == pytest.approx(effective(y_pred[0] == y_true, numbers, 240), rel=1e-9)
    assert scores["n_effective"] < 200


def test_a_row_learns_from_its_peers_and_a_baseline_only_from_itself():
    y_true, y_pred, numbers = made_up()
    answers = {
        "perfect": answers_of(y_true, y_true),
        "peer": answers_of(y_true, y_pred),
        "none-hog": answers_of(y_true, np.where(numbers % 2, y_true, (y_true + 1) % 3)),
    }

    found = learn_dependences(answers, groups_of(numbers), ["none-hog"])

    alone = learn_dependences({"peer": answers["peer"]}, groups_of(numbers), [])["peer"]
    assert found["perfect"] == found["peer"] == alone
    assert found["none-hog"].images > 0.9 > found["peer"].images


def test_rows_with_other_tests_do_not_learn_from_each_other():
    y_true, y_pred, numbers = made_up()
    half = np.arange(240) < 120
    answers = {"all": answers_of(y_true, y_pred), "half": answers_of(y_true[half], y_true[half])}

    assert learn_dependences(answers, groups_of(numbers), [])["half"] == PRIOR


def test_with_holes_an_image_that_several_seeds_tested_is_a_group_of_tests():
    y_true, y_pred, numbers = made_up(seeds=3)
    tested = np.random.default_rng(1).random((3, 240)) < 0.4
    tested[:, :4] = True  # some images by all seeds
    y_pred[~tested] = UNTESTED
    keep = tested.any(axis=0)
    seed, image = np.nonzero(tested)

    scores = scores_of(answers_of(y_true[keep], y_pred[:, keep]), groups_of(numbers[keep]))

    correct = y_pred[seed, image] == y_true[image]
    assert scores["n_test"] == keep.sum() < tested.sum()
    assert scores["n_effective"] == pytest.approx(effective(correct, numbers[image], keep.sum()), rel=1e-9)
    assert scores["accuracy"] == pytest.approx(np.mean([correct[seed == each].mean() for each in range(3)]))
    assert scores["accuracy_low"] < scores["accuracy"] < scores["accuracy_high"]


def test_seeds_are_no_further_images_with_holes_or_without():
    rng = np.random.default_rng(2)
    y_true = np.arange(90) % 3
    y_pred = (y_true + (rng.random((5, 90)) < 0.2)) % 3
    holes = np.where(rng.random((5, 90)) < 0.9, y_pred, UNTESTED)

    assert scores_of(answers_of(y_true, y_pred), {})["n_effective"] == 90
    assert scores_of(answers_of(y_true, holes), {})["n_effective"] == 90


def test_seeds_that_tested_one_half_each_tell_as_much_as_one_that_tested_both():
    y_true, y_pred, numbers = made_up()
    halves = np.where(np.stack([np.arange(240) < 120, np.arange(240) >= 120]), y_pred, UNTESTED)

    one = scores_of(answers_of(y_true, y_pred), groups_of(numbers))
    two = scores_of(answers_of(y_true, halves), groups_of(numbers))

    for name in ("accuracy", "accuracy_low", "accuracy_high", "n_effective"):
        assert two[name] == pytest.approx(one[name])


def test_balanced_accuracy_is_sklearns_mean_over_seeds():
    rng = np.random.default_rng(3)
    y_true = np.repeat([0, 1, 2], [80, 15, 5])
    y_pred = np.where(rng.random((2, 100)) < 0.7, y_true, 0)

    scores = scores_of(answers_of(y_true, y_pred), {})

    assert scores["balanced_accuracy"] == pytest.approx(
        np.mean([balanced_accuracy_score(y_true, seed) for seed in y_pred])
    )


def test_recalls_of_single_images_have_mid_p_intervals():
    y_true = np.repeat([0, 1], [40, 30])
    y_pred = y_true.copy()
    y_pred[:9] = 1  # 9 of 40 wrong, none of 30

    first, second, third = scores_of(answers_of(y_true, y_pred), {})["per_class"]

    half = stats.binom.pmf(31, 40, [first.recall_low, first.recall_high]) / 2
    assert stats.binom.sf(31, 40, first.recall_low) + half[0] == pytest.approx(0.025)
    assert stats.binom.cdf(30, 40, first.recall_high) + half[1] == pytest.approx(0.025)
    assert (second.recall_low, second.recall_high) == pytest.approx((0.05 ** (1 / 30), 1.0))
    assert (third.support, third.recall_low, third.recall_high) == (0, None, None)


@pytest.mark.parametrize("wrong", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("holes", [False, True])
def test_every_interval_holds_its_value_within_0_and_1(wrong, holes):
    rng = np.random.default_rng(4)
    y_true = np.arange(60) % 3
    y_pred = (y_true + (rng.random((3, 60)) < wrong)) % 3
    if holes:
        y_pred = np.where((np.arange(60) + np.arange(3)[:, None]) % 4 > 0, y_pred, UNTESTED)

    scores = scores_of(answers_of(y_true, y_pred), groups_of(np.arange(60) // 2))

    for name in ("accuracy", "macro_f1"):
        assert 0 <= scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"] <= 1
        assert scores[f"{name}_low"] < scores[f"{name}_high"]
    for found in scores["per_class"]:
        assert 0 <= found.recall_low <= found.recall <= found.recall_high <= 1
    assert 1 <= scores["n_effective"] <= 60


def run(seed, fold, naive=None):
    metrics = {"test": {"accuracy": 0.5}} | ({"naive": naive} if naive else {})
    return RunRecord(
        backbone="x",
        method="m",
        seed=seed,
        fold=fold,
        settings={},
        fingerprint="f",
        classes=CLASSES,
        n_train=8,
        n_validation=2,
        n_test=4,
        image_size=8,
        weights={},
        engine="",
        precision="",
        params=0,
        metrics=metrics,
        seconds={},
    )


def test_the_naive_accuracy_is_of_seed_0_each_fold_by_its_images():
    runs = [
        run(0, 0, {"accuracy": 1.0, "images": 30.0}),
        run(0, 1, {"accuracy": 0.5, "images": 10.0}),
        run(0, 2),
        run(1, 0, {"accuracy": 0.0, "images": 99.0}),
    ]

    assert naive_accuracy(runs) == pytest.approx(35 / 40)
    assert naive_accuracy([run(0, 0), run(1, 0, {"accuracy": 0.5, "images": 5.0})]) is None


@pytest.mark.parametrize("wrong", [0, 4])
def test_a_class_without_a_test_image_is_left_out_of_every_mean(wrong):
    y_true = np.repeat([0, 1], [30, 6])
    y_pred = y_true.copy()
    y_pred[:wrong] = 2

    scores = scores_of(answers_of(y_true, y_pred), {})

    present = f1_score(y_true, y_pred, labels=[0, 1], average="macro")
    assert scores["macro_f1"] == pytest.approx(present)
    assert scores["macro_f1_low"] <= present <= scores["macro_f1_high"]
    assert scores["balanced_accuracy"] == pytest.approx(np.mean([1 - wrong / 30, 1]))
    assert score(np.eye(3, dtype=np.float32)[y_pred], y_true, 3)["macro_f1"] == pytest.approx(present)
    assert [found.support for found in scores["per_class"]] == [30, 6, 0]
