"""Batches: what each must hold, what an epoch shows, and that seed and epoch alone decide."""

import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
from each import each

from steelbench.errors import SteelbenchError
from steelbench.training.loop.samplers import balanced_batches, pair_batches, pk_batches, validation_batches

# As X-SDD is, a tenth of it: the largest class has six times as many images as the smallest.
UNBALANCED = [40, 6, 20, 12, 24, 7, 13]


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


def seen(batches):
    """Count each row in the batches."""
    return Counter(row for batch in batches for row in batch.tolist())


def flat(batches):
    """Rows of batches or of pairs, as lists that can be compared."""
    return [
        np.concatenate([batch.left, batch.right, batch.same]).tolist() if hasattr(batch, "left") else batch.tolist()
        for batch in batches
    ]


KINDS = {
    "pk": partial(pk_batches, classes_per_batch=4, images_per_class=3),
    "balanced": partial(balanced_batches, batch_size=16),
    "pair": partial(pair_batches, batch_size=16),
    "pair in groups": partial(pair_batches, batch_size=16, groups=np.arange(sum(UNBALANCED)) // 2),
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_seed_and_epoch_alone_decide(make):
    labels = labels_of(UNBALANCED)
    before = labels.copy()
    every = [flat(make(labels, seed=3, epoch=epoch)) for epoch in range(3)]

    np.random.seed(1)  # whatever else draws in the program
    resumed = flat(make(labels, seed=3, epoch=2))

    assert resumed == every[2]
    assert every[0] != every[1] != every[2]
    assert flat(make(labels, seed=4, epoch=2)) != resumed
    assert np.array_equal(labels, before)


@pytest.mark.parametrize(("classes", "each"), [(2, 2), (4, 3), (7, 4), (3, 12)])
def test_pk_batch_holds_p_classes_with_k_images(classes, each):
    labels = labels_of(UNBALANCED)

    for batch in pk_batches(labels, classes_per_batch=classes, images_per_class=each, seed=0, epoch=0):
        assert batch.shape == (classes * each,) and batch.dtype == np.int64
        assert sorted(Counter(labels[batch].tolist()).values()) == [each] * classes


def test_pk_batch_repeats_an_image_only_where_its_class_is_too_small():
    labels = labels_of(UNBALANCED)

    for epoch in range(15):
        for batch in pk_batches(labels, classes_per_batch=7, images_per_class=8, seed=0, epoch=epoch):
            for label, count in enumerate(UNBALANCED):
                times = Counter(batch[labels[batch] == label].tolist()).values()
                assert len(times) == min(8, count)
                assert max(times) == math.ceil(8 / count)


def test_pk_classes_and_their_images_take_turns():
    # 420 images make 35 batches of 12, so that each of 7 classes has its turn 15 times.
    labels = labels_of([140, 20, 70, 42, 84, 25, 39])

    batches = pk_batches(labels, classes_per_batch=3, images_per_class=4, seed=0, epoch=0)

    classes = Counter(label for batch in batches for label in set(labels[batch].tolist()))
    assert len(batches) == 35 and set(classes.values()) == {35 * 3 // 7}
    times = seen(batches)
    for label in range(7):
        own = [times[row] for row in np.flatnonzero(labels == label).tolist()]
        assert max(own) - min(own) <= 1


def test_pk_images_of_a_class_are_not_together_in_the_batch():
    labels = labels_of([20, 20])

    batches = [
        batch
        for epoch in range(4)
        for batch in pk_batches(labels, classes_per_batch=2, images_per_class=4, seed=0, epoch=epoch)
    ]

    assert len({tuple(labels[batch].tolist()) for batch in batches}) > 10


def test_pk_of_more_classes_than_there_are_is_refused():
    with pytest.raises(SteelbenchError, match=r"hold 4 classes, but the training images have 3; lower batch_size"):
        pk_batches(labels_of([5, 5, 5]), classes_per_batch=4, images_per_class=2, seed=0, epoch=0)


@each("size", [7, 8, 16, 20, 64, 200])
def test_balanced_batch_holds_every_class_equally_often(size):
    labels = labels_of(UNBALANCED)

    batches = balanced_batches(labels, batch_size=size, seed=0, epoch=0)

    for batch in batches:
        assert len(batch) == size
        counts = [int((labels[batch] == label).sum()) for label in range(7)]
        assert min(counts) >= 1 and max(counts) - min(counts) <= 1
    total = Counter(int(labels[row]) for batch in batches for row in batch)
    assert max(total.values()) - min(total.values()) <= 1


@each("size", [7, 8, 16, 20, 64, 200])
def test_balanced_epoch_shows_every_image(size):
    labels = labels_of(UNBALANCED)

    times = seen(balanced_batches(labels, batch_size=size, seed=0, epoch=0))

    assert set(times) == set(range(len(labels)))
    for label in range(7):
        own = [times[row] for row in np.flatnonzero(labels == label).tolist()]
        assert max(own) - min(own) <= 1


def test_balanced_batches_of_equal_classes_show_every_image_once():
    labels = labels_of([8, 8, 8])

    assert set(seen(balanced_batches(labels, batch_size=6, seed=0, epoch=0)).values()) == {1}


def test_balanced_batch_without_room_for_every_class_is_refused():
    with pytest.raises(SteelbenchError, match=r"batch_size is 2, .* each of the 3 classes; raise it to 3 or more"):
        balanced_batches(labels_of([5, 5, 5]), batch_size=2, seed=0, epoch=0)


def test_classes_may_have_any_numbers():
    """A fold's training images need not hold every class of the data set."""
    labels = np.array([9, 2, 9, 2, 5, 5])

    (batch,) = pk_batches(labels, classes_per_batch=3, images_per_class=2, seed=0, epoch=0)
    balanced = balanced_batches(labels, batch_size=3, seed=0, epoch=0)

    assert sorted(batch.tolist()) == list(range(6))
    assert all(sorted(labels[rows].tolist()) == [2, 5, 9] for rows in balanced)


@pytest.mark.parametrize(
    ("make", "first", "second"),
    [
        # 42 images, at most 16 in a class, then 21 of at most 8.
        (
            lambda labels, size: pk_batches(labels, classes_per_batch=3, images_per_class=size // 3, seed=0, epoch=0),
            42 // 12,
            21 // 6,
        ),
        (lambda labels, size: balanced_batches(labels, batch_size=size, seed=0, epoch=0), 16 // 4, 8 // 2),
        (lambda labels, size: pair_batches(labels, batch_size=size, seed=0, epoch=0), 2 * 42 // 12, 2 * 21 // 6),
        (lambda labels, size: validation_batches(len(labels), batch_size=size, seed=0), 4, 4),
    ],
    ids=["pk", "balanced", "pair", "validation"],
)
def test_steps_are_those_of_the_given_images_and_batch_size(make, first, second):
    """Not those of an earlier stage: two stages can differ in both."""
    large, small = labels_of([16, 16, 10]), labels_of([8, 8, 5])

    assert len(make(large, 12)) == first
    assert len(make(small, 6)) == second
    assert len(make(large, 6)) > first


def test_a_set_smaller_than_a_batch_still_has_one():
    labels, first = labels_of([2, 2]), {"seed": 0, "epoch": 0}

    assert [len(batch) for batch in pk_batches(labels, classes_per_batch=2, images_per_class=8, **first)] == [16]
    assert [len(batch) for batch in balanced_batches(labels, batch_size=16, **first)] == [16]
    assert [len(batch.same) for batch in pair_batches(labels, batch_size=16, **first)] == [16]


@pytest.mark.parametrize("size", [2, 5, 16])
def test_half_of_the_pairs_show_one_class(size):
    labels = labels_of(UNBALANCED)

    batches = pair_batches(labels, batch_size=size, seed=0, epoch=0)

    left, right, same = (np.concatenate([getattr(b, side) for b in batches]) for side in ("left", "right", "same"))
    assert np.array_equal(same, labels[left] == labels[right])
    assert np.array_equal(same, np.arange(len(same)) % 2 == 0)
    assert all(b.left.shape == b.right.shape == b.same.shape == (size,) for b in batches)
    assert not np.any(left == right)


def test_pairs_of_a_small_class_hold_two_images():
    """With two images there is one partner; a sampler that draws both sides alike takes the image itself."""
    labels = np.array([0, 0, 1, 1])

    for epoch in range(50):
        for batch in pair_batches(labels, batch_size=8, seed=0, epoch=epoch):
            assert not np.any(batch.left == batch.right)


@pytest.mark.parametrize("seed", range(3))
def test_no_pair_holds_two_images_of_one_group(seed):
    rng = np.random.default_rng(seed)
    labels = labels_of([30, 20, 9], seed)
    groups = rng.integers(0, 6, len(labels))

    for batch in pair_batches(labels, batch_size=16, seed=seed, epoch=0, groups=groups):
        assert np.all(groups[batch.left] != groups[batch.right])


def test_every_image_with_a_partner_is_to_the_left_of_a_pair_of_each_kind():
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    groups = np.array([0, 0, 1, 2, 3, 4, 5])

    batches = pair_batches(labels, batch_size=4, seed=0, epoch=0, groups=groups)

    left, same = (np.concatenate([getattr(b, side) for b in batches]) for side in ("left", "same"))
    assert set(left[~same].tolist()) == set(range(7))
    assert set(left[same].tolist()) == set(range(6)), "the only image of class 2 has no partner"


def test_partners_are_drawn_from_all_that_fit():
    labels, groups = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 3, 4])

    found = {
        (int(a), int(b))
        for epoch in range(60)
        for batch in pair_batches(labels, batch_size=12, seed=0, epoch=epoch, groups=groups)
        for a, b in zip(batch.left, batch.right, strict=True)
    }

    assert found == {(a, b) for a in range(6) for b in range(6) if groups[a] != groups[b]}


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0, 0, 0], None, "are of one class"),
        ([0, 1, 2], None, "none of the 3 classes has two"),
        ([0, 0, 1, 1], [4, 4, 7, 7], "none of the 2 classes has two"),
    ],
    ids=["one class", "single images", "copies"],
)
def test_pairs_that_cannot_be_formed_are_refused(labels, groups, message):
    given = groups and np.array(groups)

    with pytest.raises(SteelbenchError, match=message):
        pair_batches(np.array(labels), batch_size=4, seed=0, epoch=0, groups=given)


def test_a_class_of_one_group_is_left_out_of_the_pairs_of_one_class():
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 0, 1, 2, 3])

    for batch in pair_batches(labels, batch_size=12, seed=0, epoch=0, groups=groups):
        assert set(labels[batch.left[batch.same]].tolist()) == {1}
        assert set(labels[batch.left[~batch.same]].tolist()) == {0, 1}


def test_a_refusal_of_pairs_names_the_part_of_the_images():
    with pytest.raises(SteelbenchError, match="two validation images that share no pixels"):
        pair_batches(np.arange(3), batch_size=4, seed=0, epoch=0, part="validation")


@each(("count", "size"), [(1, 16), (15, 16), (16, 16), (17, 16), (100, 16), (5, 1)])
def test_validation_batches_hold_every_image_once_and_none_is_tiny(count, size):
    batches = validation_batches(count, batch_size=size, seed=0)

    sizes = [len(batch) for batch in batches]
    assert set(seen(batches).items()) == {(row, 1) for row in range(count)}
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_validation_batches_follow_the_seed():
    first, again, other = (flat(validation_batches(50, batch_size=8, seed=seed)) for seed in (1, 1, 2))

    assert first == again and first != other


def supcon(labels, embeddings, temperature=0.1):
    """Mean of Khosla et al. 2020, eq. 2, in loops."""
    losses = []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        total = sum(np.exp(embeddings[i] @ embeddings[j] / temperature) for j in others)
        terms = [
            -np.log(np.exp(embeddings[i] @ embeddings[j] / temperature) / total)
            for j in others
            if labels[j] == labels[i]
        ]
        losses += [np.mean(terms)] if terms else []
    return float(np.mean(losses))


def test_validation_loss_tells_a_perfect_encoder_from_a_collapsed_one():
    """In class order both have log(B - 1): such a val_loss is a constant, and chooses no epoch."""
    labels = np.repeat(np.arange(3), 16)
    perfect, collapsed = np.eye(3)[labels], np.eye(3)[0 * labels]

    def loss(batches, embeddings):
        return np.mean([supcon(labels[rows], embeddings[rows]) for rows in batches])

    in_class_order = np.arange(48).reshape(3, 16)
    assert loss(in_class_order, perfect) == pytest.approx(np.log(15))
    assert loss(in_class_order, collapsed) == pytest.approx(np.log(15))
    shuffled = validation_batches(48, batch_size=16, seed=0)
    assert loss(shuffled, collapsed) == pytest.approx(np.log(15))
    assert loss(shuffled, perfect) < np.log(15) - 0.5
