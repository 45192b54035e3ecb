"""Contrastive losses of batches and of pairs against loops written from the papers and against closed forms."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from steelbench.models import losses

SUPCON_AND_NPAIRS = [losses.supcon, losses.npairs]


def unit(rng, count, dim=6, spread=1.0):
    """float32 [count, dim] of norm 1, within `spread` of one direction (large: everywhere)."""
    x = rng.standard_normal((count, dim)) * spread + (spread < 1)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def naive_supcon(labels, embeddings, temperature):
    """Equation 2 of Khosla et al., one anchor after the other."""
    z = embeddings.astype(np.float64)
    out = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        terms = [np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives]
        out.append(-sum(terms) / len(positives) if positives else 0.0)
    return out


def naive_npairs(labels, embeddings, temperature):
    """Softmax over the whole row; the cross-entropy with the row's share of the anchor's class."""
    z = embeddings.astype(np.float64)
    out = []
    for i in range(len(z)):
        exps = [np.exp(z[i] @ z[j] / temperature) for j in range(len(z))]
        alike = [j for j in range(len(z)) if labels[j] == labels[i]]
        out.append(sum(-np.log(exps[j] / sum(exps)) / len(alike) for j in alike))
    return out


NAIVE = {losses.supcon: naive_supcon, losses.npairs: naive_npairs}
BATCHES = {
    "balanced": [0, 0, 0, 1, 1, 1, 2, 2, 2],
    "unbalanced": [0, 1, 0, 0, 2, 0, 1, 2, 0, 0],
    "lonely": [3, 1, 1, 0, 1, 0],
    "all lonely": [4, 2, 9],
    "one class": [5, 5, 5, 5],
}


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_equals_the_paper_written_as_loops(loss, batch, temperature):
    labels = np.int32(BATCHES[batch])
    embeddings = unit(np.random.default_rng(len(labels)), len(labels))

    values = np.asarray(loss(labels, embeddings, temperature=temperature))

    assert values.shape == labels.shape and values.dtype == np.float32
    np.testing.assert_allclose(values, NAIVE[loss](labels, embeddings, temperature), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("loss", "rivals"), [(losses.supcon, 7), (losses.npairs, 8)])
def test_identical_embeddings_give_the_log_of_the_rivals(loss, rivals, temperature):
    embeddings = np.tile(np.float32([[0.6, 0.8]]), (8, 1))

    values = loss(np.int32([0, 0, 1, 1, 2, 2, 3, 3]), embeddings, temperature)

    np.testing.assert_allclose(values, np.log(rivals), rtol=1e-5)


@pytest.mark.parametrize(("loss", "alike"), [(losses.supcon, 3), (losses.npairs, 4)])
def test_opposite_classes_give_the_log_of_the_images_alike(loss, alike):
    """The floor of a perfect encoder: supcon counts the others of the class, npairs the anchor as well."""
    labels = np.int32([0, 0, 0, 0, 1, 1, 1, 1])
    embeddings = np.where(labels[:, None] == 0, 1, -1) * np.float32([[0.6, 0.8]])

    np.testing.assert_allclose(loss(labels, embeddings, 0.05), np.log(alike), rtol=1e-5)


def test_supcon_does_not_count_the_anchor_as_its_own_positive_and_npairs_does():
    labels, embeddings = np.int32([0, 1, 2, 3]), unit(np.random.default_rng(0), 4)

    assert np.array_equal(losses.supcon(labels, embeddings), np.zeros(4))
    assert np.min(losses.npairs(labels, embeddings)) > 0


def test_supcon_does_not_count_the_anchor_among_its_rivals():
    """Two images: the other one is the only candidate, so the loss is 0 wherever it lies."""
    np.testing.assert_allclose(losses.supcon(np.int32([1, 1]), unit(np.random.default_rng(1), 2), 0.05), 0, atol=1e-6)


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
def test_temperature_is_an_argument_with_the_papers_default_and_no_global(loss):
    labels, embeddings = np.int32(BATCHES["balanced"]), unit(np.random.default_rng(2), 9)

    assert inspect.signature(loss).parameters["temperature"].default == 0.1
    assert not any(isinstance(value, int | float) for value in inspect.getclosurevars(loss).globals.values())
    for temperature in (0.5, 0.05, 0.5):
        expected = NAIVE[loss](labels, embeddings, temperature)
        np.testing.assert_allclose(loss(labels, embeddings, temperature=temperature), expected, rtol=2e-5)
    np.testing.assert_array_equal(loss(labels, embeddings), loss(labels, embeddings, temperature=0.1))


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
def test_order_of_the_batch_does_not_matter(loss):
    rng = np.random.default_rng(3)
    labels, embeddings, order = np.int32(BATCHES["unbalanced"]), unit(rng, 10), rng.permutation(10)

    mixed = loss(labels[order], embeddings[order])

    np.testing.assert_allclose(mixed, np.asarray(loss(labels, embeddings))[order], rtol=1e-5)


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
@pytest.mark.parametrize("form", [lambda y: y.astype(np.float32), lambda y: y.astype(np.float32)[:, None]])
def test_labels_may_come_as_keras_hands_them_over(loss, form):
    labels, embeddings = np.int32(BATCHES["unbalanced"]), unit(np.random.default_rng(4), 10)

    np.testing.assert_array_equal(loss(form(labels), embeddings), loss(labels, embeddings))


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
def test_logits_in_the_tens_of_thousands_stay_finite_with_finite_gradients(loss):
    """With the rival far behind, the loss is the distance of the logits: nothing overflows, nothing is cut off."""
    temperature = 1e-5
    embeddings = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        values = loss(np.int32([0, 0, 1]), embeddings, temperature)
    gradient = tape.gradient(values, embeddings)

    # Anchor 0: the positive at cosine 0 against the highest rival, image 2 at .8, or itself at 1.
    highest, share = (0.8, 1) if loss is losses.supcon else (1.0, 0.5)
    assert float(values[0]) == pytest.approx(share * highest / temperature, rel=1e-5)
    assert np.isfinite(values).all() and np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", SUPCON_AND_NPAIRS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(loss, dtype):
    labels, embeddings = np.int32(BATCHES["unbalanced"]), unit(np.random.default_rng(5), 10)
    half = keras.ops.cast(embeddings, dtype)

    values = np.asarray(loss(labels, half, 0.05))

    assert values.dtype == np.float32
    rounded = np.asarray(keras.ops.cast(half, "float32"))
    np.testing.assert_allclose(values, NAIVE[loss](labels, rounded, 0.05), rtol=2e-5, atol=2e-6)


def test_contrastive_equals_the_paper_written_as_a_loop():
    rng = np.random.default_rng(0)
    same, distances = rng.integers(0, 2, 40), rng.uniform(0, 2, 40).astype(np.float32)

    values = losses.contrastive(same, distances, margin=1.2)

    # Twice equation 4 of Hadsell et al., whose Y is 0 for a pair of one class.
    halves = [(1 - y) * 0.5 * d**2 + y * 0.5 * max(0, 1.2 - d) ** 2 for y, d in zip(1 - same, distances, strict=True)]
    np.testing.assert_allclose(values, 2 * np.array(halves), rtol=1e-5, atol=1e-7)


def test_contrastive_of_a_negative_pair_beyond_the_margin_is_nothing():
    assert np.array_equal(losses.contrastive([1, 0, 0], [3.0, 1.5, 0.5]), [9.0, 0.0, 0.25])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_contrastive_takes_columns_of_any_float(dtype):
    values = losses.contrastive(np.float32([[1], [0]]), keras.ops.cast([[0.5], [0.25]], dtype))

    assert values.shape == (2,) and values.dtype == "float32"
    np.testing.assert_allclose(values, [0.25, 0.5625])
