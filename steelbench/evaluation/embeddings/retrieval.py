"""Score an embedding by retrieval and by telling pairs, by cosine and in chunks that bound the memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Labels
from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import Embedded, unit_rows
from steelbench.evaluation.embeddings.few_shot import few_shot_scores

NEIGHBOURS = 5
CHUNK = 128
MOST_PAIRS = 20_000
MOST_FOR_SILHOUETTE = 2_000
MOST_QUERIES, MOST_INDEXED = 2_000, 20_000
RECALL_AT = (1, 5, 20)
RANK_SCORES = ("knn_accuracy", "map_at_r", "precision_at_20", *(f"recall_at_{k}" for k in RECALL_AT))


def evaluate_embeddings(queries: Embedded, index: Embedded, seed: int = 0) -> dict[str, float | None]:
    """Return all scores of how well classes lie apart in an embedding, as fields of a record.

    Queries without an image of their class in the index are left out; the silhouette, the verification of pairs and
    the episodes use the queries alone. At most 2000 queries and 20,000 images of the index take part.

    Args:
        queries: embeddings that are looked up, such as those of the test images.
        index: embeddings among which they are looked up, such as those of the training images.
        seed: of the episodes, and of the pairs and images that are drawn where there are too many.

    Returns:
        All in 0..1 but silhouette, -1..1; None where it is not defined (one class, no pair, too few groups).
        knn_accuracy: the class of most of the 5 nearest, ties by their cosines.
        recall_at_1, recall_at_5, recall_at_20: share of queries with one of their class among the nearest.
        precision_at_20: share of their class among the 20 nearest.
        map_at_r: mean average precision at R, the number of images of the query's class (Musgrave et al. 2020, eq. 1
            and 2 of section 4.1). https://arxiv.org/abs/2003.08505
        silhouette: Rousseeuw 1987, of cosine distances.
        roc_auc, equal_error_rate: of telling pairs of one class from pairs of two by their cosine.
        few_shot_1, few_shot_5, with _low and _high: `few_shot_scores`.

    Raises:
        SteelbenchError: if embeddings are no numbers.
    """
    for part in (queries, index):
        if not np.isfinite(part.vectors).all():
            raise SteelbenchError("some embeddings are no numbers (NaN or infinity); train with a lower learning rate.")
    found: dict[str, list[float]] = {name: [] for name in RANK_SCORES}
    for label, near_labels, cosines, relevant in _ranked(_some(queries, MOST_QUERIES), _some(index, MOST_INDEXED)):
        hits = near_labels == label
        found["knn_accuracy"].append(vote(near_labels[:NEIGHBOURS], cosines[:NEIGHBOURS]) == label)
        found["precision_at_20"].append(float(np.mean(hits[:20])))
        found["map_at_r"].append(average_precision_at_r(hits, relevant))
        for k in RECALL_AT:
            found[f"recall_at_{k}"].append(bool(hits[:k].any()))
    scores = {name: float(np.mean(values)) if values else None for name, values in found.items()}
    return {
        **scores,
        "silhouette": silhouette(queries, seed),
        **verification(queries, seed),
        **few_shot_scores(queries, seed),
    }


def _some(images: Embedded, most: int) -> Embedded:
    """Return at most `most` images, the same ones in every call."""
    rows = np.sort(np.random.default_rng(0).permutation(len(images.labels))[:most])
    return Embedded(images.vectors[rows], images.labels[rows], images.groups[rows])


def _ranked(queries: Embedded, index: Embedded) -> Iterator[tuple[int, Labels, Features, int]]:
    """Yield for each query its label, labels and cosines of the index by falling cosine, and how many have its label.

    Images of the query's group are left out of the index, and queries without an image of their class in it.
    """
    vectors, asked = unit_rows(index.vectors), unit_rows(queries.vectors)
    for start in range(0, len(asked), CHUNK):
        cosines = asked[start : start + CHUNK] @ vectors.T
        for row, own in enumerate(cosines, start=start):
            others = np.flatnonzero(index.groups != queries.groups[row])
            relevant = int(np.sum(index.labels[others] == queries.labels[row]))
            if relevant:
                order = others[np.argsort(-own[others], kind="stable")]
                yield int(queries.labels[row]), index.labels[order], own[order], relevant


def vote(labels: Labels, cosines: Features) -> int:
    """Return the most frequent label; of equally frequent ones the one with the largest sum of cosines.

    Args:
        labels: int64 [k], of the nearest images.
        cosines: float32 [k], theirs.
    """
    ranks = {int(label): (int(np.sum(labels == label)), float(cosines[labels == label].sum())) for label in labels}
    return max(ranks, key=lambda label: ranks[label])


def average_precision_at_r(hits: NDArray[np.bool_], relevant: int) -> float:
    """Return the sum of the precisions at the hits among the first R ranks, divided by R, 0..1.

    Args:
        hits: bool [N], whether the image at each rank is of the query's class.
        relevant: R, the number of images of the query's class, at least 1.

    References:
        Musgrave et al. 2020, "A Metric Learning Reality Check", section 4.1. https://arxiv.org/abs/2003.08505
    """
    first = hits[:relevant]
    return float(np.sum(np.cumsum(first) / np.arange(1, len(first) + 1) * first) / relevant)


def silhouette(images: Embedded, seed: int = 0) -> float | None:
    """Return the mean silhouette of cosine distances, -1..1; None unless 2 <= classes < images.

    References:
        Rousseeuw 1987, "Silhouettes". https://doi.org/10.1016/0377-0427(87)90125-7
    """
    from sklearn.metrics import silhouette_score

    chosen = np.sort(np.random.default_rng(seed).permutation(len(images.labels))[:MOST_FOR_SILHOUETTE])
    classes = len(np.unique(images.labels[chosen]))
    if not 2 <= classes < len(chosen):
        return None
    return float(silhouette_score(unit_rows(images.vectors[chosen]), images.labels[chosen], metric="cosine"))


def pair_cosines(images: Embedded, seed: int = 0) -> tuple[Features, NDArray[np.bool_]]:
    """Return the cosines of pairs of images of different groups, and whether each pair is of one class.

    All pairs if they are few, otherwise at most `MOST_PAIRS` of each kind, drawn by the seed.

    Returns:
        float32 [P] and bool [P].
    """
    count = len(images.labels)
    if count * (count - 1) // 2 <= 2 * MOST_PAIRS:
        left, right = np.triu_indices(count, 1)
    else:
        rng = np.random.default_rng(seed)
        left, right = rng.integers(0, count, (2, 40 * MOST_PAIRS))
    apart = images.groups[left] != images.groups[right]
    left, right = left[apart], right[apart]
    same = images.labels[left] == images.labels[right]
    chosen = np.sort(np.concatenate([np.flatnonzero(same)[:MOST_PAIRS], np.flatnonzero(~same)[:MOST_PAIRS]]))
    vectors = unit_rows(images.vectors)
    cosines = np.concatenate(
        [
            np.einsum("pe,pe->p", vectors[left[part]], vectors[right[part]])
            for part in np.array_split(chosen, max(1, len(chosen) // 4096))
        ]
    )
    return cosines, same[chosen]


def verification(images: Embedded, seed: int = 0) -> dict[str, float | None]:
    """Return ROC-AUC and equal error rate, 0..1, of telling pairs of one class from pairs of two by their cosine.

    Both are None if all pairs are of one kind.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    cosines, same = pair_cosines(images, seed)
    if same.all() or not same.any():
        return {"roc_auc": None, "equal_error_rate": None}
    false_alarms, hits, _ = roc_curve(same, cosines)
    # The equal error rate is where the share of misses, 1 - hits, equals that of false alarms.
    gap = false_alarms - (1 - hits)
    rate = float(np.interp(0.0, gap, false_alarms))
    return {"roc_auc": float(roc_auc_score(same, cosines)), "equal_error_rate": rate}
