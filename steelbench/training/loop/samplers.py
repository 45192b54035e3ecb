"""Which images stand in which batch: rows of a list of labels, a pure function of seed and epoch.

So a resumed run sees the batches of one that was never interrupted. How many batches an epoch has follows from the
labels and the batch size that are given, so that each stage of a method has its own number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs: rows `left` and `right`, int64 [B], and `same`, bool [B]: whether they show one class."""

    left: Rows
    right: Rows
    same: NDArray[np.bool_]


@dataclass(frozen=True)
class Batches:
    """The batches of a stage, as rows of its samples.

    Attributes:
        train: the batches of an epoch, counted from 0; their number is the same in every epoch.
        validation: the same in every epoch.
    """

    train: Callable[[int], list[Rows]]
    validation: list[Rows]


class _Deck:
    """Deals every card once before any again, and gives a hand the same card twice only if there are too few."""

    def __init__(self, cards: Rows, rng: np.random.Generator) -> None:
        self.cards, self.rng = cards, rng
        self.left = rng.permutation(cards)

    def deal(self, count: int) -> Rows:
        hand = self.left[:0]
        while len(hand) < count:
            if not len(self.left):
                shuffled = self.rng.permutation(self.cards)
                # What the hand holds goes to the end of the new deck.
                held = np.isin(shuffled, hand)
                self.left = np.concatenate([shuffled[~held], shuffled[held]])
            taken = count - len(hand)
            hand, self.left = np.concatenate([hand, self.left[:taken]]), self.left[taken:]
        return hand


def _decks(labels: Rows, rng: np.random.Generator) -> dict[int, _Deck]:
    return {int(label): _Deck(np.flatnonzero(labels == label), rng) for label in np.unique(labels)}


def pk_batches(
    labels: Rows, classes_per_batch: int, images_per_class: int, seed: int, epoch: int, steps: int | None = None
) -> list[Rows]:
    """Batches of P classes with K images of each, for losses that look for triplets inside the batch.

    The classes take turns, and so do the images of a class; a class with fewer than K images repeats some.

    Args:
        labels: int [N], the class of each row.
        classes_per_batch: P.
        images_per_class: K.
        seed: of the run.
        epoch: counted from 0.
        steps: batches; None for as many as hold N images, rounded down, but one at least.

    Returns:
        Rows int64 [P * K] each, in random order.

    Raises:
        SteelbenchError: if there are fewer than P classes.

    References:
        Hermans, Beyer, Leibe 2017, "In Defense of the Triplet Loss for Person Re-Identification", section 2.
        https://arxiv.org/abs/1703.07737
    """
    rng = np.random.default_rng([seed, epoch])
    decks = _decks(labels, rng)
    if len(decks) < classes_per_batch:
        raise SteelbenchError(
            f"a batch is to hold {classes_per_batch} classes, but the training images have {len(decks)}; "
            "lower batch_size, raise images_per_class, or add classes."
        )
    turns = _Deck(np.array(list(decks), np.int64), rng)
    if steps is None:
        steps = max(1, len(labels) // (classes_per_batch * images_per_class))
    return [
        rng.permutation(
            np.concatenate([decks[int(label)].deal(images_per_class) for label in turns.deal(classes_per_batch)])
        )
        for _ in range(steps)
    ]


def balanced_batches(labels: Rows, batch_size: int, seed: int, epoch: int, steps: int | None = None) -> list[Rows]:
    """Batches that all hold every class, equally often but for the remainder, which the classes take in turns.

    Small classes are repeated until the largest was seen once: an epoch shows every image at least once.

    Args:
        labels: int [N], the class of each row.
        batch_size: images in a batch.
        seed: of the run.
        epoch: counted from 0.
        steps: batches; None for as many as show every image.

    Returns:
        Rows int64 [batch_size] each, in random order.

    Raises:
        SteelbenchError: if the batch has no room for every class.

    References:
        Buda, Maki, Mazurowski 2018, "A systematic study of the class imbalance problem in convolutional neural
        networks", section 2.1 (random minority oversampling). https://arxiv.org/abs/1710.05381
    """
    rng = np.random.default_rng([seed, epoch])
    decks = _decks(labels, rng)
    if batch_size < len(decks):
        raise SteelbenchError(
            f"batch_size is {batch_size}, but every batch is to hold each of the {len(decks)} classes; "
            f"raise it to {len(decks)} or more."
        )
    each, rest = divmod(batch_size, len(decks))
    turns = _Deck(np.array(list(decks), np.int64), rng)
    if steps is None:
        steps = -(-max(len(deck.cards) for deck in decks.values()) // each)
    batches = []
    for _ in range(steps):
        more = turns.deal(rest)
        batch = [deck.deal(each + int(label in more)) for label, deck in decks.items()]
        batches.append(rng.permutation(np.concatenate(batch)))
    return batches


def pair_batches(
    labels: Rows, batch_size: int, seed: int, epoch: int, groups: Rows | None = None, steps: int | None = None
) -> list[Pairs]:
    """Batches of pairs: the even ones show one class, the odd ones two, counted through the epoch.

    No pair holds one image twice or two images of one group, whose shared pixels would make it trivial or, with two
    labels, impossible.

    Args:
        labels: int [N], the class of each row.
        batch_size: pairs in a batch.
        seed: of the run.
        epoch: counted from 0.
        groups: int [N], of images that share pixels; None for images that share nothing.
        steps: batches; None for as many as put every image that has a partner to the left of one pair of each kind.

    Raises:
        SteelbenchError: if no pair of one class, or of two, can be formed.

    References:
        Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", section 2.
        https://doi.org/10.1109/CVPR.2006.100
    """
    groups = np.arange(len(labels)) if groups is None else groups
    _refuse_unpaired(labels, groups)
    rng = np.random.default_rng([seed, epoch])
    if steps is None:
        steps = -(-2 * len(labels) // batch_size)
    same = np.arange(steps * batch_size) % 2 == 0
    draw = {kind: _drawer(labels, groups, kind, rng) for kind in (True, False)}
    left, right = (
        np.array([draw[bool(kind)]() for kind in same], np.int64).reshape(steps, batch_size, 2).transpose(2, 0, 1)
    )
    return [Pairs(*batch) for batch in zip(left, right, same.reshape(steps, batch_size), strict=True)]


def _drawer(labels: Rows, groups: Rows, same: bool, rng: np.random.Generator) -> Callable[[], tuple[int, int]]:
    deck = _Deck(np.arange(len(labels)), rng)

    def draw() -> tuple[int, int]:
        while True:
            left = int(deck.deal(1)[0])
            partners = np.flatnonzero(((labels == labels[left]) == same) & (groups != groups[left]))
            if len(partners):
                return left, int(partners[rng.integers(len(partners))])

    return draw


def _refuse_unpaired(labels: Rows, groups: Rows) -> None:
    classes = len(np.unique(labels))
    if len(np.unique(np.stack([labels, groups]), axis=1)[0]) == classes:
        raise SteelbenchError(
            f"none of the {classes} classes has two training images that share no pixels, so no pair shows one class; "
            "add images."
        )
    if classes < 2:
        raise SteelbenchError("all training images are of one class, so no pair shows two; add images of another.")


def validation_batches(count: int, batch_size: int, seed: int) -> list[Rows]:
    """Every image once, shuffled by the seed, in batches of nearly one size; the same in every epoch.

    In class order a batch would hold one class, where a contrastive loss cannot tell a good encoder from one that
    collapsed; and a last batch of a few images would hold no pair.

    Args:
        count: images.
        batch_size: of the largest batch.
        seed: of the run.
    """
    order = np.random.default_rng(seed).permutation(count)
    return list(np.array_split(order, max(1, -(-count // batch_size))))


def order_of(epoch: int, count: int, seed: int) -> NDArray[np.int64]:
    """The order of the samples in an epoch, counted from 0; it depends on the seed and the epoch alone.

    So a resumed run sees the same batches as one that was never interrupted.
    """
    return np.random.default_rng([seed, epoch]).permutation(count)


def plain_batches(count: int, held_out: int, batch_size: int, seed: int) -> Batches:
    """All samples once in every epoch, in an order of its own; the last batch may be smaller."""

    def train(epoch: int) -> list[Rows]:
        return _cut(order_of(epoch, count, seed), batch_size)

    return Batches(train, _cut(np.arange(held_out), 1024))


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]
