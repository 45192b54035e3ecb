"""The audit's suspicious labels, judged on features that an earlier `steelbench run` left in the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from steelbench.audit.findings import AuditResult, Doubt, LabelCheck
from steelbench.audit.labels import confident_learning, held_out_probabilities
from steelbench.data.groups import group_numbers
from steelbench.data.inspection import Inspected
from steelbench.data.splits import Indices
from steelbench.features.cache import FeatureStore, StoreSize, spaces
from steelbench.files import cache_folder
from steelbench.models.backbones import BACKBONES

# Of the images; a few may have been added since the features were computed.
LEAST_COVERED = 0.95


def judge_labels(audit: AuditResult) -> AuditResult:
    """The audit with the labels that a classifier on cached features doubts; as it is where none are cached."""
    space = best_space({image.bytes_digest for image in audit.inspection.images}, audit.bit_depth)
    if space is None:
        return audit
    images = [image for image in audit.inspection.images if image.bytes_digest in space]
    features = space.gather([image.bytes_digest for image in images])
    # Half precision can overflow on a single image.
    sound = np.isfinite(features).all(axis=1)
    images = [images[row] for row in np.flatnonzero(sound)]
    classes, groups = audit.inspection.classes, _groups(audit, images)
    labels = np.array([classes.index(image.sample.label) for image in images], np.int64)
    backbone, weights = space.description["backbone"], _kind(space.description)
    check = LabelCheck(backbone, weights, len(images), _reason(classes, labels, groups))
    found = None if check.reason else held_out_probabilities(features[sound], labels, groups)
    if found is None:
        return dataclasses.replace(audit, label_check=check)
    numbers, probabilities = found
    doubts = [
        Doubt(
            images[suspect.index].sample.path, classes[suspect.label], classes[suspect.suggested],
            suspect.confidence, suspect.flagged, backbone,
        )
        for suspect in confident_learning(probabilities, np.searchsorted(numbers, labels), numbers)
    ]  # fmt: skip
    return dataclasses.replace(audit, suspicious=doubts, label_check=check)


def _groups(audit: AuditResult, images: Sequence[Inspected]) -> Indices:
    """Images that share pixels or a `group` column have one number: no copy may vouch for a label."""
    return group_numbers(
        [
            [
                f"shared {audit.groups[image.sample.path]}",
                *([f"named {image.sample.group}"] if image.sample.group else []),
            ]
            for image in images
        ]
    )


def _reason(classes: Sequence[str], labels: Indices, groups: Indices) -> str:
    """Why the labels cannot be judged, if so."""
    for number, name in enumerate(classes):
        if len(np.unique(groups[labels == number])) < 2:
            return f"the images of class '{name}' all share something, so that none can be judged by the others"
    return ""


def best_space(digests: Collection[str], bit_depth: int | None) -> FeatureStore | None:
    """Cached features of at least `LEAST_COVERED` of the images; None if there are none.

    Pretrained weights go before random ones, then the space of most of these images, the largest network, the latest.

    Args:
        digests: sha256 of each image's bytes.
        bit_depth: how 16-bit files were read.
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
        space = FeatureStore(cache_folder(), size.backbone, size.description["dim"], size.description)
        # Reads and drops what is damaged.
        space.read()
        if sum(digest in space for digest in digests) >= least:
            return space
    return None


def _fits(size: StoreSize, bit_depth: int | None) -> bool:
    """Whether the space says what it holds, its images as they are, read as the audit reads them."""
    told = size.description
    known = {"backbone", "dim", "weights"} <= told.keys() and "view" not in told
    return known and told.get("bit_depth") == bit_depth


def _kind(description: dict[str, Any]) -> str:
    return str(description["weights"].get("kind", ""))


def _params(backbone: str) -> int:
    """0 for one that only another version knows."""
    return BACKBONES[backbone].params if backbone in BACKBONES else 0
