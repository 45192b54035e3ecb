"""What the numbers themselves give away."""

import pytest

from steelbench.evaluation.notices import doubts
from steelbench.results import Row


def row(name="vgg19", accuracy=0.9, low=0.8, weights="imagenet", status="done"):
    backbone, method = name, "majority" if name == "none" else "softmax"
    return Row(
        name=f"{backbone}-{method}", backbone=backbone, method=method, weights=weights, status=status,
        accuracy=accuracy, accuracy_low=low, accuracy_high=1.0,
    )  # fmt: skip


MAJORITY = row("none", 0.25, 0.2, "none")


def test_good_rows_raise_no_doubt():
    assert list(doubts([row(), MAJORITY], {})) == []


@pytest.mark.parametrize(("low", "doubted"), [(0.24, True), (0.25, True), (0.26, False)])
def test_a_row_whose_interval_reaches_the_majority_has_learned_nothing(low, doubted):
    found = list(doubts([row(accuracy=0.5, low=low), MAJORITY], {}))

    assert [notice.row for notice in found] == ["vgg19-softmax"] * doubted
    assert all(notice.level == "serious" and "25.0%" in notice.text for notice in found)


def test_failed_rows_and_folders_without_a_majority_are_not_held_against_it():
    assert list(doubts([row(low=0.0, status="failed"), MAJORITY], {})) == []
    assert list(doubts([row(low=0.0)], {})) == []


def test_random_weights_are_said_once_with_every_backbone():
    found = list(doubts([row(weights="random"), row("xception", weights="random"), row("resnet50"), MAJORITY], {}))

    assert len(found) == 1 and found[0].level == "serious"
    assert "vgg19, xception:" in found[0].text and "resnet50" not in found[0].text
