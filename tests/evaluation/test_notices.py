"""What the numbers themselves give away."""

import pytest

from steelbench.evaluation.notices import doubts
from steelbench.records import ClassScore, Row


def row(name="vgg19", accuracy=0.9, low=0.85, weights="imagenet", status="done", **more):
    backbone, method = name, "majority" if name == "none" else "softmax"
    return Row(
        name=f"{backbone}-{method}", backbone=backbone, method=method, weights=weights, status=status,
        accuracy=accuracy, accuracy_low=low, accuracy_high=max(accuracy, low + 0.09), **more,
    )  # fmt: skip


MAJORITY = row("none", 0.25, 0.2, "none")


def test_good_rows_raise_no_doubt():
    assert list(doubts([row(), MAJORITY], {})) == []


@pytest.mark.parametrize(("low", "doubted"), [(0.24, True), (0.25, True), (0.26, False)])
def test_a_row_whose_interval_reaches_the_majority_has_learned_nothing(low, doubted):
    found = list(doubts([row(accuracy=0.3, low=low), MAJORITY], {}))

    assert [notice.row for notice in found] == ["vgg19-softmax"] * doubted
    assert all(notice.level == "serious" and "25.0%" in notice.text for notice in found)


def test_failed_rows_and_folders_without_a_majority_are_not_held_against_it():
    assert list(doubts([row(low=0.0, status="failed"), MAJORITY], {})) == []
    assert list(doubts([row(accuracy=0.05, low=0.0)], {})) == []


def test_random_weights_are_said_once_with_every_backbone():
    found = list(doubts([row(weights="random"), row("xception", weights="random"), row("resnet50"), MAJORITY], {}))

    assert len(found) == 1 and found[0].level == "serious"
    assert "vgg19, xception:" in found[0].text and "resnet50" not in found[0].text


def texts(*rows, split=None):
    return [notice.text for notice in doubts([*rows, MAJORITY], split or {})]


def test_efficientnet_on_pixels_divided_by_255_is_the_majority_class():
    # The published 72.59 % of EfficientNetB0 on Severstal: 1030 of 1419, exactly the largest class.
    largest = row("none", 0.7259, 0.702, "none", train_accuracy=0.7259)
    stuck = row("efficientnet_b0", 0.7259, 0.702, train_accuracy=0.7259, validation_accuracy=0.7259)
    found = list(doubts([stuck, largest], {}))

    assert [notice.level for notice in found] == ["serious", "serious"]
    assert "not above the majority class (72.6%)" in found[0].text
    assert "training accuracy never rose" in found[1].text


@pytest.mark.parametrize(("train", "stuck"), [(0.25, True), (0.27, True), (0.28, False), (0.99, False)])
def test_training_accuracy_that_never_rises_is_told(train, stuck):
    largest = row("none", 0.25, 0.2, "none", train_accuracy=0.25)
    found = [notice for notice in doubts([row(train_accuracy=train), largest], {}) if "never rose" in notice.text]

    assert len(found) == stuck
    assert all(notice.level == "serious" and notice.row == "vgg19-softmax" for notice in found)


@pytest.mark.parametrize(("validation", "strange"), [(0.9, False), (0.94, False), (0.96, True), (0.5, False)])
def test_validation_far_above_training_is_told(validation, strange):
    found = texts(row(train_accuracy=0.9, validation_accuracy=validation), split={"validation": 1000})

    assert [("points above training" in text) for text in found] == [True] * strange


def test_validation_above_training_by_chance_is_not_told():
    # 10 images at .90: a standard error of 9.5 points.
    assert texts(row(train_accuracy=0.9, validation_accuracy=1.0), split={"validation": 10}) == []
    assert texts(row(train_accuracy=0.6, validation_accuracy=1.0), split={"validation": 30})


@pytest.mark.parametrize(("spread", "dead"), [(0.02, True), (0.21, True), (0.4, False), (0.95, False)])
def test_features_that_hardly_change_are_told(spread, dead):
    detail = {"notes": {"features": {"spread": spread, "constant": 0.3}}}
    found = texts(row(detail=detail))

    assert [("hardly change" in text) for text in found] == [True] * dead
    assert all("30%" in text and "0..1 instead of 0..255" in text for text in found)


@pytest.mark.parametrize("notes", [None, {}, {"features": None}, {"features": {}}, {"features": {"spread": "wide"}}])
def test_records_without_that_number_raise_no_doubt(notes):
    assert texts(row(detail={"notes": notes})) == []


@pytest.mark.parametrize(("low", "high", "small"), [(0.8, 0.95, True), (0.88, 0.93, False)])
def test_a_test_set_too_small_for_the_claim_is_told(low, high, small):
    wide = row(low=low, n_test=40, n_effective=31.6).model_copy(update={"accuracy_high": high})
    found = texts(wide)

    assert [("too small" in text and "32 independent" in text) for text in found] == [True] * small


def test_classes_with_few_or_no_test_images_are_told_once():
    def score(name, support):
        return ClassScore(name=name, precision=1, recall=1, f1=1, support=support)

    scores = [score("many", 60), score("few", 27), score("one", 3), score("none", 0)]
    found = list(doubts([row(per_class=scores), row("resnet50", per_class=scores), MAJORITY], {"seeds": 3}))

    assert [notice.level for notice in found] == ["serious", "caution"]
    assert "'none'" in found[0].text and "'few' (9), 'one' (1)" in found[1].text
    assert not any("many" in notice.text for notice in found)
