"""Activation maps against grad-cam's answers, TensorFlow's derivatives, and the score that they must sum up to."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from each import each
from image_sets import SIZE, small_encoder
from keras import layers

from steelbench.models.activation_map import add_maps, class_maps, rectified, score_gradients
from steelbench.models.feature_maps import before_average
from steelbench.models.head import Dense, Head, Unit
from steelbench.models.saved_model import encoder_of, stitch
from steelbench.models.surgery import join

CAM = json.loads((Path(__file__).parents[1] / "parity" / "fixtures" / "cam.json").read_text(encoding="utf-8"))["cases"]


def head_of(case):
    """The head that `write_cam.py` made in torch."""
    dense = [[np.float32(weight).T, np.float32(bias)] for weight, bias in CAM[case]["layers"]]
    hidden = [layer for own in dense[:-1] for layer in (Dense(*own, "relu"), Unit())]
    return Head((*hidden, Dense(*dense[-1], "softmax")))


@pytest.fixture(scope="module")
def feature_maps():
    """Those of the network that `write_cam.py` made in torch, float32 [N, h, w, D]."""
    images = keras.Input((None, None, 3))
    x = images
    for kernel in CAM["network"]["kernels"]:
        weights = np.float32(kernel).transpose(2, 3, 1, 0)
        convolution = layers.Conv2D(weights.shape[-1], 3, strides=2, use_bias=False, activation="relu")
        x = convolution(x)
        convolution.set_weights([weights])
    encoder = keras.Model(images, layers.GlobalAveragePooling2D(name="embedding")(x))
    return before_average(encoder)(np.float32(CAM["network"]["pixels"]).transpose(0, 2, 3, 1))[0]


def maps_of(head, feature_maps):
    """The maps of all classes, [C, N, h, w]."""
    features = feature_maps.mean(axis=(1, 2))
    classes = np.tile(np.arange(head.layers[-1].kernel.shape[1]), (len(features), 1))
    return class_maps(feature_maps, score_gradients(head, features, classes)).transpose(1, 0, 2, 3)


def scaled(maps):
    """As grad-cam scales them."""
    maps = maps - maps.min(axis=(2, 3), keepdims=True)
    return maps / (1e-7 + maps.max(axis=(2, 3), keepdims=True))


@each("case", ["linear", "deep"])
def test_maps_are_those_of_grad_cam(case, feature_maps):
    head = head_of(case)
    np.testing.assert_allclose(head.logits(feature_maps.mean(axis=(1, 2))), CAM[case]["scores"], atol=1e-5)

    maps = maps_of(head, feature_maps)

    np.testing.assert_allclose(maps, CAM[case]["raw"], rtol=1e-5, atol=1e-6)
    # It scales the maps of each layer, and again when it has put those of all layers together.
    np.testing.assert_allclose(scaled(scaled(np.maximum(maps, 0))), CAM[case]["scaled"], atol=1e-5)
    assert np.ptp(maps, axis=(2, 3)).min() > 1e-3, "the comparison is of something"


def test_of_a_linear_head_the_places_sum_up_to_the_score_without_its_bias(feature_maps):
    head = head_of("linear")
    features = feature_maps.mean(axis=(1, 2))

    sums = maps_of(head, feature_maps).sum(axis=(2, 3)).T

    np.testing.assert_allclose(sums, head.logits(features) - head.layers[-1].bias, atol=1e-5)


def deep_head(size, rng):
    """A head of every kind of layer."""
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    first, last = Dense(draw(size, 6), draw(6), "relu"), Dense(draw(6, 3), draw(3), "softmax")
    return Head((Unit(), first, Unit(), last), embedding=2)


def test_maps_are_those_of_tensorflows_derivatives_on_the_saved_model():
    """Grad-CAM by the book: derivatives of the score by each value of the feature map, averaged."""
    encoder, rng = small_encoder(), np.random.default_rng(0)
    head = deep_head(encoder.output_shape[-1], rng)
    images = rng.integers(0, 256, (4, SIZE, SIZE, 3)).astype(np.float32)
    model = stitch(encoder, head, "m")
    last = model.get_layer("probabilities")
    pooling = model.get_layer("features")
    both = keras.Model(model.input, [pooling.input, last.input])
    with tf.GradientTape(persistent=True) as tape:
        maps, before = both(images)
        # The scores depend on the maps anew, so that the tape can tell by how much.
        tape.watch(maps)
        x = tf.reduce_mean(maps, axis=(1, 2))
        for layer in model.layers[model.layers.index(pooling) + 1 : -1]:
            x = layer(x)
        scores = x @ last.kernel + last.bias
        each_class = [scores[:, number] for number in range(3)]
    np.testing.assert_allclose(x, before, atol=1e-5)
    slopes = [tape.gradient(own, maps).numpy() for own in each_class]
    expected = [(own.mean(axis=(1, 2), keepdims=True) * maps.numpy()).sum(axis=-1) for own in slopes]

    found = maps_of(head, before_average(encoder_of(model))(images)[0])

    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_ensemble_of_two_grids_sums_up_to_its_score():
    wider = keras.Input((None, None, 3))
    x = layers.Resizing(2 * SIZE, 2 * SIZE, name="resizing")(wider)
    x = layers.Conv2D(5, 3, strides=4, padding="same", activation="relu")(x)
    other = keras.Model(wider, layers.GlobalAveragePooling2D(name="embedding")(x))
    encoder, rng = join({"a": small_encoder(), "b": other}), np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 20, 30, 3)).astype(np.float32)
    maps = before_average(encoder)(images)
    features = np.asarray(encoder(images))
    dense = Dense(rng.standard_normal((features.shape[1], 3)).astype("f4"), np.ones(3, "f4"), "softmax")
    head = Head((dense,))
    gradients = score_gradients(head, features, np.tile(np.arange(3), (2, 1)))

    pieces = np.split(gradients, [maps[0].shape[-1]], axis=2)
    found = add_maps([class_maps(own, piece) for own, piece in zip(maps, pieces, strict=True)])

    assert found.shape[2:] == maps[1].shape[1:3] != maps[0].shape[1:3]
    np.testing.assert_allclose(found.sum(axis=(2, 3)), head.logits(features) - 1, rtol=1e-4, atol=1e-4)


def test_on_a_finer_grid_a_map_keeps_its_form_and_its_sum():
    even, corner = np.full((1, 1, 2, 2), 3.0), np.array([[[[8.0, 0.0], [0.0, 0.0]]]])
    nothing = np.zeros((1, 1, 4, 4))

    np.testing.assert_allclose(add_maps([even, nothing]), np.full((1, 1, 4, 4), 0.75))
    larger = add_maps([corner, nothing])[0, 0]
    assert larger.sum() == pytest.approx(8) and larger.argmax() == 0 and larger[3].max() < 0.1


def test_features_that_are_no_averages_have_no_map():
    images = keras.Input((4, 4, 3))
    with pytest.raises(ValueError, match="no averages"):
        before_average(keras.Model(images, layers.Flatten()(images)))


def test_bytes_share_one_scale_and_what_lowers_a_score_is_zero():
    heat, peak = rectified(np.array([[[-3.0, 1.0], [2.0, 0.0]], [[0.5, -1.0], [0.0, 0.0]]]))

    assert peak == 2.0 and heat.tolist() == [[[0, 128], [255, 0]], [[64, 0], [0, 0]]]


@each("value", [0.0, -1.0])
def test_maps_without_anything_above_zero_are_dark(value):
    heat, peak = rectified(np.full((2, 3, 3), value))

    assert peak == 0.0 and not heat.any()


@each("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="not finite"):
        rectified(np.array([[[value, 1.0]]]))


def test_a_vector_of_zeros_has_finite_derivatives():
    head = deep_head(4, np.random.default_rng(2))

    assert np.isfinite(score_gradients(head, np.zeros((1, 4), "f4"), np.array([[0, 1]]))).all()
