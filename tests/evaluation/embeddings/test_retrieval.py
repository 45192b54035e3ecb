"""Measures of an embedding: loops written from the papers, scikit-learn, and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, silhouette_score

from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings import retrieval
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.few_shot import few_shot_accuracy
from steelbench.evaluation.embeddings.retrieval import average_precision_at_r, evaluate_embeddings, vote


def embedded(n=40, classes=3, spread=1.0, seed=0, groups=None, first=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centres = np.random.default_rng(9).standard_normal((classes, 5))
    vectors = (centres[labels] + spread * rng.standard_normal((n, 5))).astype(np.float32)
    return Embedded(vectors, labels, np.arange(first, first + n) if groups is None else groups)


def cosine(a, b):
    a, b = a.astype(float), b.astype(float)
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def by_loops(queries, index):
    """Every rank measure for one query after another, counted by hand."""
    found = {name: [] for name in ("recall_at_1", "recall_at_5", "recall_at_20", "precision_at_20", "map_at_r")}
    for row, label in enumerate(queries.labels):
        others = [i for i in range(len(index.labels)) if index.groups[i] != queries.groups[row]]
        others.sort(key=lambda i: -cosine(queries.vectors[row], index.vectors[i]))
        hits = [index.labels[i] == label for i in others]
        relevant = sum(hits)
        if not relevant:
            continue
        for k in (1, 5, 20):
            found[f"recall_at_{k}"].append(any(hits[:k]))
        found["precision_at_20"].append(sum(hits[:20]) / min(20, len(hits)))
        precisions = [sum(hits[: i + 1]) / (i + 1) for i in range(min(relevant, len(hits))) if hits[i]]
        found["map_at_r"].append(sum(precisions) / relevant)
    return {name: np.mean(values) for name, values in found.items()}


@pytest.mark.parametrize("spread", [0.3, 1.5])
def test_rank_measures_are_those_counted_by_hand(spread, monkeypatch):
    monkeypatch.setattr(retrieval, "CHUNK", 7)
    queries, index = embedded(30, spread=spread, seed=1, first=100), embedded(60, spread=spread, seed=2)
    found = evaluate_embeddings(queries, index)

    for name, value in by_loops(queries, index).items():
        assert found[name] == pytest.approx(value), name


def test_an_image_of_the_query_s_group_is_no_neighbour():
    # Each image has a copy of another class in its group; without them only its own class is near.
    vectors = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0) + 0.01
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 0])
    groups = np.array([0, 1, 2, 2, 3, 4, 5, 5])
    images = Embedded(vectors, labels, groups)
    found = evaluate_embeddings(images, images)

    for name, value in by_loops(images, images).items():
        assert found[name] == pytest.approx(value), name


def test_classes_far_apart_are_perfect_and_random_ones_are_not():
    apart = embedded(spread=0.001)
    found = evaluate_embeddings(apart, embedded(80, spread=0.001, seed=5, first=100))

    assert found["knn_accuracy"] == found["recall_at_1"] == found["map_at_r"] == found["roc_auc"] == 1
    assert found["equal_error_rate"] == 0 and found["silhouette"] > 0.9
    noise = Embedded(
        np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32),
        np.random.default_rng(1).integers(0, 3, 300),
        np.arange(300),
    )
    mixed = evaluate_embeddings(noise, noise)
    assert mixed["roc_auc"] == pytest.approx(0.5, abs=0.05)
    assert mixed["equal_error_rate"] == pytest.approx(0.5, abs=0.05)
    assert mixed["map_at_r"] < 0.3


def test_average_precision_at_r_of_the_paper_s_definition():
    # R = 3; hits at ranks 1 and 3: (1/1 + 2/3) / 3.
    assert average_precision_at_r(np.array([True, False, True, True]), 3) == pytest.approx((1 + 2 / 3) / 3)
    assert average_precision_at_r(np.array([False, False, True]), 2) == 0


def test_a_tied_vote_goes_to_the_nearer_ones():
    assert vote(np.array([0, 1, 1, 0, 2]), np.array([0.9, 0.8, 0.7, 0.1, 0.05])) == 1
    assert vote(np.array([2, 2, 0]), np.array([0.1, 0.1, 0.9])) == 2


def test_verification_is_scikit_learn_s_on_all_pairs_of_different_groups():
    images = embedded(25, spread=1.0, groups=np.arange(25) // 2)
    cosines, same = [], []
    for i in range(25):
        for j in range(i + 1, 25):
            if images.groups[i] != images.groups[j]:
                cosines.append(cosine(images.vectors[i], images.vectors[j]))
                same.append(images.labels[i] == images.labels[j])
    found = retrieval.verification(images)

    assert found["roc_auc"] == pytest.approx(roc_auc_score(same, cosines), abs=1e-6)
    thresholds = np.sort(cosines)
    same, cosines = np.array(same), np.array(cosines)
    rates = [(np.mean(cosines[~same] >= t), np.mean(cosines[same] < t)) for t in thresholds]
    accepted, missed = min(rates, key=lambda pair: abs(pair[0] - pair[1]))
    assert found["equal_error_rate"] == pytest.approx((accepted + missed) / 2, abs=0.02)


def test_many_images_give_as_many_pairs_of_each_kind_as_are_wanted(monkeypatch):
    monkeypatch.setattr(retrieval, "MOST_PAIRS", 200)
    images = embedded(500, groups=np.arange(500) // 5)
    cosines, same = retrieval.pair_cosines(images)

    assert same.sum() == 200 and (~same).sum() == 200
    assert np.array_equal(cosines, retrieval.pair_cosines(images)[0])


def test_silhouette_is_scikit_learn_s():
    images = embedded(40)

    expected = silhouette_score(images.vectors, images.labels, metric="cosine")
    assert retrieval.silhouette(images) == pytest.approx(expected, abs=1e-5)


def test_one_class_has_no_pairs_of_two_and_no_silhouette():
    alone = embedded(10, classes=1)
    found = evaluate_embeddings(alone, alone)

    assert found["roc_auc"] is found["equal_error_rate"] is found["silhouette"] is None
    assert found["recall_at_1"] == 1


def test_queries_without_their_class_in_the_index_are_left_out():
    index = embedded(20, classes=2)
    queries = Embedded(index.vectors[:2], np.array([7, 7]), np.array([50, 51]))

    assert evaluate_embeddings(queries, index)["recall_at_1"] is None


def test_few_images_per_class_are_asked_among_the_queries_alone():
    queries, index = embedded(60, spread=1.0, seed=3, first=100), embedded(60, spread=1.0, seed=4)
    found = evaluate_embeddings(queries, index)

    assert found["few_shot_1"] == few_shot_accuracy(queries, 3, 1).accuracy
    assert found["few_shot_5"] == few_shot_accuracy(queries, 3, 5).accuracy
    other = evaluate_embeddings(queries, embedded(60, spread=9.0, seed=5))
    assert other["recall_at_1"] != found["recall_at_1"] and other["few_shot_1"] == found["few_shot_1"]


def test_embeddings_that_are_no_numbers_are_refused():
    bad = embedded(5)
    bad.vectors[0, 0] = np.nan

    with pytest.raises(SteelbenchError, match="no numbers"):
        evaluate_embeddings(bad, embedded(5))
