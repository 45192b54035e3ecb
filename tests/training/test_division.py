"""The splits of a run: what ties images together, and what leaks where it does not."""

import numpy as np
import pytest

from steelbench.data.inspection import Inspected, Inspection
from steelbench.data.samples import Sample
from steelbench.data.splits import Split
from steelbench.experiment import RunOptions
from steelbench.training.describe import first_notices
from steelbench.training.division import divide, leaking_share

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


def leaks_by_loops(division, found):
    """Largest share of test images with an equal image in training, counted one by one."""
    shares = []
    for split in division.splits.values():
        train = {found.images[row].pixels_digest for row in split.train}
        shares.append(sum(found.images[row].pixels_digest in train for row in split.test) / len(split.test))
    return max(shares)


@pytest.mark.parametrize("folds", [1, 4])
def test_grouped_splits_keep_copies_together(folds):
    found = inspection(copies=3)
    division = divide(options(folds=folds, seeds=2), found)

    assert len(division.splits) == 2 * folds
    assert division.groups == 40
    assert division.leaking == 0 == leaks_by_loops(division, found)


def test_random_splits_leak_and_say_how_much():
    found = inspection(copies=3)
    division = divide(options(split="random", folds=4), found)

    assert division.groups == 120
    assert division.leaking == pytest.approx(leaks_by_loops(division, found))
    assert division.leaking > 0.5
    notice = next(n for n in first_notices(found, division) if "leaks" in n.text)
    assert notice.level == "serious" and f"{division.leaking:.1%}" in notice.text


def test_a_split_of_the_data_that_tears_copies_apart_is_told():
    parts = ["train", "test"] * 40  # every image in training, its copy in test
    found = inspection(copies=2, splits=parts)
    division = divide(options(), found)

    # A fifth of the training images was drawn for validation, the copies of the others are seen in training.
    assert division.leaking == pytest.approx(0.8) == leaks_by_loops(division, found)


def test_a_group_column_ties_images_that_differ():
    # Each sheet holds images of one class: 0 2 4 6, 1 3 5 7, ...
    groups = [f"sheet {number // 8} {number % 2}" for number in range(80)]
    found = inspection(groups=groups, count=80)
    division = divide(options(), found)

    assert division.groups == 20
    split = division.splits[0, 0]
    sides = [{groups[row] for row in part} for part in (split.train, split.validation, split.test)]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])


def test_no_leak_is_no_notice():
    found = inspection()
    assert not first_notices(found, divide(options(), found))


def test_share_of_a_case_counted_by_hand():
    split = Split(np.array([0, 1, 2]), np.array([3]), np.array([4, 5, 6, 7]))
    # Of the test images, 4 and 7 are of groups that stand in training.
    assert leaking_share(split, np.array([0, 1, 2, 3, 0, 4, 3, 2])) == 0.5
