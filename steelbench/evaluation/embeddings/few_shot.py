"""Few labelled images per class: N-way K-shot episodes, and new classes beside old ones, by class centroids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import Array, Embedded, Ints, unit_rows

QUERIES = 15
SHOTS = (1, 5)


@dataclass(frozen=True)
class FewShot:
    """Mean accuracy over episodes, 0..1, and its 95 % interval: about other episodes of these images."""

    accuracy: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class _Class:
    """The images of one class, group by group: `rows[starts[g] : starts[g] + sizes[g]]` are those of group g."""

    rows: Ints
    owner: Ints
    starts: Ints
    sizes: Ints

    @classmethod
    def of(cls, rows: Ints, groups: Ints) -> _Class:
        _, owner, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        order = np.argsort(owner, kind="stable")
        return cls(rows[order], owner[order], np.cumsum(sizes) - sizes, sizes)

    def draw(self, shots: int, queries: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """One image of each of so many groups, and at most so many of the groups that are left."""
        drawn = rng.permutation(len(self.sizes))[:shots]
        taken = np.zeros(len(self.sizes), np.bool_)
        taken[drawn] = True
        support = self.starts[drawn] + rng.integers(self.sizes[drawn])
        return self.rows[support], rng.permutation(self.rows[~taken[self.owner]])[:queries]


def _classes(labels: Ints, groups: Ints) -> list[_Class]:
    """The classes by number; groups that hold images of two of them are left out, as a query would share pixels."""
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    owners, counts = np.unique(pairs[0], return_counts=True)
    pure = np.isin(groups, owners[counts == 1])
    return [_Class.of(np.flatnonzero(pure & (labels == label)), groups) for label in np.unique(labels)]


def episodes(
    labels: Ints, groups: Ints, ways: int, shots: int, count: int, seed: int = 0, queries: int = QUERIES
) -> Iterator[tuple[Ints, Ints]]:
    """Rows of the support and of the query images of each episode.

    The classes, K groups of each for support (one image of each group) and queries from the groups that are left are
    drawn by the seed: a query shares pixels with no support image. Groups with images of two classes take no part.

    Args:
        labels: int64 [N].
        groups: int64 [N].
        ways: classes in an episode.
        shots: support images of each class.
        count: episodes.
        seed: of all draws.
        queries: at most so many query images of each class.

    Raises:
        SteelbenchError: if fewer classes than `ways` have more groups than `shots`.
    """
    members = [own for own in _classes(labels, groups) if len(own.sizes) > shots]
    if len(members) < ways:
        raise SteelbenchError(
            f"{ways}-way {shots}-shot episodes need {ways} classes of more than {shots} groups of images; "
            f"{len(members)} have as many. Lower the ways or the shots."
        )
    rng = np.random.default_rng(seed)
    for _ in range(count):
        drawn = [members[place].draw(shots, queries, rng) for place in rng.permutation(len(members))[:ways]]
        support, query = zip(*drawn, strict=True)
        yield np.concatenate(support), np.concatenate(query)


def few_shot_scores(images: Embedded, seed: int = 0) -> dict[str, float | None]:
    """Accuracy of episodes over all classes with 1 and with 5 images of each, and its interval; for a record.

    Args:
        images: none of which the embedding was trained on.
        seed: of the episodes.

    Returns:
        few_shot_<K>, few_shot_<K>_low, few_shot_<K>_high, 0..1; None with fewer than two classes, or where one of
        them has no more than K groups. The interval is about other episodes of these images, not about other images.
    """
    groups = [len(own.sizes) for own in _classes(images.labels, images.groups)]
    found: dict[str, float | None] = {}
    for shots in SHOTS:
        name = f"few_shot_{shots}"
        found |= {name: None, f"{name}_low": None, f"{name}_high": None}
        if len(groups) > 1 and min(groups) > shots:
            score = few_shot_accuracy(images, len(groups), shots, seed=seed)
            found |= {name: score.accuracy, f"{name}_low": score.low, f"{name}_high": score.high}
    return found


def few_shot_accuracy(images: Embedded, ways: int, shots: int, count: int = 200, seed: int = 0) -> FewShot:
    """Accuracy of the nearest class centroid by cosine.

    Args:
        images: none of which the embedding was trained on.
        ways: classes in an episode.
        shots: support images of each class.
        count: episodes.
        seed: of the episodes.

    References:
        Snell, Swersky, Zemel 2017, "Prototypical Networks for Few-shot Learning". https://arxiv.org/abs/1703.05175
    """
    scores = [
        float(np.mean(nearest_centroid(images.vectors, images.labels, support, query) == images.labels[query]))
        for support, query in episodes(images.labels, images.groups, ways, shots, count, seed)
    ]
    return _summary(scores)


def nearest_centroid(vectors: Array, labels: Ints, support: Ints, query: Ints) -> Ints:
    """The class of each query: the one whose mean direction of support embeddings is nearest by cosine."""
    unit, known = unit_rows(vectors[support]), labels[support]
    classes = np.unique(known)
    centroids = np.stack([unit[known == label].mean(axis=0) for label in classes])
    # The length of a query does not change which centroid is nearest.
    return classes[np.argmax(vectors[query] @ unit_rows(centroids).T, axis=1)]


def enrollment_accuracy(
    images: Embedded, known: Ints, test: Ints, new: NDArray[np.bool_], shots: int, count: int = 50, seed: int = 0
) -> dict[str, FewShot]:
    """Accuracy on old and new classes once new ones are enrolled from K images each, by centroids, nothing retrained.

    Args:
        images: of old and new classes.
        known: rows of the old classes' training images.
        test: rows of test images of all classes; those of one group with a drawn image are left out of that draw.
        new: bool [C], which class numbers are new.
        shots: K.
        count: draws of the K images, from the rows of new classes.
        seed: of the draws.

    Returns:
        "old" and "new": accuracy where any class, old or new, may be named.
    """
    rng = np.random.default_rng(seed)
    fresh = np.flatnonzero(new[images.labels])
    scores: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(count):
        drawn: list[int] = []
        for label in np.flatnonzero(new):
            own = fresh[images.labels[fresh] == label]
            groups = rng.permutation(np.unique(images.groups[own]))[:shots]
            drawn += [int(rng.choice(own[images.groups[own] == group])) for group in groups]
        asked = test[~np.isin(images.groups[test], images.groups[drawn])]
        support = np.concatenate([known, np.array(drawn, np.int64)])
        right = nearest_centroid(images.vectors, images.labels, support, asked) == images.labels[asked]
        of_new = new[images.labels[asked]]
        scores["old"].append(float(np.mean(right[~of_new])))
        scores["new"].append(float(np.mean(right[of_new])))
    return {name: _summary(values) for name, values in scores.items()}


def _summary(scores: list[float]) -> FewShot:
    from scipy import stats

    mean = float(np.mean(scores))
    if len(scores) < 2 or np.ptp(scores) == 0:
        return FewShot(mean, mean, mean, len(scores))
    half = float(stats.t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / np.sqrt(len(scores)))
    return FewShot(mean, max(0.0, mean - half), min(1.0, mean + half), len(scores))
