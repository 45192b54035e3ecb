"""Episodes hold the images that they should, and centroids classify as a loop over the paper's definition."""

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.few_shot import (
    enrollment_accuracy,
    episodes,
    few_shot_accuracy,
    few_shot_scores,
    nearest_centroid,
)


def images(per_class=20, classes=4, group_size=2, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = rng.standard_normal((classes, 6))
    vectors = (centres[labels] + spread * rng.standard_normal((len(labels), 6))).astype(np.float32)
    return Embedded(vectors, labels, np.arange(len(labels)) // group_size)


@pytest.mark.parametrize(("ways", "shots"), [(2, 1), (4, 5), (3, 9)])
def test_support_and_query_are_of_different_groups(ways, shots):
    found = images()
    for support, query in episodes(found.labels, found.groups, ways, shots, 20):
        classes, counts = np.unique(found.labels[support], return_counts=True)
        assert len(classes) == ways and (counts == shots).all()
        assert len(np.unique(found.groups[support])) == ways * shots
        assert set(found.labels[query]) == set(classes)
        assert not set(found.groups[support]) & set(found.groups[query])
        assert len(set(query)) == len(query)


def test_the_seed_decides_the_episodes():
    found = images()

    def drawn(seed):
        return [np.concatenate(pair).tolist() for pair in episodes(found.labels, found.groups, 3, 2, 5, seed)]

    assert drawn(1) == drawn(1) != drawn(2)


def test_classes_with_too_few_groups_take_no_part():
    labels = np.array([0] * 10 + [1] * 10 + [2] * 3)
    groups = np.arange(23)
    for support, _ in episodes(labels, groups, 2, 5, 10):
        assert set(labels[support]) == {0, 1}
    with pytest.raises(SteelbenchError, match="Lower the ways or the shots"):
        next(episodes(labels, groups, 3, 5, 1))


def test_groups_with_images_of_two_classes_take_no_part():
    labels = np.repeat([0, 1], 12)
    groups = np.arange(24)
    groups[:4] = groups[12:16] = 99  # four images of each class share pixels
    found = [np.concatenate(pair) for pair in episodes(labels, groups, 2, 2, 50)]

    assert set(np.concatenate(found).tolist()) == set(range(4, 12)) | set(range(16, 24))


def test_every_image_of_a_drawn_group_can_be_the_support():
    labels, groups = np.repeat([0, 1], 9), np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 3, 4, 4, 4, 5, 5, 5, 5, 6])
    drawn = np.concatenate([support for support, _ in episodes(labels, groups, 2, 1, 600)])
    counts = np.bincount(drawn, minlength=18)

    # Groups are equally likely, then the images of the group.
    expected = [
        600 / len(set(groups[labels == label])) / np.sum(groups == group)
        for label, group in zip(labels, groups, strict=True)
    ]
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))


def test_nearest_centroid_is_the_paper_s_prototype_by_cosine():
    found = images(spread=1.5)
    support, query = next(episodes(found.labels, found.groups, 4, 3, 1))
    expected = []
    for row in query:
        cosines = {}
        for label in set(found.labels[support]):
            members = [found.vectors[i] / np.linalg.norm(found.vectors[i]) for i in support if found.labels[i] == label]
            centre = sum(members) / len(members)
            cosines[label] = found.vectors[row] @ centre / np.linalg.norm(centre)
        expected.append(max(cosines, key=cosines.get))

    assert nearest_centroid(found.vectors, found.labels, support, query).tolist() == expected


def test_accuracy_rises_with_the_shots_and_its_interval_holds_it():
    found = images(per_class=40, spread=1.2)
    one, ten = (few_shot_accuracy(found, 4, shots, 60) for shots in (1, 10))

    assert one.low <= one.accuracy <= one.high < ten.accuracy
    assert one.episodes == 60


def test_interval_is_student_s_over_episodes():
    from scipy import stats

    found = images(spread=1.5)
    scores = [
        np.mean(nearest_centroid(found.vectors, found.labels, support, query) == found.labels[query])
        for support, query in episodes(found.labels, found.groups, 4, 1, 30, 3)
    ]
    low, high = stats.t.interval(0.95, 29, np.mean(scores), stats.sem(scores))
    shown = few_shot_accuracy(found, 4, 1, 30, 3)

    assert (shown.low, shown.high) == pytest.approx((low, high))


def test_scores_are_those_of_episodes_over_all_classes():
    found = images(per_class=20, spread=1.0)
    scores = few_shot_scores(found, seed=4)

    for shots in (1, 5):
        one = few_shot_accuracy(found, 4, shots, 200, 4)
        names = (f"few_shot_{shots}", f"few_shot_{shots}_low", f"few_shot_{shots}_high")
        assert tuple(scores[name] for name in names) == (one.accuracy, one.low, one.high)


@pytest.mark.parametrize(
    ("smallest", "missing"), [(7, ()), (6, ()), (5, (5,)), (2, (5,)), (1, (1, 5))], ids=lambda value: str(value)
)
def test_a_class_with_too_few_groups_leaves_the_score_out(smallest, missing):
    found = images(per_class=10, group_size=1)
    kept = np.flatnonzero((found.labels > 0) | (np.arange(40) < smallest))
    scores = few_shot_scores(Embedded(found.vectors[kept], found.labels[kept], found.groups[kept]))

    for shots in (1, 5):
        assert (scores[f"few_shot_{shots}"] is None) == (shots in missing)
        assert (scores[f"few_shot_{shots}_low"] is None) == (shots in missing)


def test_one_class_has_no_score():
    assert set(few_shot_scores(images(classes=1)).values()) == {None}


def test_classes_far_apart_need_one_image():
    assert few_shot_accuracy(images(spread=0.001), 4, 1, 10).accuracy == 1


def test_enrolled_classes_are_told_beside_the_old_ones():
    found = images(per_class=30, spread=0.01)
    rows = np.arange(len(found.labels))
    known, test = rows[(found.labels < 2) & (rows % 4 < 2)], rows[rows % 4 >= 2]
    new = np.array([False, False, True, True])
    accuracy = enrollment_accuracy(found, known, test, new, 1, 10)

    assert accuracy["old"].accuracy == accuracy["new"].accuracy == 1
    blurred = images(per_class=30, spread=2.0)
    few, many = (enrollment_accuracy(blurred, known, test, new, shots, 30)["new"].accuracy for shots in (1, 10))
    assert few < many
