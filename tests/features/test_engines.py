"""Engines agree with plain Keras, and a feature does not depend on what else is in its batch."""

import dataclasses

import keras
import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.features import engines, extraction
from steelbench.features.engines import ENGINES, choose_engine, open_engine
from steelbench.features.extraction import batches, checked_engine, compare
from steelbench.models import surgery
from steelbench.models.pretrained import encoder_with_weights
from steelbench.models.weight_files import Origin, resolve

needs_openvino = pytest.mark.skipif(not ENGINES["openvino"].installed, reason="openvino is not installed")
EACH = [pytest.param("keras"), pytest.param("openvino", marks=needs_openvino)]
RNG = np.random.default_rng(0)


def images(n, size=24):
    return RNG.uniform(0, 255, (n, size, size, 3)).astype(np.float32)


def build_small(size=24, dim=16):
    """Convolutions, a depthwise one, BatchNorm with statistics that are not 0 and 1, dropout, a residual.

    With 11 channels, which no backbone has, a feature's last bit depends on its place in TensorFlow's batch.
    """
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((None, None, 3), name="image")
    x = layers.Resizing(size, size, name="resizing")(image)
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    x = layers.Conv2D(dim, 3, strides=2, use_bias=False)(x)
    x = short = layers.BatchNormalization(name="first")(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Dropout(0.5)(layers.BatchNormalization(name="second")(x))
    x = layers.Activation("swish")(layers.Add()([x, short]))
    encoder = keras.Model(image, layers.GlobalAveragePooling2D(name="embedding")(x), name="small")
    for name in ("first", "second"):
        encoder.get_layer(name).set_weights(list(RNG.uniform(0.3, 2, (4, dim)).astype("f4")))
    return encoder


@pytest.fixture(scope="module")
def small():
    return build_small()


@pytest.fixture(scope="module")
def runs(small):
    return {name: open_engine(name, small, "float32") for name, row in ENGINES.items() if row.installed}


def through(run, pixels, size):
    """Features of all images, in padded batches."""
    counts = []

    def fixed():
        for batch, real in batches(pixels, size):
            counts.append(real)
            yield batch

    outputs = list(run(fixed()))
    return np.concatenate([output[:real] for output, real in zip(outputs, counts, strict=True)])


@pytest.mark.parametrize("name", EACH)
def test_engine_agrees_with_the_whole_model_in_inference(name, small, runs):
    pixels = images(21)
    expected = np.asarray(small(pixels, training=False))

    got = through(runs[name], pixels, ENGINES[name].batch)

    assert got.shape == (21, 16) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", EACH)
def test_feature_does_not_depend_on_neighbours_or_padding(name, runs):
    pixels, others, size = images(1), images(60), ENGINES[name].batch
    alone = through(runs[name], pixels, size)

    for before, after in ((0, 3), (1, 0), (2, 60), (size - 1, 5), (size + 3, 0)):
        crowd = np.concatenate([others[:before], pixels, others[:after]])
        assert np.array_equal(through(runs[name], crowd, size)[before], alone[0])


@pytest.mark.parametrize("name", EACH)
def test_order_is_kept_over_many_batches(name, runs):
    size = ENGINES[name].batch
    pixels = images(1) * np.linspace(0, 1, 7 * size, dtype=np.float32)[:, None, None, None]
    once = through(runs[name], pixels, size)
    steps = np.linalg.norm(np.diff(once, axis=0), axis=1)

    np.testing.assert_array_equal(through(runs[name], pixels[::-1], size)[::-1], once)
    assert steps.min() > 1e-4


@pytest.mark.parametrize("name", EACH)
def test_engine_can_be_run_again_and_on_nothing(name, runs):
    size = ENGINES[name].batch
    pixels = images(size)

    assert list(runs[name]([])) == []
    np.testing.assert_array_equal(next(iter(runs[name]([pixels]))), next(iter(runs[name]([pixels]))))


def test_only_the_resizing_is_left_to_the_caller(small):
    assert surgery.before_pooling(small).input.shape == (None, 24, 24, 3)


@needs_openvino
def test_sound_engine_is_used_and_its_difference_told(small):
    run, check = checked_engine("openvino", small, "float32", images(8))

    assert (check.engine, check.fell_back) == ("openvino", False)
    assert 0 <= check.difference < 1e-3
    assert check.cosine > 0.999
    assert next(iter(run([images(8)]))).shape == (8, 16)


def test_engine_that_cannot_be_opened_is_replaced_by_keras_and_told(small, monkeypatch):
    def open_broken(encoder, precision, batch):
        raise RuntimeError("no such operation")

    monkeypatch.setattr(engines, "open_broken", open_broken, raising=False)
    monkeypatch.setitem(
        ENGINES, "broken", dataclasses.replace(ENGINES["keras"], open="steelbench.features.engines:open_broken")
    )

    run, check = checked_engine("broken", small, "float32", images(8))

    assert (check.engine, check.fell_back) == ("keras", True)
    assert "no such operation" in check.problem
    assert next(iter(run([images(8)]))).shape == (8, 16)


@pytest.mark.parametrize("wrong", [lambda x: x * 1.01, lambda x: x[::-1], lambda x: x * np.nan, lambda x: 0 * x])
def test_engine_that_computes_something_else_is_replaced_by_keras(small, monkeypatch, wrong):
    true = open_engine("keras", small, "float32")

    def open_broken(encoder, precision, *_):
        return lambda rows: (wrong(batch) for batch in true(rows))

    monkeypatch.setattr(engines, "open_broken", open_broken, raising=False)
    monkeypatch.setitem(
        ENGINES, "broken", dataclasses.replace(ENGINES["keras"], open="steelbench.features.engines:open_broken")
    )
    pixels = images(8)

    run, check = checked_engine("broken", small, "float32", pixels)

    assert (check.engine, check.fell_back) == ("keras", True)
    assert not check.difference <= extraction.TOLERANCE
    assert all(value is None or np.isfinite(value) for value in check.record.values())
    np.testing.assert_allclose(next(iter(run([pixels]))), small(pixels, training=False), rtol=1e-4, atol=1e-5)


def test_difference_is_relative_and_that_of_the_worst_image():
    expected = np.float32([[3, 4], [0, 10]])
    got = np.float32([[3, 4.5], [0, 10.1]])

    difference, cosine = compare(got, expected)

    assert difference == pytest.approx(0.5 / 5)
    assert cosine == pytest.approx((9 + 18) / (5 * np.hypot(3, 4.5)))


@pytest.mark.parametrize(
    ("gpus", "precision", "installed", "chosen"),
    [
        (0, "float32", True, "openvino"),
        (0, "bfloat16", True, "openvino"),
        (0, "float16", True, "keras"),
        (1, "float32", True, "keras"),
        (0, "float32", False, "keras"),
    ],
)
def test_auto_is_openvino_where_it_can_be_used_and_no_gpu_is_seen(monkeypatch, gpus, precision, installed, chosen):
    row = dataclasses.replace(ENGINES["openvino"], package="keras" if installed else "no_such_package")
    monkeypatch.setitem(ENGINES, "openvino", row)

    assert choose_engine("auto", precision, gpus) == chosen


@pytest.mark.parametrize("name", EACH)
def test_named_engine_is_taken_whatever_else_there_is(name):
    assert choose_engine(name, "float32", gpus=2) == name


def test_engine_that_is_not_installed_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(ENGINES, "openvino", dataclasses.replace(ENGINES["openvino"], package="no_such_package"))

    with pytest.raises(SteelbenchError, match=r"openvino needs the package no_such_package.*pip install .*fast"):
        choose_engine("openvino", "float32", 0)


@needs_openvino
def test_precision_that_an_engine_lacks_is_told_with_those_it_has():
    with pytest.raises(SteelbenchError, match=r"openvino does not compute in float16; it knows float32, bfloat16"):
        choose_engine("openvino", "float16", 0)


def test_unknown_engine_is_told_with_the_closest():
    with pytest.raises(SteelbenchError, match="did you mean 'openvino'"):
        choose_engine("openvno", "float32", 0)


@pytest.fixture(scope="module")
def mobilenet():
    """MobileNetV2 0.35 at 96 pixels, with fresh weights made usable."""
    return encoder_with_weights("mobilenet_v2_035", Origin("random"), image_size=96, calibration=images(16, 96))


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_real_network_gives_the_same_on_every_engine(name, mobilenet):
    pixels = images(ENGINES[name].batch, 96)

    _, check = checked_engine(name, mobilenet, "float32", pixels)

    assert not check.fell_back
    assert check.difference < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "precision"),
    [("keras", "bfloat16"), ("keras", "float16"), pytest.param("openvino", "bfloat16", marks=needs_openvino)],
)
def test_low_precision_points_the_same_way(name, precision, weights_folder):
    encoder = encoder_with_weights(
        "mobilenet_v2_035", resolve("mobilenet_v2_035", "imagenet", weights_folder), image_size=96
    )

    run, check = checked_engine(name, encoder, precision, images(ENGINES[name].batch, 96))

    assert not check.fell_back
    assert 0.9 < check.cosine <= 1.0001
    assert next(iter(run([images(ENGINES[name].batch, 96)]))).dtype == np.float32
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_feature_of_a_real_network_does_not_depend_on_neighbours(name, mobilenet):
    run, size = open_engine(name, mobilenet, "float32"), ENGINES[name].batch
    pixels = images(size + 2, 96)
    found = through(run, pixels, size)

    for row in (0, 3, size - 1, size + 1):
        assert np.array_equal(found[row], through(run, pixels[row : row + 1], size)[0])
