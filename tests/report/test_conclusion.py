import pytest
from results_folder import failed_row, majority_row, summary

from steelbench.report.words import conclusion, flatten, percent, shorten
from steelbench.results import Row


def row(backbone, accuracy, low, high, weights="imagenet"):
    return Row(
        name=f"{backbone}-linear",
        backbone=backbone,
        method="linear",
        weights=weights,
        status="done",
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
        n_test=360,
    )


BEST = row("mobilenet_v2", 0.994, 0.979, 0.998)
NEAR = row("vgg19", 0.98, 0.96, 0.99)
FAR = row("xception", 0.9, 0.86, 0.93)


def test_a_row_that_no_interval_overlaps_is_best():
    assert conclusion(summary([BEST, FAR, majority_row()])) == (
        "Best: mobilenet_v2 + linear, 99.4 % [97.9, 99.8] on 360 test images; no other row's interval overlaps."
    )


@pytest.mark.parametrize(
    ("near", "named"),
    [
        ([NEAR], "the interval of vgg19 + linear overlaps it"),
        (
            [NEAR, row("resnet50", 0.97, 0.95, 0.98)],
            "the intervals of vgg19 + linear and resnet50 + linear overlap it",
        ),
        ([NEAR] * 3, "the intervals of 3 other rows overlap it"),
    ],
)
def test_no_row_wins_inside_an_overlap(near, named):
    text = conclusion(summary([BEST, *near, FAR]))

    assert text.startswith("Highest: mobilenet_v2 + linear, 99.4 % [97.9, 99.8] on 360 test images; ")
    assert text.endswith(f"; {named}, so this data set does not separate them.")
    assert "Best" not in text


def test_intervals_that_share_one_end_overlap():
    touching = row("vgg19", 0.97, 0.95, BEST.accuracy_low)

    assert conclusion(summary([BEST, touching])).startswith("Highest")


def test_the_order_of_the_rows_does_not_matter():
    assert conclusion(summary([FAR, BEST])) == conclusion(summary([BEST, FAR]))


def test_one_row_is_compared_with_nothing():
    assert conclusion(summary([BEST])) == (
        "mobilenet_v2 + linear reaches 99.4 % [97.9, 99.8] on 360 test images; "
        "it is the only finished row, so nothing is compared."
    )


def test_nothing_finished():
    both = [majority_row(), failed_row(), failed_row("vgg19")]

    assert conclusion(summary([])) == "No experiment finished, so there is nothing to conclude."
    assert conclusion(summary(both)).endswith("nothing to conclude. 2 rows failed.")


def test_failures_chance_level_and_untrained_networks_are_said():
    chance = row("vgg19", 0.2, 0.16, 0.25, weights="random")

    text = conclusion(summary([chance, majority_row(), failed_row()]))

    assert "not shown to beat always naming the largest class (16.7 %)." in text
    assert "Its backbone is untrained (random weights)" in text
    assert text.endswith(" 1 row failed.")


def test_a_row_without_interval_counts_as_a_point():
    inside = row("vgg19", 0.985, None, None)
    below = row("vgg19", 0.97, None, None)

    assert conclusion(summary([BEST, inside])).startswith("Highest")
    assert conclusion(summary([BEST, below])).startswith("Best")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "–"),
        (0.9944, "99.4 %"),
        (0.9998, "99.98 %"),
        (0.999999, "99.99 %"),
        (1, "100.0 %"),
        (0, "0.0 %"),
    ],
)
def test_percent_is_never_rounded_up_to_perfect(share, text):
    assert percent(share) == text


def test_shorten_keeps_both_ends_on_one_line():
    assert shorten("a\nb\tc\x00d") == "a b c d"
    assert shorten("0123456789", 5) == "01…89"
    assert shorten("0123456789", 10) == "0123456789"


def test_flatten_names_every_leaf():
    nested = {"a": {"b": 1, "c": {}}, "d": None, "e": [1, 2], "f": True}

    assert list(flatten(nested)) == [("a.b", "1"), ("a.c", "{}"), ("d", "–"), ("e", "[1, 2]"), ("f", "true")]
