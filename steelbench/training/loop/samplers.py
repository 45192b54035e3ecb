"""Samplers: the rows of each batch, a pure function of the labels, the seed and the epoch.

So a resumed fit gets the batches of one that was never interrupted. The number of batches in an epoch follows from the
labels and the batch size that are given, so that each stage of a method has its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups, Labels, RowIndices
from steelbench.errors import SteelbenchError

# Validation samples of a classifier in one batch; its loss and accuracy are means over samples, whatever the batches.
VALIDATION_BATCH = 1024


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs: rows `left` and `right`, int64 [B], and `same`, bool [B]: whether they are of one class."""

    left: RowIndices
    right: RowIndices
    same: NDArray[np.bool_]


@dataclass(frozen=True)
class Batches:
    """The batches of a stage, as rows of its samples.

    Attributes:
        train: from an epoch, counted from 0, to its batches; every epoch has the same number of them.
        validation: the batches of validation samples, the same in every epoch.
    """

    train: Callable[[int], list[RowIndices]]
    validation: list[RowIndices]


class _RowCycle:
    """Rows in random order, over and over.

    Every row comes once before any comes again; a batch repeats a row only if it needs more than there are.

    Args:
        rows: int64 [N].
        rng: decides every order.
    """

    def __init__(self, rows: RowIndices, rng: np.random.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.remaining = rng.permutation(rows)

    def take(self, count: int) -> RowIndices:
        """Return the next rows, int64 [count], of one batch."""
        taken = self.remaining[:0]
        while len(taken) < count:
            if not len(self.remaining):
                shuffled = self.rng.permutation(self.rows)
                # Rows that the batch has already come last, so that it repeats one only if it must.
                repeated = np.isin(shuffled, taken)
                self.remaining = np.concatenate([shuffled[~repeated], shuffled[repeated]])
            missing = count - len(taken)
            taken, self.remaining = np.concatenate([taken, self.remaining[:missing]]), self.remaining[missing:]
        return taken


def _cycle_per_class(labels: Labels, rng: np.random.Generator) -> dict[int, _RowCycle]:
    return {int(label): _RowCycle(np.flatnonzero(labels == label), rng) for label in np.unique(labels)}


def pk_batches(
    labels: Labels, *, classes_per_batch: int, images_per_class: int, seed: int, epoch: int
) -> list[RowIndices]:
    """Return batches of P classes with K images of each, for losses that look for triplets inside the batch.

    The classes take turns, and so do the images of a class; a class with fewer than K images repeats some.

    Args:
        labels: int64 [N].
        classes_per_batch: P, 2 or more.
        images_per_class: K, 2 or more.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        As many batches as hold N images, rounded down, but one at least; int64 [P * K] each, in random order.

    Raises:
        SteelbenchError: if there are fewer than P classes.

    References:
        Hermans, Beyer, Leibe 2017, "In Defense of the Triplet Loss for Person Re-Identification", section 2.
        https://arxiv.org/abs/1703.07737
    """
    rng = np.random.default_rng([seed, epoch])
    cycles = _cycle_per_class(labels, rng)
    if len(cycles) < classes_per_batch:
        raise SteelbenchError(
            f"a batch is to hold {classes_per_batch} classes, but the training images have {len(cycles)}; "
            "lower batch_size, raise images_per_class, or add classes."
        )
    classes = _RowCycle(np.array(list(cycles), np.int64), rng)
    batches = []
    for _ in range(max(1, len(labels) // (classes_per_batch * images_per_class))):
        chosen = classes.take(classes_per_batch)
        batches.append(rng.permutation(np.concatenate([cycles[int(label)].take(images_per_class) for label in chosen])))
    return batches


def balanced_batches(labels: Labels, *, batch_size: int, seed: int, epoch: int) -> list[RowIndices]:
    """Return batches that hold every class equally often but for the remainder, which the classes take in turns.

    Small classes are repeated until the largest was seen once: an epoch shows every image at least once.

    Args:
        labels: int64 [N].
        batch_size: images in a batch, at least the number of classes.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        int64 [batch_size] each, in random order.

    Raises:
        SteelbenchError: if the batch has no room for every class.

    References:
        Buda, Maki, Mazurowski 2018, "A systematic study of the class imbalance problem in convolutional neural
        networks", section 2.1 (random minority oversampling). https://arxiv.org/abs/1710.05381
    """
    rng = np.random.default_rng([seed, epoch])
    cycles = _cycle_per_class(labels, rng)
    if batch_size < len(cycles):
        raise SteelbenchError(
            f"batch_size is {batch_size}, but every batch is to hold each of the {len(cycles)} classes; "
            f"raise it to {len(cycles)} or more."
        )
    each, rest = divmod(batch_size, len(cycles))
    classes = _RowCycle(np.array(list(cycles), np.int64), rng)
    batches = []
    for _ in range(math.ceil(max(len(cycle.rows) for cycle in cycles.values()) / each)):
        with_one_more = classes.take(rest)
        batch = [cycle.take(each + int(label in with_one_more)) for label, cycle in cycles.items()]
        batches.append(rng.permutation(np.concatenate(batch)))
    return batches


def pair_batches(
    labels: Labels, *, batch_size: int, seed: int, epoch: int, groups: Groups | None = None, part: str = "training"
) -> list[Pairs]:
    """Return batches of pairs: the even pairs show one class, the odd ones two, counted through the epoch.

    No pair holds one image twice or two images of one group, whose shared pixels would make it trivial or, with two
    labels, impossible. An image without a partner of its class, such as all images of a class that has one group, is
    left out of the pairs of one class.

    Args:
        labels: int64 [N].
        batch_size: pairs in a batch.
        seed: of the run.
        epoch: counted from 0.
        groups: int64 [N]; images of one group share pixels. None for images that share nothing.
        part: which images these are, for the messages.

    Returns:
        As many batches as put every image that has a partner to the left of one pair of each kind.

    Raises:
        SteelbenchError: if no pair of one class, or none of two, can be formed.

    References:
        Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", section 2.
        https://doi.org/10.1109/CVPR.2006.100
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _refuse_unpaired(labels, groups, part)
    rng = np.random.default_rng([seed, epoch])
    steps = math.ceil(2 * len(labels) / batch_size)
    same = np.arange(steps * batch_size) % 2 == 0
    draw = {kind: _pair_drawer(labels, groups, kind, rng) for kind in (True, False)}
    rows = np.array([draw[bool(kind)]() for kind in same], np.int64)
    left, right = rows.reshape(steps, batch_size, 2).transpose(2, 0, 1)
    return [Pairs(*batch) for batch in zip(left, right, same.reshape(steps, batch_size), strict=True)]


def _pair_drawer(labels: Labels, groups: Groups, same: bool, rng: np.random.Generator) -> Callable[[], tuple[int, int]]:
    """Return a function that draws the next pair of one class, or of two; the left images take turns."""
    cycle = _RowCycle(np.arange(len(labels)), rng)

    def draw() -> tuple[int, int]:
        while True:
            left = int(cycle.take(1)[0])
            partners = np.flatnonzero(((labels == labels[left]) == same) & (groups != groups[left]))
            if len(partners):
                return left, int(partners[rng.integers(len(partners))])

    return draw


def _refuse_unpaired(labels: Labels, groups: Groups, part: str) -> None:
    classes = len(np.unique(labels))
    if len(np.unique(np.stack([labels, groups]), axis=1)[0]) == classes:
        raise SteelbenchError(
            f"none of the {classes} classes has two {part} images that share no pixels, so no pair shows one class; "
            "add images, or take another mining."
        )
    if classes < 2:
        raise SteelbenchError(f"all {part} images are of one class, so no pair shows two; add images of another.")


def validation_batches(count: int, *, batch_size: int, seed: int) -> list[RowIndices]:
    """Return every image once, shuffled by the seed, in batches of nearly one size; the same in every epoch.

    In class order a batch would hold one class, where a contrastive loss cannot tell a good encoder from one that
    collapsed; and a last batch of a few images would hold no pair.

    Args:
        count: images.
        batch_size: of the largest batch.
        seed: of the run.
    """
    order = np.random.default_rng(seed).permutation(count)
    return list(np.array_split(order, max(1, math.ceil(count / batch_size))))


def epoch_order(count: int, *, seed: int, epoch: int) -> RowIndices:
    """Return the order of the samples in an epoch, counted from 0; it depends on the seed and the epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def plain_batches(count: int, validation_count: int, *, batch_size: int, seed: int) -> Batches:
    """Return batches that hold all samples once in every epoch, each in its own order; the last may be smaller.

    Args:
        count: training samples.
        validation_count: validation samples.
        batch_size: training samples in a batch.
        seed: of the run.
    """

    def train(epoch: int) -> list[RowIndices]:
        return _slices(epoch_order(count, seed=seed, epoch=epoch), batch_size)

    return Batches(train, _slices(np.arange(validation_count), VALIDATION_BATCH))


def _slices(rows: RowIndices, size: int) -> list[RowIndices]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
