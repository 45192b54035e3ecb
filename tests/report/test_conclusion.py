"""The conclusion, word for word."""

import pytest
from results_folder import failed_row, hog_row, judged, majority_row, summary

from steelbench.records import Row
from steelbench.report.conclusion import conclusion, standings
from steelbench.report.formatting import flatten, p_value, percent, shorten

ALONE = "this test set reliably shows only differences of 2.3 points or more."


def shown(rival):
    return f"from {rival} + linear this test set reliably shows a difference of 2.3 points or more."


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


def test_a_row_is_best_if_all_others_are_shown_to_be_worse_whether_intervals_overlap_or_not():
    assert conclusion(judged(summary([BEST, NEAR, majority_row()]))) == (
        "Best: mobilenet_v2 + linear, 99.4 % [97.9, 99.8] on 360 test images; the other row is shown to be worse "
        f"(p = 0.0023); {shown('vgg19')}"
    )
    assert "; each of the 2 other rows is shown to be worse (p = 0.0023);" in conclusion(
        judged(summary([BEST, NEAR, FAR]))
    )


def test_no_row_wins_inside_the_noise_however_far_the_intervals_are_apart():
    assert conclusion(judged(summary([BEST, FAR]), tied=2)) == (
        "No winner: mobilenet_v2 + linear, 99.4 % [97.9, 99.8] on 360 test images, is not shown to be better than "
        f"xception + linear; {shown('xception')}"
    )


@pytest.mark.parametrize(
    ("others", "tied", "named"),
    [
        ([NEAR, row("resnet50", 0.97, 0.95, 0.98), FAR], 3, "vgg19 + linear and resnet50 + linear"),
        ([NEAR, row("resnet50", 0.97, 0.95, 0.98), row("a", 0.96, 0.95, 0.98), FAR], 4, "3 other rows"),
        ([NEAR, row("resnet50", 0.97, 0.95, 0.98), FAR], 4, "any of the 3 other rows"),
        ([NEAR, hog_row(), FAR], 4, "any of the 3 other rows, HOG + linear SVM (no network) among them"),
        ([hog_row()], 2, "HOG + linear SVM (no network)"),
    ],
)
def test_tied_rows_are_named_or_counted_and_a_baseline_among_them_is_named(others, tied, named):
    text = conclusion(judged(summary([BEST, *others, majority_row()]), tied=tied))

    assert f"is not shown to be better than {named}; " in text and "Best" not in text


def test_heads_of_one_network_that_tie_do_not_hide_that_the_network_is_best():
    head = BEST.model_copy(update={"method": "softmax", "accuracy": 0.99})

    alone = conclusion(judged(summary([BEST, head, hog_row(), majority_row()]), tied=2))
    others = conclusion(judged(summary([BEST, head, FAR, hog_row(), majority_row()]), tied=2))

    assert alone.startswith(
        "mobilenet_v2: 99.4 % [97.9, 99.8] on 360 test images, with linear; softmax on it is not shown to be worse; "
        "HOG + linear SVM is shown to be worse; "
    )
    assert others.startswith("Best network: mobilenet_v2, 99.4 %")
    assert "softmax on it is not shown to be worse, every other network is; HOG" in others


def test_a_test_set_that_can_show_nothing_is_said_to_be_too_small():
    text = conclusion(judged(summary([BEST, FAR]), tied=2, smallest_difference=1.0))

    assert text.endswith("; so few test images cannot reliably show any difference.")


def test_what_the_test_images_are_worth_is_said_if_it_is_notably_less():
    few, all_but = (BEST.model_copy(update={"n_effective": worth}) for worth in (212.4, 358.0))

    assert "on 360 test images (worth 212 independent ones), is not" in conclusion(judged(summary([few, FAR]), tied=2))
    assert "on 360 test images, is not" in conclusion(judged(summary([all_but, FAR]), tied=2))


def test_that_another_training_might_turn_the_order_is_said():
    one = judged(summary([BEST, NEAR, FAR]), resampled_t={"vgg19-linear": 0.3, "xception-linear": 0.001})
    both = judged(summary([BEST, NEAR, FAR]), resampled_t={"vgg19-linear": 0.3, "xception-linear": 0.06})

    assert "(p = 0.0023), but trained on other images vgg19 + linear might not be; " in conclusion(one)
    assert "(p = 0.0023), but trained on other images 2 of them might not be; " in conclusion(both)


def test_rows_that_could_not_be_compared_are_said():
    text = conclusion(judged(summary([BEST, FAR]), left_out=["vgg19-linear"]))

    assert text.endswith(" 1 row was tested on other images and cannot be compared.")


def test_records_without_a_comparison_name_no_winner():
    assert conclusion(summary([BEST, FAR])) == (
        "Highest: mobilenet_v2 + linear, 99.4 % [97.9, 99.8] on 360 test images; "
        "these records do not say whether the other rows are worse."
    )


def test_one_row_is_compared_with_nothing():
    assert conclusion(judged(summary([BEST]))) == (
        "mobilenet_v2 + linear reaches 99.4 % [97.9, 99.8] on 360 test images; "
        f"it is the only finished row, so nothing is compared; {ALONE}"
    )


def test_standings_call_best_only_one_that_is_alone():
    def marks(tied):
        return standings(judged(summary([BEST, NEAR, FAR, majority_row()]), tied=tied).rows)

    assert marks(1) == {"mobilenet_v2-linear": "best"}
    assert marks(2) == {"mobilenet_v2-linear": "tied for best", "vgg19-linear": "tied for best"}
    assert standings([BEST, FAR]) == {}


def test_nothing_finished():
    both = [majority_row(), failed_row(), failed_row("vgg19")]

    assert conclusion(summary([])) == "No experiment finished, so there is nothing to conclude."
    assert conclusion(summary(both)).endswith("nothing to conclude. 2 rows failed.")


def test_failures_and_chance_level_are_said():
    text = conclusion(summary([row("vgg19", 0.2, 0.16, 0.25), majority_row(), failed_row()]))

    assert "not shown to beat always naming the largest class (16.7 %)." in text
    assert text.endswith(" 1 row failed.")


def test_untrained_networks_are_counted_and_never_named_best():
    untrained = [row(name, 0.99, 0.97, 1.0, weights="random") for name in ("vgg19", "resnet50")]

    text = conclusion(summary([*untrained, FAR, majority_row()]))

    assert text.startswith("xception + linear reaches") and "vgg19" not in text
    assert text.endswith(
        " 2 networks ran untrained and are not ranked; `steelbench weights list` says how to get the weights."
    )
    assert conclusion(summary([*untrained, majority_row()])).startswith(
        "Nothing can be ranked. 2 networks ran untrained"
    )


def test_a_baseline_that_is_shown_to_be_worse_is_named_beside_tied_rows():
    text = conclusion(judged(summary([BEST, NEAR, hog_row(0.6), majority_row()]), tied=2))

    assert "is not shown to be better than vgg19 + linear; HOG + linear SVM is shown to be worse; " in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (1.0, "p = 1"), (0.0512, "p = 0.051"), (0.00231, "p = 0.0023"), (0.0004, "p < 0.001")],
)
def test_p_values_are_short(value, text):
    assert p_value(value) == text


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
