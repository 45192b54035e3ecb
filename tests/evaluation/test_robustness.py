"""Robustness of a row: the images that are measured, and what its record says of made-up answers."""

import numpy as np
import pytest
from scipy import stats

from steelbench.evaluation.robustness import (
    Measured,
    choose_images,
    describe_robustness,
    first_to_hurt,
    read_robustness,
    record_path,
)
from steelbench.files import write_json
from steelbench.records import CorruptionCell, CorruptionResult, Robustness, RunRecord

CLASSES = ["patches", "scratches"]
TITLES = {"shift": "shift", "motion_blur": "motion blur"}
FIELDS = {"version": 1, "fingerprint": "f", "clean_differences": 0, "engine": "keras", "seconds": 1.0}
N = 60


def measured(wrong):
    """Answers that are right but for the first `wrong[corruption][strength]` images; the last two always wrong."""
    labels = np.arange(N) % 2

    def answers(count):
        found = labels.copy()
        found[:count] = 1 - found[:count]
        found[-2:] = 1 - labels[-2:]
        return found

    corrupted = {(name, s): answers(count) for name, own in wrong.items() for s, count in own.items()}
    return Measured(labels, np.arange(N), answers(0), corrupted)


def described(wrong):
    return describe_robustness(measured(wrong), CLASSES, TITLES, **FIELDS)


def test_one_image_of_each_group_is_measured_before_a_second_of_any():
    groups = np.array([5] * 30 + list(range(10, 30)) + [7] * 50)
    test, labels = np.arange(100), np.zeros(100, int)

    few, some, all_ = (choose_images(test, groups, labels, most) for most in (22, 24, 1000))

    assert sorted(groups[few]) == sorted({*groups.tolist()}) and list(few) == sorted(few)
    assert np.bincount(groups[some]).max() == 2 and set(few) <= set(some)
    assert np.array_equal(all_, test)
    assert np.array_equal(few, choose_images(test, groups, labels, 22))
    # Not the first of each group.
    assert not {0, 50} <= set(few.tolist())


def test_each_class_has_the_same_share_of_its_images_measured():
    """A class of few large groups keeps its share, by second images of its groups."""
    labels = np.repeat([0, 1, 2], [200, 100, 60])
    groups = np.where(labels == 1, labels * 1000 + np.arange(360) % 4, np.arange(360))

    chosen = choose_images(np.arange(360), groups, labels, 120)

    assert np.bincount(labels[chosen]).tolist() == pytest.approx([67, 33, 20], abs=1)
    assert np.unique(groups[chosen][labels[chosen] == 1]).size == 4


def test_only_rows_of_the_test_part_are_measured():
    test = np.array([3, 50, 70, 71])

    assert choose_images(test, np.arange(100), np.arange(100) % 7).tolist() == test.tolist()


def test_accuracy_change_and_p_value_are_those_of_the_answers():
    found = described({"shift": {1: 0, 3: 12}, "motion_blur": {1: 1, 3: 2}})

    cell = found.of("shift").at(3)
    assert found.clean_accuracy == pytest.approx(58 / 60) and found.images == found.groups == N
    assert cell.accuracy == pytest.approx(46 / 60) and cell.change == pytest.approx(-12 / 60)
    assert cell.change_low < cell.change < cell.change_high < 0
    assert cell.p_value == pytest.approx(stats.binomtest(0, 12).pvalue)
    assert found.of("motion_blur").at(1).p_value == 1
    assert found.strengths == [1, 3] and found.of("shift").at(2) is None


def test_the_worst_class_is_the_one_with_the_lowest_recall():
    own = measured({"shift": {3: 0}})
    answers = own.corrupted["shift", 3]
    answers[1:20:2] = 0

    found = describe_robustness(own, [*CLASSES, "absent"], {"shift": "shift"}, **FIELDS)

    cell = found.of("shift").at(3)
    assert (cell.worst_class, cell.worst_right, cell.worst_images) == ("scratches", 19, 30)


@pytest.mark.parametrize(
    ("wrong", "first"),
    [
        ({1: 0, 2: 0, 3: 0, 4: 0, 5: 0}, None),
        ({1: 0, 2: 3, 3: 12, 4: 20, 5: 30}, 3),
        ({1: 9, 2: 12, 3: 13, 4: 20, 5: 30}, 1),
        # Of six lost images p is .031: of one test that would do, of two corruptions it does not.
        ({1: 0, 2: 0, 3: 0, 4: 0, 5: 6}, None),
        ({1: 0, 2: 0, 3: 0, 4: 0, 5: 7}, 5),
        # What the strongest does not show, a weaker one may not.
        ({1: 0, 2: 20, 3: 20, 4: 20, 5: 2}, None),
        ({1: 20, 2: 2, 3: 20, 4: 20, 5: 20}, 3),
    ],
)
def test_strengths_are_tested_from_the_strongest_down(wrong, first):
    found = described({"shift": wrong, "motion_blur": dict.fromkeys(wrong, 0)})

    assert found.of("shift").hurts_from == first
    assert found.of("motion_blur").hurts_from is None
    assert found.first == (None if first is None else "shift")


def test_harmless_changes_are_rarely_said_to_hurt():
    """Eleven corruptions at five strengths that each flip 10 % of the answers to and fro."""
    rng, times, said = np.random.default_rng(0), 60, 0
    labels, titles = np.zeros(N, int), {str(number): "" for number in range(11)}
    for _ in range(times):
        clean = rng.random(N) < 0.1
        corrupted = {(name, s): (rng.random(N) < 0.1).astype(int) for name in titles for s in (1, 3, 5)}
        own = Measured(labels, np.arange(N), clean.astype(int), corrupted)
        said += describe_robustness(own, CLASSES, titles, **FIELDS).first is not None

    assert said <= 4


def result(name, first, change):
    cells = [
        CorruptionCell(strength=first or 1, accuracy=0.5, change=change, change_low=change, change_high=change,
                       p_value=0.01, worst_class="a", worst_right=1, worst_images=2)
    ]  # fmt: skip
    return CorruptionResult(corruption=name, title=name, cells=cells, hurts_from=first)


def test_what_hurts_first_is_the_weakest_strength_then_the_largest_loss():
    assert first_to_hurt([result("a", 2, -0.5), result("b", 1, -0.1), result("c", 1, -0.2)]) == "c"
    assert first_to_hurt([result("a", None, -0.5)]) is None


def run_record(**fields):
    return RunRecord(
        backbone="vgg19", method="softmax", fold=0, settings={}, classes=CLASSES, n_train=1, n_validation=1,
        n_test=1, image_size=224, weights={"kind": "imagenet"}, engine="keras", precision="float32", params=1,
        metrics={}, seconds={}, **({"seed": 0, "fingerprint": "f", "model": "models/x.h5"} | fields),
    )  # fmt: skip


def test_a_record_is_read_only_for_the_run_that_it_was_made_of(tmp_path):
    record = described({"shift": {3: 1}, "motion_blur": {3: 1}})
    path = record_path(tmp_path, "vgg19-softmax")
    assert read_robustness(tmp_path, [run_record()]) is None
    write_json(path, record)

    assert read_robustness(tmp_path, [run_record(seed=1), run_record()]) == record
    assert read_robustness(tmp_path, [run_record(fingerprint="other")]) is None
    assert read_robustness(tmp_path, [run_record(model=None)]) is None
    assert read_robustness(tmp_path, [run_record(seed=1)]) is None
    path.write_text(path.read_text("utf-8")[:100], "utf-8")
    assert read_robustness(tmp_path, [run_record()]) is None
    assert isinstance(record, Robustness)
