"""Pseudo-labels, on request: a first head names images that have no label, a second one learns from them, too.

What shares pixels with a test or validation image, directly or along a chain of images, stays out of that split.
Knows no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.audit import audited_pairs
from steelbench.audit.duplicates.search import Pair
from steelbench.data.inspection import MAX_UNREADABLE, Inspected, Inspection, inspect_sample, ordered_map
from steelbench.data.samples import Sample, clean_text, image_files
from steelbench.data.splits import Indices, Split, group_numbers
from steelbench.errors import SteelbenchError
from steelbench.runs.jobs import UNKNOWN, ImageRef, Unlabelled

if TYPE_CHECKING:
    from steelbench.training.loop.fit import FitPlan
    from steelbench.training.methods.trained_head import Trained

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """The usable images of a folder without labels.

    Attributes:
        folder: where they lie.
        images: sorted by path, which is absolute; no label.
        skipped: (path below the folder, reason) of those that cannot be read.
        digest: of names and bytes.
    """

    folder: Path
    images: tuple[Inspected, ...]
    skipped: tuple[tuple[str, str], ...]
    digest: str


def read_unlabelled(
    folder: Path,
    labelled: Collection[Path],
    bit_depth: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Decode every image below a folder once; files that have a label are passed over.

    Args:
        folder: as given to `--unlabelled`.
        labelled: resolved paths of the labelled images.
        bit_depth: used bits of 16-bit files.
        progress: called with images done and the total.

    Raises:
        SteelbenchError: if it is no folder, holds no image but labelled ones, or more than 5 % are unreadable.
    """
    root = folder.expanduser()
    if not root.is_dir():
        raise SteelbenchError(f"--unlabelled {folder} is no folder; name one that holds images without labels.")
    root = root.resolve()
    paths = sorted(image_files(root), key=lambda path: path.relative_to(root).as_posix())
    files = [path for path in paths if path.resolve() not in labelled]
    if not files:
        what = f"no image but the {len(paths)} labelled ones of --data" if paths else "no image"
        raise SteelbenchError(f"--unlabelled {folder} holds {what}; name a folder of images without labels.")
    names = [clean_text(path.relative_to(root).as_posix(), "file name") for path in files]
    images: list[Inspected] = []
    skipped: list[tuple[str, str]] = []
    digest = hashlib.sha256()
    samples = [Sample(path.as_posix(), "") for path in files]
    results = ordered_map(lambda sample: inspect_sample(root, sample, bit_depth), samples)
    for done, (name, found) in enumerate(zip(names, results, strict=True), start=1):
        if isinstance(found, Inspected):
            images.append(found)
            digest.update(f"{name}\0{found.bytes_digest}\n".encode())
        else:
            skipped.append((name, found[1]))
        progress(done, len(files))
    if len(skipped) > MAX_UNREADABLE * len(files):
        path, reason = skipped[0]
        raise SteelbenchError(
            f"--unlabelled {folder}: {len(skipped)} of {len(files)} images cannot be read, at most "
            f"{MAX_UNREADABLE:.0%} may; the first is {path}: {reason}. Repair or remove them and run again."
        )
    return Found(root, tuple(images), tuple(skipped), digest.hexdigest())


def tie(
    found: Found, inspection: Inspection, group_of: Indices, root: Path, bit_depth: int | None, confidence: float,
    progress: Callable[[str, int, int], None],
) -> Unlabelled:  # fmt: skip
    """Search labelled and unlabelled images together for shared pixels, and number the groups.

    Args:
        found: the unlabelled images.
        inspection: the labelled images.
        group_of: int64 [N], the groups that the labelled images make by themselves.
        root: of the labelled images.
        bit_depth: used bits of 16-bit files.
        confidence: least probability of a pseudo-label.
        progress: as for `audited_pairs`.
    """
    everything = dataclasses.replace(inspection, images=(*inspection.images, *found.images))
    pairs, _, _ = audited_pairs(root, everything, bit_depth, progress)
    numbers = group_numbers(_keys(everything, group_of, pairs))
    images = [
        ImageRef(path=image.sample.path, label=UNKNOWN, digest=image.bytes_digest, group=group)
        for image, group in zip(found.images, numbers[len(group_of) :].tolist(), strict=True)
    ]
    return Unlabelled(images=images, ties=numbers[: len(group_of)].tolist(), confidence=confidence)


def _keys(everything: Inspection, group_of: Indices, pairs: Sequence[Pair]) -> list[list[str]]:
    keys = [[f"pixels {image.pixels_digest}"] for image in everything.images]
    for row, group in enumerate(group_of.tolist()):
        keys[row].append(f"group {group}")
    place = {image.sample.path: row for row, image in enumerate(everything.images)}
    for number, pair in enumerate(pairs):
        for file in (pair.file_a, pair.file_b):
            keys[place[file]].append(f"pair {number}")
    return keys


def usable(given: Unlabelled, split: Split) -> NDArray[np.bool_]:
    """Which unlabelled images share nothing with a test or validation image, bool [U]."""
    barred = np.array(given.ties, np.int64)[np.concatenate([split.validation, split.test])]
    return ~np.isin([image.group for image in given.images], barred)


@dataclass(frozen=True)
class Pool:
    """Images without labels, as a split may use them.

    Attributes:
        features: float32 [U, D].
        usable: bool [U], false for what shares pixels with a test or validation image.
        confidence: least probability of a pseudo-label, 0..1.
        classes: names, for the record.
    """

    features: Array
    usable: NDArray[np.bool_]
    confidence: float
    classes: Sequence[str]


def train_twice(
    train: Callable[..., Trained],
    features: Array,
    labels: NDArray[np.int64],
    num_classes: int,
    split: Split,
    settings: Any,
    plan: FitPlan,
    pool: Pool,
) -> Trained:
    """Train, name the pool's images, and train again from the same start with those that are named with confidence.

    The validation images choose as they do without; neither they nor the test images are ever in the pool.

    Args:
        train: as `train_softmax`, of which the arguments up to `plan` are, too.
        pool: the images without labels.

    Returns:
        What the second training left; the note `pseudo_labels` counts the images.

    References:
        Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks".
    """
    # Methods name their stages alike both times, so the first ones' checkpoints have a folder of their own.
    alone = dataclasses.replace(plan.of("labelled"), state=plan.state and plan.state / "state-labelled")
    trained = train(features, labels, num_classes, split, settings, alone)
    rows, guesses = _named(trained.head, pool)
    if len(rows):
        more = len(features) + np.arange(len(rows))
        trained = train(
            np.concatenate([features, pool.features[rows]]), np.concatenate([labels, guesses]), num_classes,
            dataclasses.replace(split, train=np.concatenate([split.train, more])), settings, plan,
        )  # fmt: skip
    counts = np.bincount(guesses, minlength=num_classes)
    note = {
        "confidence": pool.confidence,
        "images": len(pool.features),
        "left_out": int(np.sum(~pool.usable)),
        "used": len(rows),
        "per_class": dict(zip(pool.classes, counts.tolist(), strict=True)),
    }
    return dataclasses.replace(trained, notes={**trained.notes, "pseudo_labels": note})


def _named(head: Callable[[Array], Array], pool: Pool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the pool that are named with confidence, and their classes."""
    allowed = np.flatnonzero(pool.usable)
    probabilities = head(pool.features[allowed])
    # Features that are no numbers give no probability, and none is reached.
    sure = probabilities.max(axis=1, initial=0) >= pool.confidence
    return allowed[sure], probabilities.argmax(axis=1)[sure].astype(np.int64)
