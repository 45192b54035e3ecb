"""Splits: disjoint, covering, stratified, and no group on two sides, over many random data sets."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from steelbench.data.splits import make_splits
from steelbench.errors import SteelbenchError

PARTS = ("train", "validation", "test")


def split(labels, groups=None, fixed=None, *, folds=1, seed=0):
    labels = np.array(labels, np.int64)
    groups = np.arange(len(labels)) if groups is None else np.array(groups, np.int64)
    names = [f"class {k}" for k in range(labels.max() + 1)]
    return make_splits(labels, groups, fixed or [""] * len(labels), folds=folds, seed=seed, classes=names)


def parts(one):
    return [getattr(one, part) for part in PARTS]


def check(one, total, groups=None):
    """Ascending, disjoint, covering; no group on two sides."""
    for part in parts(one):
        assert list(part) == sorted(set(part.tolist()))
    assert sorted(np.concatenate(parts(one)).tolist()) == list(range(total))
    if groups is not None:
        sides = {}
        for name, part in zip(PARTS, parts(one), strict=True):
            for index in part:
                assert sides.setdefault(groups[index], name) == name


def classes_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def random_data(rng, classes, mixed=0.0):
    """Labels and groups of 1 to 6 images; a share `mixed` of the groups holds two classes."""
    labels, groups = [], []
    for label in range(classes):
        for _ in range(rng.integers(6, 25)):
            size = int(rng.choice([1, 1, 1, 2, 3, 6]))
            group = groups[-1] + 1 if groups else 0
            other = rng.integers(classes) if rng.random() < mixed else label
            labels += [label] * size + [other] * int(other != label)
            groups += [group] * (size + int(other != label))
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(groups)[order]


@pytest.mark.parametrize("per_class", [[300] * 6, [50, 50], [100, 40, 20, 10]])
def test_shares_are_64_16_20_percent_of_every_class(per_class):
    labels = classes_of(per_class)

    (one,) = split(labels)

    check(one, len(labels))
    for label, count in enumerate(per_class):
        in_test, in_rest = Fraction(count, 5), Fraction(4 * count, 5)
        expected = (in_rest * Fraction(4, 5), in_rest / 5, in_test)
        for part, share in zip(parts(one), expected, strict=True):
            assert abs((labels[part] == label).sum() - share) <= 1


def test_single_images_are_stratified_within_one_image():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        per_class = rng.integers(10, 200, rng.integers(2, 9))
        labels = rng.permutation(classes_of(per_class))

        (one,) = split(labels, seed=seed)

        check(one, len(labels))
        for label, count in enumerate(per_class):
            assert abs((labels[one.test] == label).sum() - count / 5) <= 1, f"seed {seed}"
            assert abs((labels[one.validation] == label).sum() - (count - count / 5) / 5) <= 1.2, f"seed {seed}"


@pytest.mark.parametrize("mixed", [0.0, 0.2])
def test_groups_never_cross_and_every_class_is_everywhere(mixed):
    for seed in range(12):
        labels, groups = random_data(np.random.default_rng(seed), classes=4, mixed=mixed)

        (one,) = split(labels, groups, seed=seed)

        check(one, len(labels), groups)
        assert all(set(labels[part]) == set(range(4)) for part in parts(one)), f"seed {seed}"
        assert abs(len(one.test) / len(labels) - 0.2) < 0.08, f"seed {seed}"


@pytest.mark.parametrize(
    "per_class",
    [[3, 3], [3, 4, 5], [3] * 10, [4] * 3, [5] * 2, [6] * 4, [3, 20, 30], [3] * 12 + [60], [3, 3, 300]],
    ids=lambda counts: f"{len(counts)}x{min(counts)}..{max(counts)}",
)
def test_tiny_classes_stand_in_every_part(per_class):
    labels = classes_of(per_class)

    for seed in range(2):
        (one,) = split(labels, seed=seed)

        check(one, len(labels))
        for part in parts(one):
            assert set(labels[part]) == set(range(len(per_class))), f"seed {seed}"
        if max(per_class) >= 60:
            assert len(one.train) > 0.5 * len(labels), f"seed {seed}"


def test_tiny_classes_of_three_groups_stand_in_every_part():
    labels = classes_of([12, 60])
    groups = np.concatenate([np.repeat([0, 1, 2], 4), np.arange(3, 63)])

    for seed in range(8):
        (one,) = split(labels, groups, seed=seed)
        check(one, len(labels), groups)
        assert all(set(labels[part]) == {0, 1} for part in parts(one))


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
@pytest.mark.parametrize("grouped", [False, True])
def test_each_fold_is_the_test_set_once(folds, grouped):
    rng = np.random.default_rng(folds)
    labels, groups = random_data(rng, classes=3) if grouped else (rng.permutation(classes_of([40, 31, 22])), None)
    if grouped:  # enough groups for 10 folds
        labels, groups = np.tile(labels, 2), np.concatenate([groups, groups + groups.max() + 1])

    splits = split(labels, groups, folds=folds)

    assert len(splits) == folds
    assert sorted(np.concatenate([one.test for one in splits]).tolist()) == list(range(len(labels)))
    for one in splits:
        check(one, len(labels), groups)
        assert all(set(labels[part]) == {0, 1, 2} for part in parts(one))
        share = len(one.validation) / (len(one.train) + len(one.validation))
        assert abs(share - 0.2) < (0.07 if grouped else 0.03)
        if not grouped:
            for label, count in Counter(labels.tolist()).items():
                assert abs((labels[one.test] == label).sum() - count / folds) <= 1


def test_as_many_folds_as_the_smallest_class_has_images():
    labels = classes_of([5, 40])

    for one in split(labels, folds=5):
        assert (labels[one.test] == 0).sum() == 1


def test_the_same_seed_gives_the_same_split_and_another_does_not():
    labels, groups = random_data(np.random.default_rng(0), classes=3)

    def drawn(seed, folds):
        return [[part.tolist() for part in parts(one)] for one in split(labels, groups, folds=folds, seed=seed)]

    for folds in (1, 3):
        assert drawn(4, folds) == drawn(4, folds)
        tests = [tuple(map(tuple, (one[2] for one in drawn(seed, folds)))) for seed in range(10)]
        assert len(set(tests)) == 10


def test_seeds_draw_every_image_into_the_test_set_about_as_often():
    labels = classes_of([30, 30])

    times = Counter(index for seed in range(100) for index in split(labels, seed=seed)[0].test.tolist())

    # 100 draws at .2 each: 20 +- 4; five deviations for 60 images.
    assert len(times) == 60 and all(abs(count - 20) < 20 for count in times.values())


def test_a_fixed_split_is_kept_whatever_the_seed():
    labels = np.tile([0, 1], 30)
    fixed = ["train"] * 40 + ["validation"] * 8 + ["test"] * 12

    for seed in range(3):
        (one,) = split(labels, fixed=fixed, seed=seed)
        assert [len(part) for part in parts(one)] == [40, 8, 12]
        assert [fixed[part[0]] for part in parts(one)] == list(PARTS)
        check(one, 60)


@pytest.mark.parametrize("missing", ["validation", "test"])
def test_only_the_part_that_is_missing_is_drawn_from_training(missing):
    labels = np.tile([0, 1], 30)
    groups = np.arange(60) // 2
    there = "test" if missing == "validation" else "validation"
    fixed = ["train"] * 50 + [there] * 10

    (one,) = split(labels, groups, fixed)

    check(one, 60, groups)
    assert getattr(one, there).tolist() == list(range(50, 60))
    assert len(getattr(one, missing)) == 10  # a fifth of 50


def test_images_without_a_part_are_training_images():
    fixed = ["test"] * 10 + [""] * 40 + ["validation"] * 10

    assert split(np.tile([0, 1], 30), fixed=fixed)[0].train.tolist() == list(range(10, 50))


def test_a_training_class_of_one_image_stays_in_training():
    labels = classes_of([1, 30])

    for seed in range(5):
        (one,) = split(labels, fixed=["train"] * 31, seed=seed)
        check(one, 31)
        assert 0 in one.train


def test_a_fixed_split_and_folds_are_refused():
    with pytest.raises(SteelbenchError, match="brings its own split, so --folds 5"):
        split([0, 1] * 5, fixed=["train"] * 9 + ["test"], folds=5)


@pytest.mark.parametrize("fixed", [["test"] * 10, ["train", "test"] * 5, ["validation"] * 5 + ["test"] * 5])
def test_a_fixed_split_that_trains_no_image_of_a_class_is_refused(fixed):
    with pytest.raises(SteelbenchError, match=r"no training image of .*'class 1'"):
        split([0, 1] * 5, fixed=fixed)


def test_a_fixed_split_whose_training_images_are_one_group_is_refused():
    with pytest.raises(SteelbenchError, match="6 training, 0 validation and 0 test"):
        split([0, 1] * 3, groups=[0] * 6, fixed=["train"] * 6)
    with pytest.raises(SteelbenchError, match="1 training, 0 validation and 1 test"):
        make_splits(np.array([0, 0]), np.arange(2), ["train", "test"], folds=1, seed=0, classes=["only"])


@pytest.mark.parametrize(
    ("groups_of_small", "folds", "words"),
    [
        (4, 5, "The largest --folds is 4"),
        (3, 10, "The largest --folds is 3"),
        (2, 1, "Add images of that class, or leave out such classes with --drop-small 3"),
        (1, 5, "has 1 group of images"),
    ],
)
def test_more_folds_than_a_class_has_groups_are_refused(groups_of_small, folds, words):
    labels = classes_of([40, 12])
    groups = np.concatenate([np.arange(40), 40 + np.arange(12) % groups_of_small])

    with pytest.raises(SteelbenchError) as caught:
        split(labels, groups, folds=folds)

    assert "class 'class 1'" in str(caught.value) and words in str(caught.value)
    assert ("largest" in words) == ("largest" in str(caught.value))


def test_the_largest_number_of_folds_that_a_refusal_names_works():
    labels = classes_of([40, 12])
    groups = np.concatenate([np.arange(40), 40 + np.arange(12) % 4])

    assert len(split(labels, groups, folds=4)) == 4
