"""Triplet losses against loops written from the papers, and where mining has nothing to mine."""

import keras
import numpy as np
import pytest

from steelbench.models import losses

MARGIN = 0.2
TRIPLETS = [losses.triplet_batch_all, losses.triplet_batch_hard, losses.triplet_semihard]


def penalty(gap, margin, soft):
    return np.log1p(np.exp(gap)) if soft else max(0.0, margin + gap)


def batch_all(positives, negatives, margin, soft):
    return np.mean([penalty(p - n, margin, soft) for p in positives for n in negatives])


def batch_hard(positives, negatives, margin, soft):
    return penalty(max(positives) - min(negatives), margin, soft)


def semihard(positives, negatives, margin, soft):
    total = 0.0
    for p in positives:
        farther = [n for n in negatives if n > p]
        total += penalty(p - (min(farther) if farther else max(negatives)), margin, soft)
    return total / len(positives)


NAIVE = dict(zip(TRIPLETS, [batch_all, batch_hard, semihard], strict=True))


def naive(loss, labels, embeddings, margin=MARGIN, soft=False):
    """One anchor after the other, from its distances to positives and to negatives."""
    z, out = embeddings.astype(np.float64), []
    for a in range(len(z)):
        to = [np.sqrt(np.sum((z[a] - z[j]) ** 2)) for j in range(len(z))]
        positives = [to[j] for j in range(len(z)) if j != a and labels[j] == labels[a]]
        negatives = [to[j] for j in range(len(z)) if labels[j] != labels[a]]
        out.append(NAIVE[loss](positives, negatives, margin, soft) if positives and negatives else 0.0)
    return out


def unit(seed, count, dim=5):
    x = np.random.default_rng(seed).standard_normal((count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


BATCHES = {
    "balanced": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "unbalanced": [0, 1, 0, 0, 2, 0, 1, 2, 0, 0],
    "lonely": [3, 1, 1, 0, 1, 0],
    "all lonely": [4, 2, 9],
    "one class": [5, 5, 5, 5],
    "one image": [1],
}


@pytest.mark.parametrize("loss", TRIPLETS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("margin", "soft"), [(0.2, False), (1.0, False), (0.2, True)])
def test_equals_the_paper_written_as_loops(loss, batch, margin, soft):
    labels = np.int32(BATCHES[batch])
    embeddings = unit(len(labels), len(labels))

    values = np.asarray(loss(labels, embeddings, margin=margin, soft=soft))

    assert values.shape == labels.shape and values.dtype == np.float32
    np.testing.assert_allclose(values, naive(loss, labels, embeddings, margin, soft), rtol=1e-5, atol=1e-6)


def line(*places):
    """Embeddings on a line, float32 [B, 1]."""
    return np.float32(places)[:, None]


def test_distances_are_not_squared():
    """Anchor at 0, positive at 3, negative at 5: 1 + 3 - 5 is below 0; squared it would be -15, at .5 the roots 1.5."""
    labels, places = np.int32([0, 0, 1]), line(0, 3, 5)

    for loss in TRIPLETS:
        assert np.allclose(loss(labels, places, margin=2.5), [0.5, 3.5, 0])


def test_batch_hard_takes_the_farthest_positive_and_the_nearest_negative():
    values = losses.triplet_batch_hard(np.int32([0, 0, 0, 1, 1]), line(0, 1, 4, 2, 7), margin=0.5)

    # Anchor 0: farthest positive at 4, nearest negative at 2: .5 + 4 - 2.
    assert float(values[0]) == pytest.approx(2.5)


def test_batch_all_is_the_mean_over_the_triplets_of_the_anchor():
    values = losses.triplet_batch_all(np.int32([0, 0, 0, 1, 1]), line(0, 1, 4, 2, 7), margin=0.5)

    # Anchor 0: (1, 2) and (1, 7) cost nothing, (4, 2) costs 2.5, (4, 7) nothing.
    assert float(values[0]) == pytest.approx(2.5 / 4)


def test_semihard_takes_the_nearest_negative_beyond_the_positive():
    values = losses.triplet_semihard(np.int32([0, 0, 1, 1, 1]), line(0, 3, 1, 3.25, 8), margin=0.5)

    # Anchor 0: the negative at 1 is nearer than the positive at 3; the next one is at 3.25.
    assert float(values[0]) == pytest.approx(0.25)


def test_semihard_falls_back_on_the_farthest_negative():
    values = losses.triplet_semihard(np.int32([0, 0, 1, 1]), line(0, 6, 1, 2), margin=0.5)

    # Anchor 0: no negative lies beyond 6; the farthest is at 2.
    assert float(values[0]) == pytest.approx(4.5)


@pytest.mark.parametrize("loss", TRIPLETS)
@pytest.mark.parametrize(("margin", "soft", "value"), [(0.3, False, 0.3), (0.3, True, np.log(2))])
def test_identical_embeddings_cost_the_margin(loss, margin, soft, value):
    embeddings = np.tile(np.float32([[0.6, 0.8]]), (6, 1))

    values = loss(np.int32([0, 0, 1, 1, 2, 2]), embeddings, margin=margin, soft=soft)

    np.testing.assert_allclose(values, value, rtol=1e-6)


@pytest.mark.parametrize("loss", TRIPLETS)
def test_order_of_the_batch_does_not_matter(loss):
    labels, embeddings = np.int32(BATCHES["unbalanced"]), unit(3, 10)
    order = np.random.default_rng(3).permutation(10)

    mixed = loss(labels[order], embeddings[order])

    np.testing.assert_allclose(mixed, np.asarray(loss(labels, embeddings))[order], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", TRIPLETS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_and_a_column_of_float_labels(loss, dtype):
    labels, half = np.int32(BATCHES["unbalanced"]), keras.ops.cast(unit(4, 10), dtype)

    values = np.asarray(loss(np.float32(labels)[:, None], half, margin=1.0))

    assert values.dtype == np.float32
    rounded = np.asarray(keras.ops.cast(half, "float32"))
    np.testing.assert_allclose(values, naive(loss, labels, rounded, 1.0), rtol=1e-5, atol=1e-6)
