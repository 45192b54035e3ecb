"""Gradients of the losses: equal to differences, finite where embeddings meet, and NaN is not hidden."""

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from each import each

from steelbench.models import losses

OF_EMBEDDINGS = {
    "supcon": losses.supcon,
    "npairs": losses.npairs,
    **{
        f"{loss.__name__}{'_soft' * soft}": partial(loss, soft=soft)
        for loss in (losses.triplet_batch_all, losses.triplet_batch_hard, losses.triplet_semihard)
        for soft in (False, True)
    },
}
ARCFACE = [losses.arcface, losses.arcface_crossentropy]


def value_and_gradient(loss, labels, inputs):
    inputs = tf.constant(inputs)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        values = loss(np.int32(labels), inputs)
    return values.numpy(), tape.gradient(values, inputs).numpy()


def unit(seed, count, dim=4):
    x = np.random.default_rng(seed).standard_normal((count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def differences(loss, labels, inputs, step=5e-4):
    """Central differences of the summed loss, one number after the other."""
    out = np.zeros_like(inputs)
    for place in np.ndindex(inputs.shape):
        moved = np.zeros_like(inputs)
        moved[place] = step
        plus, minus = (np.sum(loss(np.int32(labels), x), dtype=np.float64) for x in (inputs + moved, inputs - moved))
        out[place] = (plus - minus) / (2 * step)
    return out


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_gradient_equals_differences(name):
    labels, embeddings = [0, 1, 0, 1, 1, 2], unit(1, 6)

    _, gradient = value_and_gradient(OF_EMBEDDINGS[name], labels, embeddings)

    assert np.abs(gradient).max() > 0.01
    expected = differences(OF_EMBEDDINGS[name], labels, embeddings)
    np.testing.assert_allclose(gradient, expected, rtol=2e-2, atol=2e-2 * np.abs(expected).max())


@pytest.mark.parametrize("loss", ARCFACE)
def test_gradient_of_arcface_equals_differences(loss):
    cosines = np.float32([[0.2, -0.4, 0.5], [0.3, 0.1, -0.97], [0.6, 0.7, -0.2]])

    _, gradient = value_and_gradient(loss, [0, 2, 1], cosines)

    np.testing.assert_allclose(gradient, differences(loss, [0, 2, 1], cosines), rtol=1e-2, atol=0.05)


SHAPES = {
    "duplicates": ([0, 0, 1, 1, 0], unit(2, 5)[[0, 0, 1, 2, 3]]),
    "duplicates of two classes": ([0, 0, 1, 1], unit(2, 4)[[0, 1, 0, 1]]),
    "all equal": ([0, 0, 1, 1], unit(2, 4)[[0, 0, 0, 0]]),
    "all zero": ([0, 0, 1, 1], np.zeros((4, 4), np.float32)),
    "single class": ([3, 3, 3], unit(3, 3)),
    "no positive": ([1, 2, 3], unit(4, 3)),
    "batch of one": ([2], unit(5, 1)),
    "batch of two": ([2, 2], unit(5, 2)),
}


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_finite(name, shape):
    values, gradient = value_and_gradient(OF_EMBEDDINGS[name], *SHAPES[shape])

    assert np.isfinite(values).all() and (values >= 0).all()
    assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1e3


@pytest.mark.parametrize("name", [name for name in OF_EMBEDDINGS if name != "npairs"])
@each("shape", ["no positive", "batch of one"])
def test_anchors_without_a_positive_cost_nothing_and_pull_nothing(name, shape):
    values, gradient = value_and_gradient(OF_EMBEDDINGS[name], *SHAPES[shape])

    assert not values.any() and not gradient.any()


@pytest.mark.parametrize("name", [name for name in OF_EMBEDDINGS if name.startswith("triplet")])
def test_a_batch_of_one_class_has_no_triplets(name):
    values, gradient = value_and_gradient(OF_EMBEDDINGS[name], *SHAPES["single class"])

    assert not values.any() and not gradient.any()


@pytest.mark.parametrize("loss", ARCFACE)
@each("cosine", [1.0, -1.0, 1 - 6e-8, 1.0000002, 0.0])
def test_gradient_of_arcface_is_finite_at_both_ends(loss, cosine):
    # A rival so near that the softmax is not exactly 1: only then does the gradient of the sine count.
    values, gradient = value_and_gradient(loss, [0], np.float32([[cosine, 0.9]]))

    assert np.isfinite(values).all() and np.isfinite(gradient).all() and gradient.all()


def test_gradient_of_contrastive_is_finite_at_distance_zero():
    _, gradient = value_and_gradient(losses.contrastive, [1, 0], np.float32([0, 0]))

    np.testing.assert_allclose(gradient, [0, -2])


@pytest.mark.parametrize("name", OF_EMBEDDINGS)
def test_embeddings_that_are_no_numbers_give_a_loss_that_is_none(name):
    embeddings = unit(6, 4)
    embeddings[1, 2] = np.nan

    assert np.isnan(np.sum(OF_EMBEDDINGS[name](np.int32([0, 0, 1, 1]), embeddings)))
