"""Homogenisation inside the model: numpy's numbers, built-in layers, any size, and never a class's mean."""

import sys
import warnings

import keras
import numpy as np
import pytest
from each import each

from steelbench.errors import SteelbenchError
from steelbench.models.homogenize import MODES, homogenize, mean_brightness

RNG = np.random.default_rng(0)


def model(mode, mean):
    images = keras.Input((None, None, 3), name="image")
    # A layer before and behind, as in an encoder; the output keeps the pixels.
    x = keras.layers.Rescaling(1.0, name="first")(images)
    return keras.Model(images, keras.layers.Rescaling(1.0, name="last")(homogenize(x, mode, mean)))


def pictures(n=4, height=20, width=30, low=0, high=256):
    return RNG.integers(low, high, (n, height, width, 3), dtype=np.uint8)


def done(mode, images, mean):
    return np.asarray(model(mode, mean)(images.astype(np.float32), training=False))


def by_hand(mode, images, mean):
    """The definition, image by image and in float64."""
    pixels = images.astype(np.float64)
    if mode == "global":
        return pixels - mean + 127.5
    if mode == "image":
        return np.stack([np.clip(image - image.sum() / image.size + mean, 0, 255) for image in pixels])
    return pixels


@pytest.mark.parametrize("mode", MODES)
@each("images", [pictures(), pictures(2, 7, 5, 0, 60), pictures(1, 64, 64, 200)])
@each("mean", [30.2, 93.4, 201.7])
def test_layers_give_what_numpy_gives(mode, images, mean):
    np.testing.assert_allclose(done(mode, images, mean), by_hand(mode, images, mean), atol=2e-3)


def test_none_adds_no_layer():
    images = keras.Input((None, None, 3))

    assert homogenize(images, "none", 100.0) is images


@pytest.mark.parametrize("mode", ["global", "image"])
def test_h5_has_keras_own_layers_and_gives_the_same(mode, tmp_path):
    network, images = model(mode, 111.25), pictures(3, 21, 34).astype(np.float32)
    network.save(tmp_path / "model.h5")

    loaded = keras.models.load_model(tmp_path / "model.h5", compile=False)

    assert np.array_equal(np.asarray(loaded(images)), np.asarray(network(images)))
    assert all(type(layer).__module__.startswith("keras.src.layers.") for layer in loaded.layers)
    assert not any(isinstance(layer, keras.layers.Lambda) for layer in loaded.layers)


def test_openvino_reads_the_layers():
    # Its conversion would report its use over the network.
    sys.modules.setdefault("openvino_telemetry", None)
    openvino = pytest.importorskip("openvino")
    network, images = model("image", 90.0), pictures(2, 16, 24).astype(np.float32)

    with warnings.catch_warnings():
        # Keras warns that OpenVINO hands it a tuple where it expects a tensor.
        warnings.simplefilter("ignore", UserWarning)
        graph = openvino.convert_model(network, input=images.shape)
    compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    np.testing.assert_allclose(compiled(images)[0], by_hand("image", images, 90.0), atol=1e-2)


def test_every_image_gets_the_mean_of_the_training_images():
    dark, light = pictures(3, low=60, high=110), pictures(3, low=150, high=200)

    for images in (dark, light):
        got = done("image", images, 127.0)
        np.testing.assert_allclose(got.mean(axis=(1, 2, 3)), 127, atol=1e-2)


def test_global_keeps_the_differences_between_images():
    dark, light = pictures(3, low=60, high=110), pictures(3, low=150, high=200)
    mean = mean_brightness([*dark, *light])

    got = done("global", np.concatenate([dark, light]), mean)

    assert got.mean() == pytest.approx(127.5, abs=1e-2)
    before = float(light.mean()) - float(dark.mean())
    assert got[3:].mean() - got[:3].mean() == pytest.approx(before, abs=1e-2)


@pytest.mark.parametrize("mode", ["global", "image"])
def test_an_image_is_treated_alike_whatever_the_class_of_its_neighbours(mode):
    """Subtracting class means needs the label at test time; here an image alone decides, and one number of training."""
    same = pictures(1, low=60, high=110)
    network = model(mode, 120.0)

    alone = np.asarray(network(same.astype(np.float32)))
    for others in (pictures(5, low=0, high=30), pictures(5, low=220, high=256)):
        among = np.asarray(network(np.concatenate([same, others]).astype(np.float32)))
        np.testing.assert_allclose(among[:1], alone, atol=1e-3)


def test_brightness_alone_does_not_tell_the_class_after_image():
    labels = np.arange(20) % 2
    images = np.stack([pictures(1, low=40 + 100 * label, high=90 + 100 * label)[0] for label in labels])

    after = done("image", images, mean_brightness(images)).mean(axis=(1, 2, 3))

    assert abs(after[labels == 0].mean() - after[labels == 1].mean()) < 0.01


def test_mean_brightness_counts_images_and_not_pixels():
    small, large = np.full((2, 2, 3), 10, np.uint8), np.full((100, 50, 3), 201, np.uint8)
    colour = np.tile(np.array([0, 90, 180], np.uint8), (4, 4, 1))

    assert mean_brightness([small, large]) == pytest.approx(105.5)
    assert mean_brightness(iter([colour])) == pytest.approx(90)


def test_mean_brightness_of_no_image_is_a_value_error():
    with pytest.raises(ValueError, match="no image"):
        mean_brightness([])


def test_unknown_mode_is_refused():
    with pytest.raises(SteelbenchError, match=r"unknown homogenisation 'class'; .*Choices: global, image, none"):
        homogenize(keras.Input((None, None, 3)), "class", 100.0)
