"""Labels that a classifier doubts: confident learning on features of a pretrained backbone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FOLDS = 5


@dataclass(frozen=True)
class Suspect:
    """An image whose label is doubted.

    `confidence` is the probability, 0..1, that a classifier which has not seen the image gives its label;
    `flagged` says that confident learning counts it as an error, not only as a hard image.
    """

    index: int
    label: int
    suggested: int
    confidence: float
    flagged: bool


def suspicious_labels(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    top: int = 20,
    seed: int = 0,
) -> list[Suspect]:
    """The `top` images whose label is most likely wrong, most suspicious first.

    Args:
        features: float [N, D].
        labels: int [N], class numbers.
        groups: int [N]; images that share pixels have one number, so that no copy vouches for a label.
        top: at most so many.
        seed: of the folds.

    Returns:
        Flagged ones first, then by confidence; none if a class has fewer than 2 groups.

    References:
        Northcutt, Jiang, Chuang, "Confident Learning", 2021. https://arxiv.org/abs/1911.00068
    """
    found = held_out_probabilities(features, labels, groups, seed)
    if found is None:
        return []
    classes, probabilities = found
    return confident_learning(probabilities, np.searchsorted(classes, labels), classes)[:top]


def confident_learning(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], classes: NDArray[np.int64] | None = None
) -> list[Suspect]:
    """Rank all images that the probabilities would rather give another class.

    An image is flagged if it reaches another class's threshold, the mean confidence of the images labelled so
    (eq. 2), and of the classes that it reaches, its own is not the most probable (eq. 1).

    Args:
        probabilities: float [N, C], of images that the classifier was not fitted to.
        labels: int [N], columns of `probabilities`.
        classes: int [C], what the columns are called; their numbers if None.
    """
    names = np.arange(probabilities.shape[1]) if classes is None else classes
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    thresholds = np.array([own[labels == column].mean() for column in range(len(names))])
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    flagged = (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != labels)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    rival = np.where(flagged, reached.argmax(axis=1), others.argmax(axis=1))
    doubted = np.flatnonzero(flagged | (probabilities[rows, rival] > own))
    ranked = doubted[np.lexsort((doubted, own[doubted], ~flagged[doubted]))]
    return [
        Suspect(int(i), int(names[labels[i]]), int(names[rival[i]]), float(own[i]), bool(flagged[i])) for i in ranked
    ]


def held_out_probabilities(
    features: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64], seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Class numbers [C] and float64 [N, C] from classifiers that have seen nothing of an image's group."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    classes = np.unique(labels)
    folds = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in classes))
    if folds < 2 or len(classes) < 2:
        return None
    probabilities = np.zeros((len(labels), len(classes)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    # One thread is several times as fast as two that wait for each other.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A class smaller than the number of folds; lbfgs that stops a little early changes no rank.
        warnings.simplefilter("ignore")
        for train, test in splitter.split(features, labels, groups):
            # C as in the suites: strong enough a penalty that one wrong label does not bend the boundary.
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
            model.fit(features[train], labels[train])
            columns = np.searchsorted(classes, model.classes_)
            probabilities[np.ix_(test, columns)] = model.predict_proba(features[test])
    return classes, probabilities
