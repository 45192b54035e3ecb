"""Classify by class centroids from a few labelled images: N-way K-shot episodes, and new classes beside old ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Groups, Labels
from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import Embedded, unit_rows

QUERIES = 15
SHOTS = (1, 5)


@dataclass(frozen=True)
class FewShot:
    """Mean accuracy over episodes with its 95 % interval.

    Attributes:
        accuracy: mean, 0..1.
        low: lower end of the interval, 0..1; it is about other episodes of these images, not about other images.
        high: upper end.
        episodes: how many the mean is of.
    """

    accuracy: float
    low: float
    high: float
    episodes: int


@dataclass(frozen=True)
class _Class:
    """The images of one class, sorted by group.

    Attributes:
        rows: int64 [n], indices of the images; those of group g are `rows[starts[g] : starts[g] + sizes[g]]`.
        owner: int64 [n], the group of each of `rows`, counted from 0 within the class.
        starts: int64 [G].
        sizes: int64 [G].
    """

    rows: Labels
    owner: Labels
    starts: Labels
    sizes: Labels

    @classmethod
    def of(cls, rows: Labels, groups: Groups) -> _Class:
        _, owner, sizes = np.unique(groups[rows], return_inverse=True, return_counts=True)
        order = np.argsort(owner, kind="stable")
        return cls(rows[order], owner[order], np.cumsum(sizes) - sizes, sizes)

    def draw(self, shots: int, queries: int, rng: np.random.Generator) -> tuple[Labels, Labels]:
        """Return the rows of a class in an episode: support and query images.

        Args:
            shots: support images, each of another group.
            queries: at most so many query images, of the groups that gave no support image.
            rng: draws both.
        """
        drawn = rng.permutation(len(self.sizes))[:shots]
        taken = np.zeros(len(self.sizes), np.bool_)
        taken[drawn] = True
        support = self.starts[drawn] + rng.integers(self.sizes[drawn])
        return self.rows[support], rng.permutation(self.rows[~taken[self.owner]])[:queries]


def _classes(labels: Labels, groups: Groups) -> list[_Class]:
    """Return the classes in order; groups with images of two classes are left out, as a query would share pixels."""
    pairs = np.unique(np.stack([groups, labels]), axis=1)
    owners, counts = np.unique(pairs[0], return_counts=True)
    pure = np.isin(groups, owners[counts == 1])
    return [_Class.of(np.flatnonzero(pure & (labels == label)), groups) for label in np.unique(labels)]


def episodes(
    labels: Labels, groups: Groups, ways: int, shots: int, count: int, seed: int = 0, queries: int = QUERIES
) -> Iterator[tuple[Labels, Labels]]:
    """Yield the rows of the support and of the query images of each episode.

    The classes, K groups of each for support (one image of each group) and queries from the groups that are left are
    drawn by the seed: a query shares pixels with no support image. Groups with images of two classes take no part.

    Args:
        labels: int64 [N], class numbers.
        groups: int64 [N]; images of one group share pixels.
        ways: classes in an episode.
        shots: support images of each class.
        count: episodes.
        seed: of all draws.
        queries: at most so many query images of each class.

    Yields:
        int64 [ways * shots] and int64 [Q], Q at most ways * queries.

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
    """Return the accuracy of episodes over all classes with 1 and with 5 images of each, as fields of a record.

    Args:
        images: embeddings of images that the embedding was not trained on.
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
    """Return the accuracy of the nearest class centroid by cosine over N-way K-shot episodes.

    Args:
        images: embeddings of images that the embedding was not trained on.
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


def nearest_centroid(vectors: Features, labels: Labels, support: Labels, query: Labels) -> Labels:
    """Return the class of each query whose mean direction of support embeddings is nearest by cosine, int64 [Q].

    Args:
        vectors: float32 [N, E].
        labels: int64 [N], class numbers.
        support: int64 [S], rows of the images whose labels are used.
        query: int64 [Q], rows of the images to classify.
    """
    unit, known = unit_rows(vectors[support]), labels[support]
    classes = np.unique(known)
    centroids = np.stack([unit[known == label].mean(axis=0) for label in classes])
    # The length of a query does not change which centroid is nearest.
    return classes[np.argmax(vectors[query] @ unit_rows(centroids).T, axis=1)]


def enrollment_accuracy(
    images: Embedded, known: Labels, test: Labels, new: NDArray[np.bool_], shots: int, count: int = 50, seed: int = 0
) -> dict[str, FewShot]:
    """Return the accuracy on old and new classes after new ones are enrolled from K images each, without training.

    The nearest class centroid by cosine classifies.

    Args:
        images: embeddings of images of old and new classes.
        known: int64, rows of the old classes' training images.
        test: int64, rows of test images of all classes; those in the group of a drawn image are left out of its draw.
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
    """Return mean and Student t interval; the mean alone where all scores are equal."""
    from scipy import stats

    mean = float(np.mean(scores))
    if len(scores) < 2 or np.ptp(scores) == 0:
        return FewShot(mean, mean, mean, len(scores))
    half = float(stats.t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / np.sqrt(len(scores)))
    return FewShot(mean, max(0.0, mean - half), min(1.0, mean + half), len(scores))
