"""Suspicious labels: confident learning on the features that an earlier `steelbench run` left in the cache."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Groups, Labels, RowIndices
from steelbench.audit.duplicates.search import Progress, no_progress
from steelbench.audit.findings import AuditResult, LabelCheck, SuspiciousLabel
from steelbench.data.groups import group_numbers, image_keys
from steelbench.data.inspection import Inspected
from steelbench.features.cache import FeatureStore, StoreSize, spaces
from steelbench.files import cache_folder
from steelbench.models.backbones import BACKBONES

FOLDS = 5
# Share of the images that must have features; a few may have been added since they were computed.
LEAST_COVERED = 0.95
# Images that the classifier of a fold is fitted to at most, a share of each class; all others are judged all the same.
# With 100,000 images of 1280 features five fits to all take six minutes, to so many one and a half.
MOST_FITTED = 20_000
# Of a class, where it has so many.
FEWEST_FITTED = 50


@dataclass(frozen=True)
class Suspect:
    """An image to which the classifier gives another label.

    Attributes:
        row: of the image.
        suggested: class number that the classifier gives.
        confidence: probability, 0..1, that it gives the data's label.
        flagged: whether confident learning counts the label as wrong, not the image as hard.
    """

    row: int
    suggested: int
    confidence: float
    flagged: bool


def check_labels(audit: AuditResult, progress: Progress = no_progress) -> AuditResult:
    """Return the audit with its suspicious labels.

    Args:
        audit: findings without them.
        progress: called with the stage `labels`, the folds done and their number.

    Returns:
        A copy; `audit` itself where no features of its images are cached.
    """
    store = best_store({image.bytes_digest for image in audit.inspection.images}, audit.bit_depth)
    if store is None:
        return audit
    rows = [row for row, image in enumerate(audit.inspection.images) if image.bytes_digest in store]
    features = store.gather([audit.inspection.images[row].bytes_digest for row in rows])
    # Half precision can overflow on a single image.
    finite = np.isfinite(features).all(axis=1)
    chosen = np.array(rows)[finite]
    if not finite.all():
        features = features[finite]
    images = [audit.inspection.images[row] for row in chosen]
    classes, labels, groups = audit.inspection.classes, audit.inspection.labels[chosen], _groups(audit, images)
    reason = _reason(classes, labels, groups)
    suspects = [] if reason else suspicious_labels(features, labels, groups, progress=progress)
    backbone = store.description["backbone"]
    return dataclasses.replace(
        audit,
        suspicious=[_named(suspect, images, classes, backbone) for suspect in suspects],
        label_check=LabelCheck(backbone, _kind(store.description), len(images), reason),
    )


def _named(suspect: Suspect, images: Sequence[Inspected], classes: Sequence[str], backbone: str) -> SuspiciousLabel:
    sample = images[suspect.row].sample
    return SuspiciousLabel(
        sample.path, sample.label, classes[suspect.suggested], suspect.confidence, suspect.flagged, backbone
    )


def _groups(audit: AuditResult, images: Sequence[Inspected]) -> RowIndices:
    """Images that share pixels or a `group` column have one number, so that none is in the training data of another."""
    keys = image_keys(images)
    for key, image in zip(keys, images, strict=True):
        key.append(f"shared {audit.groups[image.sample.path]}")
    return group_numbers(keys)


def _reason(classes: Sequence[str], labels: Labels, groups: Groups) -> str:
    """Why the labels cannot be checked, if so."""
    for number, name in enumerate(classes):
        if len(np.unique(groups[labels == number])) < 2:
            return f"the images of class '{name}' all share something, so that none can be judged by the others"
    return ""


def suspicious_labels(
    features: Features, labels: Labels, groups: Groups, seed: int = 0, progress: Progress = no_progress
) -> list[Suspect]:
    """Return the images to which a classifier that has not seen their group gives another label.

    Args:
        features: float32 [N, D], finite.
        labels: int64 [N], class numbers, not necessarily consecutive.
        groups: int64 [N]; images that share pixels have one number, so that a copy with the same wrong label is never
            among the training images.
        seed: of the folds.
        progress: as for `check_labels`.

    Returns:
        Flagged ones first, then by confidence, lowest first; none if a class has fewer than 2 groups.

    References:
        Northcutt, Jiang, Chuang, "Confident Learning", 2021. https://arxiv.org/abs/1911.00068
    """
    found = held_out_probabilities(features, labels, groups, seed, progress)
    if found is None:
        return []
    classes, probabilities = found
    suspects = confident_learning(probabilities, np.searchsorted(classes, labels))
    return [dataclasses.replace(suspect, suggested=int(classes[suspect.suggested])) for suspect in suspects]


def confident_learning(probabilities: NDArray[np.float64], labels: Labels) -> list[Suspect]:
    """Rank all images to which the probabilities give another class than their label.

    An image is flagged if it reaches another class's threshold, the mean confidence of the images labelled so
    (eq. 2), and of the classes that it reaches, its own is not the most probable (eq. 1).

    Args:
        probabilities: float64 [N, C], each row sums to 1, of images that the classifier was not fitted to.
        labels: int64 [N], columns of `probabilities`; every column occurs.

    Returns:
        Flagged ones first, then by confidence, lowest first; `suggested` is a column.

    References:
        Northcutt, Jiang, Chuang, "Confident Learning", 2021. https://arxiv.org/abs/1911.00068
    """
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    thresholds = np.array([own[labels == column].mean() for column in range(probabilities.shape[1])])
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    flagged = (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != labels)
    others = probabilities.copy()
    others[rows, labels] = -1.0
    rival = np.where(flagged, reached.argmax(axis=1), others.argmax(axis=1))
    suspicious = np.flatnonzero(flagged | (probabilities[rows, rival] > own))
    ranked = suspicious[np.lexsort((suspicious, own[suspicious], ~flagged[suspicious]))]
    return [Suspect(int(row), int(rival[row]), float(own[row]), bool(flagged[row])) for row in ranked]


def held_out_probabilities(
    features: Features, labels: Labels, groups: Groups, seed: int = 0, progress: Progress = no_progress
) -> tuple[RowIndices, NDArray[np.float64]] | None:
    """Return probabilities from logistic regressions that were not fitted to any image of the same group.

    Args:
        features: float32 [N, D], finite.
        labels: int64 [N], class numbers.
        groups: int64 [N].
        seed: of the folds.
        progress: as for `check_labels`.

    Returns:
        Class numbers int64 [C] and probabilities float64 [N, C]; None if a class has fewer than 2 groups.
    """
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
        for done, (train, test) in enumerate(splitter.split(features, labels, groups)):
            progress("labels", done, folds)
            # C as in the suites: strong enough a penalty that one wrong label does not bend the boundary.
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
            train = fitted_rows(labels, train, MOST_FITTED, seed)
            model.fit(features[train], labels[train])
            columns = np.searchsorted(classes, model.classes_)
            probabilities[np.ix_(test, columns)] = model.predict_proba(features[test])
    progress("labels", folds, folds)
    return classes, probabilities


def fitted_rows(labels: Labels, train: RowIndices, most: int, seed: int) -> RowIndices:
    """Return the training rows that a fold's classifier is fitted to: all, or about `most`, a share of each class.

    Args:
        labels: int64 [N], class numbers.
        train: int64, rows that may be used, ascending.
        most: rows; of a class at least `FEWEST_FITTED`, if it has them.
        seed: of the draw.

    Returns:
        int64, ascending.
    """
    if len(train) <= most:
        return train
    rng, share = np.random.default_rng(seed), most / len(train)
    drawn = []
    for label in np.unique(labels[train]):
        own = train[labels[train] == label]
        drawn.append(rng.permutation(own)[: max(FEWEST_FITTED, round(share * len(own)))])
    return np.sort(np.concatenate(drawn))


def best_store(digests: Collection[str], bit_depth: int | None) -> FeatureStore | None:
    """Return the cached features to check labels with; None if none cover `LEAST_COVERED` of the images.

    Pretrained weights go before random ones, then most of these images, the largest network, the latest use.

    Args:
        digests: sha256 of each image's bytes.
        bit_depth: used bits of 16-bit files, as the images were read.
    """
    least = LEAST_COVERED * len(digests)
    ranked = [
        (
            _kind(size.description) != "random",
            len(size.digests() & set(digests)),
            _params(size.backbone),
            size.used,
            size,
        )
        for size in spaces(cache_folder())
        if size.images >= least and _fits(size, bit_depth)
    ]
    for *_, size in sorted(ranked, key=lambda row: row[:-1], reverse=True):
        store = FeatureStore(cache_folder(), size.backbone, size.description["dim"], size.description)
        # Reads the shards and drops damaged ones, so that fewer images may be covered than were counted.
        store.read()
        if sum(digest in store for digest in digests) >= least:
            return store
    return None


def _fits(size: StoreSize, bit_depth: int | None) -> bool:
    """Whether the features are of the images as they are (no augmented view), read with the same bit depth."""
    description = size.description
    known = {"backbone", "dim", "weights"} <= description.keys() and "view" not in description
    return known and description.get("bit_depth") == bit_depth


def _kind(description: dict[str, Any]) -> str:
    return str(description["weights"].get("kind", ""))


def _params(backbone: str) -> int:
    """Number of parameters; 0 for a backbone that only another version knows."""
    return BACKBONES[backbone].params if backbone in BACKBONES else 0
