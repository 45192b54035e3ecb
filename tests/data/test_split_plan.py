"""The splits of a run: what ties images together stays together, and what leaks is measured."""

import pytest

from steelbench.data.groups import Pair
from steelbench.data.inspection import Inspected, Inspection
from steelbench.data.samples import Sample
from steelbench.data.split_plan import plan_splits
from steelbench.experiment import RunOptions
from steelbench.runs.run_summary import first_notices

CLASSES = ("a", "b")


def inspection(copies=1, splits=None, groups=None, count=40):
    """`count` images, each in `copies` copies with the same pixels; classes take turns."""
    images = []
    for number in range(count):
        for copy in range(copies):
            place = len(images)
            split = splits[place] if splits else ""
            group = groups[place] if groups else ""
            sample = Sample(f"{number}-{copy}.png", CLASSES[number % 2], split, group)
            images.append(Inspected(sample, f"bytes {place}", f"pixels {number}", 8, 8, 8, 255))
    return Inspection(tuple(images), (), CLASSES, "digest")


def options(**more):
    return RunOptions(data="d", **more)


def leaks_by_loops(plan, found):
    """Largest share of test images with an equal image in training, counted one by one."""
    shares = []
    for split in plan.splits.values():
        train = {found.images[row].pixels_digest for row in split.train}
        shares.append(sum(found.images[row].pixels_digest in train for row in split.test) / len(split.test))
    return max(shares)


@pytest.mark.parametrize("folds", [1, 4])
def test_grouped_splits_keep_copies_together(folds):
    found = inspection(copies=3)
    plan = plan_splits(options(folds=folds, seeds=2), found)

    assert len(plan.splits) == 2 * folds
    assert plan.groups == 40
    assert plan.leaking == 0 == leaks_by_loops(plan, found)


def test_random_splits_leak_and_say_how_much():
    found = inspection(copies=3)
    plan = plan_splits(options(split="random", folds=4), found)

    assert plan.groups == 120
    assert plan.leaking == pytest.approx(leaks_by_loops(plan, found))
    assert plan.leaking > 0.5
    notice = next(n for n in first_notices(found, plan) if "leaks" in n.text)
    assert notice.level == "serious" and f"{plan.leaking:.1%}" in notice.text


def test_a_split_of_the_data_that_tears_copies_apart_is_told():
    parts = ["train", "test"] * 40  # every image in training, its copy in test
    found = inspection(copies=2, splits=parts)
    plan = plan_splits(options(), found)

    # A fifth of the training images was drawn for validation, the copies of the others are seen in training.
    assert plan.leaking == pytest.approx(0.8) == leaks_by_loops(plan, found)


def test_a_group_column_ties_images_that_differ():
    # Each sheet holds images of one class: 0 2 4 6, 1 3 5 7, ...
    groups = [f"sheet {number // 8} {number % 2}" for number in range(80)]
    found = inspection(groups=groups, count=80)
    plan = plan_splits(options(), found)

    assert plan.groups == 20
    split = plan.splits[0, 0]
    sides = [{groups[row] for row in part} for part in (split.train, split.validation, split.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_no_leak_is_no_notice():
    found = inspection()
    assert not first_notices(found, plan_splits(options(), found))


def overlapping(found, step=4):
    """Neighbouring crops along a strip: each image lies on the next but at the strips' ends."""
    files = [image.sample.path for image in found.images]
    return [
        Pair(a, b, "overlap", 0.5, 0, 4, True)
        for place, (a, b) in enumerate(zip(files[::2], files[2::2], strict=False))
        if place % step != step - 1
    ] + [Pair(a, b, "overlap", 0.5, 0, 4, True) for a, b in zip(files[1::8], files[3::8], strict=False)]


@pytest.mark.parametrize("folds", [1, 4])
def test_no_pair_of_the_audit_crosses_a_grouped_split(folds):
    found = inspection(count=80)
    pairs = overlapping(found)
    plan = plan_splits(options(folds=folds, seeds=2), found, pairs)
    place = {image.sample.path: row for row, image in enumerate(found.images)}

    for split in plan.splits.values():
        for part in (split.train, split.validation, split.test):
            assert all((place[p.file_a] in part) == (place[p.file_b] in part) for p in pairs)
    assert plan.leaking == 0
    # A strip of four is one group, though its ends share nothing with each other.
    assert plan.group_of[place["0-0.png"]] == plan.group_of[place["6-0.png"]]


def test_naive_splits_ignore_what_images_share_and_say_how_much_leaks():
    found = inspection(count=80)
    pairs = overlapping(found)
    plan = plan_splits(options(folds=4, seeds=2), found, pairs)

    place = {image.sample.path: row for row, image in enumerate(found.images)}
    split = plan.naive
    train, ends = set(split.train), [(place[p.file_a], place[p.file_b]) for p in pairs]
    leaks = {a for a, b in ends if b in train} | {b for a, b in ends if a in train}
    assert sorted([*split.train, *split.validation, *split.test]) == list(range(80))
    assert plan.naive_leaking == pytest.approx(len(leaks & set(split.test)) / len(split.test))
    assert plan.naive_leaking > 0.3


@pytest.mark.parametrize("more", [{"split": "random"}, {}])
def test_where_nothing_is_shared_or_splits_are_random_there_is_no_second_split(more):
    found = inspection(copies=2 if more else 1)

    assert not plan_splits(options(**more), found).naive


def test_a_split_of_the_data_has_no_second_one():
    assert not plan_splits(options(), inspection(copies=2, splits=["train", "test"] * 40)).naive
