"""ArcFace against loops written from the paper, closed forms, and angles beyond pi - margin."""

import keras
import numpy as np
import pytest

from steelbench.models import losses

RNG = np.random.default_rng(0)


def naive_arcface(labels, cosines, scale, margin):
    """Equation 3 of Deng et al.; beyond pi - margin the authors' code goes on with cos - margin * sin(margin)."""
    out = []
    for label, row in zip(labels, np.clip(cosines.astype(np.float64), -1, 1), strict=True):
        angle = np.arccos(row[label])
        own = np.cos(angle + margin) if angle <= np.pi - margin else row[label] - margin * np.sin(margin)
        others = sum(np.exp(scale * c) for j, c in enumerate(row) if j != label)
        out.append(-np.log(np.exp(scale * own) / (np.exp(scale * own) + others)))
    return out


def some_cosines(count=30, classes=4):
    return RNG.uniform(-1, 1, (count, classes)).astype(np.float32), RNG.integers(0, classes, count)


@pytest.mark.parametrize(("scale", "margin"), [(30.0, 0.5), (10.0, 0.2), (30.0, 1.5), (1.0, 0.0)])
def test_arcface_equals_the_paper_written_as_loops(scale, margin):
    cosines, labels = some_cosines()
    # Angles beyond pi - margin.
    cosines[:5, :] = np.where(np.arange(4) == labels[:5, None], np.float32(-0.95), cosines[:5])

    values = np.asarray(losses.arcface(labels, cosines, scale=scale, margin=margin))

    assert values.shape == (30,) and values.dtype == np.float32
    np.testing.assert_allclose(values, naive_arcface(labels, cosines, scale, margin), rtol=1e-5, atol=1e-6)


def test_arcface_defaults_are_the_usual_ones():
    cosines, labels = some_cosines()

    np.testing.assert_array_equal(losses.arcface(labels, cosines), losses.arcface(labels, cosines, 30.0, 0.5))


def test_arcface_without_a_margin_is_the_cross_entropy():
    cosines, labels = some_cosines()

    expected = keras.losses.sparse_categorical_crossentropy(labels, 30 * cosines, from_logits=True)
    np.testing.assert_allclose(losses.arcface(labels, cosines, margin=0.0), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("margin", [0.2, 0.5, 1.0, 2.5])
def test_arcface_rises_with_the_angle_up_to_pi(margin):
    angles = np.linspace(0, np.pi, 400)
    cosines = np.stack([np.cos(angles), np.full(400, 0.1)], axis=1).astype(np.float32)

    values = np.asarray(losses.arcface(np.zeros(400), cosines, scale=10.0, margin=margin), np.float64)

    # cos(angle + margin) alone falls again beyond pi - margin.
    assert np.all(np.diff(values) >= -1e-6) and values[-1] > values[0] + 10


def test_arcface_with_crossentropy_is_the_sum_of_both():
    cosines, labels = some_cosines()

    values = losses.arcface_crossentropy(labels, cosines, scale=20.0, margin=0.3)

    plain = keras.losses.sparse_categorical_crossentropy(labels, 20 * cosines, from_logits=True)
    np.testing.assert_allclose(values, naive_arcface(labels, cosines, 20.0, 0.3) + plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_arcface_of_half_precision_cosines_and_a_column_of_float_labels(dtype):
    cosines, labels = some_cosines()
    half = keras.ops.cast(cosines, dtype)

    values = np.asarray(losses.arcface(np.float32(labels)[:, None], half))

    assert values.dtype == np.float32
    rounded = np.asarray(keras.ops.cast(half, "float32"))
    np.testing.assert_allclose(values, naive_arcface(labels, rounded, 30.0, 0.5), rtol=1e-5, atol=1e-6)


def test_arcface_of_cosines_that_rounding_pushed_out_of_range():
    cosines = np.float32([[1.0000002, 0.1], [-1.0000002, 0.1]])

    values = losses.arcface(np.int32([0, 0]), cosines)

    inside = losses.arcface(np.int32([0, 0]), np.clip(cosines, -1, 1))
    np.testing.assert_allclose(values, inside, rtol=1e-5, atol=1e-7)
