"""Which notices the results themselves give rise to."""

import re
from pathlib import Path

import pytest

from steelbench.errors import SteelbenchError
from steelbench.evaluation.notices import result_notices
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.notices import NOTICES, as_markdown, known_codes, notice
from steelbench.records import ClassScore, Row, SplitSummary


def row(name="vgg19", accuracy=0.9, low=0.85, weights="imagenet", status="done", **more):
    backbone, method = name, {"none": "majority", "hog": "hog"}.get(name, "softmax")
    return Row(
        name=f"{backbone}-{method}", backbone="none" if name == "hog" else backbone, method=method, weights=weights,
        status=status, accuracy=accuracy, accuracy_low=low, accuracy_high=min(1.0, max(accuracy, low + 0.09)), **more,
    )  # fmt: skip


MAJORITY = row("none", 0.25, 0.2, "none")


def found(*rows, split=None):
    return list(result_notices([*rows, MAJORITY], split or SplitSummary()))


def codes(*rows, split=None):
    return [notice.code for notice in found(*rows, split=split)]


def test_good_rows_raise_no_notice():
    assert found(row()) == []


@pytest.mark.parametrize(
    ("accuracy", "low", "code"),
    [(0.3, 0.24, ["SB402"]), (0.3, 0.25, ["SB402"]), (0.3, 0.26, []), (0.25, 0.2, ["SB401"]), (0.2, 0.1, ["SB401"])],
)
def test_a_row_is_held_against_the_majority_class(accuracy, low, code):
    notices = found(row(accuracy=accuracy, low=low))

    assert [notice.code for notice in notices] == code
    assert all(notice.row == "vgg19-softmax" and "25.0%" in notice.text for notice in notices)


def test_not_shown_to_be_above_is_not_called_learned_nothing_and_says_what_would_show_it():
    # 77.0 % on 72 independent images against a majority of 70.8 %.
    low, high = proportion_interval(0.77, 72).low, proportion_interval(0.77, 72).high
    hog = row("hog", 0.77, low, "none").model_copy(update={"accuracy_high": high})
    majority = row("none", 0.708, 0.6, "none")

    (told,) = [notice for notice in result_notices([hog, majority], SplitSummary()) if notice.code == "SB402"]

    assert "is not shown to be above" in told.text and "learned nothing" not in told.text
    assert "learning rate" not in told.text
    needed = int(re.search(r"About (\d+) independent", told.text)[1])
    assert proportion_interval(0.77, needed).low > 0.708 >= proportion_interval(0.77, needed - 1).low


@pytest.mark.parametrize(("accuracy", "rate"), [(1.0, 0.9), (0.97, 0.95), (1.0, 0.999), (0.9996, 0.9994)])
def test_what_lies_above_the_majority_has_never_learned_nothing(accuracy, rate):
    majority = row("none", rate, 0.6, "none", train_accuracy=rate)
    good = row(accuracy=accuracy, low=0.86, train_accuracy=1.0, n_effective=20)

    (told,) = [n for n in result_notices([good, majority], SplitSummary()) if n.code.startswith("SB4")]

    assert told.code == "SB402" and "is not shown to be above" in told.text and "learned nothing" not in told.text
    assert "independent test images would show it; those tested tell as much as 20." in told.text


def test_a_test_set_of_one_class_shows_nothing_about_learning():
    majority = row("none", 1.0, 0.86, "none")

    (told,) = [n for n in result_notices([row(accuracy=1.0, low=0.86), majority], SplitSummary()) if n.row]
    assert told.code == "SB402" and "All test images are of that class" in told.text


def test_a_perfect_score_is_not_said_of_less():
    majority = row("none", 0.9998, 0.9, "none")

    (told,) = [n for n in result_notices([row(accuracy=0.9996, low=0.99), majority], SplitSummary())]
    assert told.code == "SB401" and told.text.startswith("Accuracy 99.9% is at most")


def test_a_baseline_is_not_told_to_check_its_learning_rate():
    (told,) = [notice for notice in found(row("hog", 0.2, 0.1, "none")) if notice.code == "SB401"]

    assert "learned nothing" in told.text and "learning rate" not in told.text


def test_failed_rows_and_folders_without_a_majority_are_not_held_against_it():
    assert found(row(low=0.0, status="failed")) == []
    assert list(result_notices([row(accuracy=0.05, low=0.0)], SplitSummary())) == []


def test_untrained_networks_get_one_quiet_notice():
    notices = found(row(weights="random", accuracy=0.2, low=0.1), row("xception", weights="random"), row("resnet50"))

    assert [(notice.code, notice.level) for notice in notices] == [("SB301", "note")]
    assert "vgg19, xception" in notices[0].text and "resnet50" not in notices[0].text


@pytest.mark.parametrize(("weights", "code"), [("imagenet", ["SB306"]), ("file", ["SB306"]), ("random", ["SB301"])])
def test_features_that_hardly_change_are_a_fault_of_trained_weights_only(weights, code):
    """VGG19 has no BatchNorm to calibrate; with random weights its features of the demo have a spread of .233."""
    flat = row(weights=weights, detail={"notes": {"features": {"spread": 0.233, "constant": 0.0}}})

    assert codes(flat) == code


def test_efficientnet_on_pixels_divided_by_255_is_the_majority_class():
    # The published 72.59 % of EfficientNetB0 on Severstal: 1030 of 1419, exactly the largest class.
    largest = row("none", 0.7259, 0.702, "none", train_accuracy=0.7259)
    stuck = row("efficientnet_b0", 0.7259, 0.702, train_accuracy=0.7259, validation_accuracy=0.7259)
    notices = list(result_notices([stuck, largest], SplitSummary()))

    assert [(notice.code, notice.level) for notice in notices] == [("SB401", "serious"), ("SB403", "serious")]
    assert "(72.6%)" in notices[0].text and "learned nothing" in notices[0].text
    assert "Training accuracy never rose" in notices[1].text


@pytest.mark.parametrize(("train", "stuck"), [(0.25, True), (0.27, True), (0.28, False), (0.99, False)])
def test_training_accuracy_that_never_rises_is_told(train, stuck):
    largest = row("none", 0.25, 0.2, "none", train_accuracy=0.25)
    notices = list(result_notices([row(train_accuracy=train), largest], SplitSummary()))

    assert [(notice.code, notice.row) for notice in notices] == [("SB403", "vgg19-softmax")] * stuck


@pytest.mark.parametrize(("validation", "strange"), [(0.9, False), (0.94, False), (0.96, True), (0.5, False)])
def test_validation_far_above_training_is_told(validation, strange):
    split = SplitSummary(validation=1000)

    assert codes(row(train_accuracy=0.9, validation_accuracy=validation), split=split) == ["SB404"] * strange


def test_validation_above_training_by_chance_is_not_told():
    # 10 images at .90: a standard error of 9.5 points.
    assert codes(row(train_accuracy=0.9, validation_accuracy=1.0), split=SplitSummary(validation=10)) == []
    assert codes(row(train_accuracy=0.6, validation_accuracy=1.0), split=SplitSummary(validation=30)) == ["SB404"]


@pytest.mark.parametrize(("spread", "dead"), [(0.02, True), (0.21, True), (0.4, False), (0.95, False)])
def test_features_that_hardly_change_are_told(spread, dead):
    notices = found(row(detail={"notes": {"features": {"spread": spread, "constant": 0.3}}}))

    assert [notice.code for notice in notices] == ["SB306"] * dead
    assert all("30%" in notice.text and "0..1 instead of 0..255" in notice.text for notice in notices)


@pytest.mark.parametrize("notes", [None, {}, {"features": None}])
def test_records_without_that_number_raise_no_notice(notes):
    assert found(row(detail={"notes": notes})) == []


@pytest.mark.parametrize(("low", "high", "small"), [(0.8, 0.95, True), (0.88, 0.93, False)])
def test_a_test_set_too_small_for_the_claim_is_told(low, high, small):
    notices = found(row(low=low, n_test=40, n_effective=31.6).model_copy(update={"accuracy_high": high}))

    assert [notice.code for notice in notices] == ["SB501"] * small
    assert all("32 independent" in notice.text and "15 points" in notice.text for notice in notices)


def test_classes_with_few_or_no_test_images_are_told_once():
    def score(name, support):
        return ClassScore(name=name, precision=1, recall=1, f1=1, support=support)

    scores = [score("many", 60), score("few", 27), score("one", 3), score("none", 0)]
    notices = found(row(per_class=scores), row("resnet50", per_class=scores), split=SplitSummary(seeds=3))

    assert [notice.code for notice in notices] == ["SB502", "SB503"]
    assert "'none'" in notices[0].text and "'few' (9), 'one' (1)" in notices[1].text
    assert not any("many" in notice.text for notice in notices)


def test_many_images_of_a_few_groups_are_few():
    def score(name, support, worth):
        return ClassScore(name=name, precision=1, recall=1, f1=1, support=support, n_effective=worth)

    (told,) = found(row(per_class=[score("copies", 24, 6.3), score("alone", 24, 24.0), score("enough", 12, 9.6)]))

    assert told.code == "SB503" and "independent test images of 'copies' (24, worth 6);" in told.text


def test_docs_list_every_notice():
    docs = Path(__file__).parents[2] / "docs" / "notices.md"

    assert docs.read_text(encoding="utf-8") == as_markdown()
    assert all(f"## {code} ({kind.level})" in as_markdown() for code, kind in NOTICES.items())


def test_values_that_look_like_placeholders_stay_text():
    assert "'{names}'" in notice("SB502", names="'{names}'").text


def test_codes_are_checked():
    assert known_codes(["sb301", "SB101", "SB301"]) == ["SB101", "SB301"]
    with pytest.raises(SteelbenchError, match=r"SB310.*SB301"):
        known_codes(["SB310"])
