"""OpenVINO's graph without TensorFlow and Keras: it answers as Keras does, or Keras builds the network."""

import base64
import csv
import io
import json
import os
import subprocess
import sys
from functools import cache

import cv2
import h5py
import keras
import numpy as np
import pytest
from each import each
from keras import layers

from steelbench.cli.exit import main
from steelbench.features.engines import run_openvino
from steelbench.inference import direct_graph, direct_layers
from steelbench.inference.kept_network import directly, networks_folder
from steelbench.inference.model import read_card
from steelbench.models import saved_model
from steelbench.models.layer_settings import ACTIVATIONS
from steelbench.models.model_card import read_card_file
from steelbench.models.network_outputs import joined_outputs
from steelbench.models.probe import Lengths, Probe, check_images
from steelbench.models.safe_load import checked_file

SIZE, CLASSES = 19, ["a", "b", "c"]
RNG = np.random.default_rng(0)


def begun(scale=1 / 127.5, offset=-1.0):
    images = keras.Input((None, None, 3), name="image")
    return images, layers.Rescaling(scale, offset=offset)(layers.Resizing(SIZE, SIZE, name="resizing")(images))


def ended(images, x, name="embedding"):
    x = layers.Dense(3, activation="softmax", name="probabilities")(layers.Activation("linear", name=name)(x))
    return keras.Model(images, x)


def convolutions():
    """Windows of every kind: even and odd, strided and dilated, both paddings, groups, multipliers, biases."""
    images, x = begun()
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.Conv2D(12, (2, 3), dilation_rate=(1, 2), padding="same", groups=4, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="swish")(x)
    x = layers.DepthwiseConv2D((3, 2), strides=2, padding="valid", use_bias=False)(
        layers.ZeroPadding2D(((0, 1), (2, 0)))(x)
    )
    x = layers.SeparableConv2D(10, 2, strides=2, depth_multiplier=2, padding="same", activation="tanh")(x)
    x = layers.SeparableConv2D(6, 3, dilation_rate=2, padding="same", use_bias=False)(layers.ZeroPadding2D(1)(x))
    return ended(images, layers.Flatten()(x))


def normalisations():
    """Those that are learned, with and without either half, those with given numbers, those of one vector."""
    images = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling([1.0, 0.5, 0.25], offset=[1.0, 2.0, 3.0])(layers.Resizing(SIZE, SIZE)(images))
    known = layers.Normalization()
    x = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 0.0])(known(x))
    known.set_weights([np.float32([20, 30, 40]), np.float32([900, 800, 0.1]), np.int32(1)])
    known.finalize_state()
    x = layers.Normalization(mean=0.5, variance=2.0)(layers.Rescaling(1e-7)(x))
    x = layers.BatchNormalization()(layers.Conv2D(5, 3)(x))
    x = layers.BatchNormalization(scale=False, epsilon=0.01)(layers.SpatialDropout2D(0.5)(x))
    x = layers.BatchNormalization(center=False)(layers.Dropout(0.5)(layers.GaussianNoise(1.0)(x)))
    x = layers.BatchNormalization(center=False, scale=False)(layers.GaussianDropout(0.1)(layers.RandomFlip()(x)))
    x = layers.BatchNormalization()(layers.GlobalAveragePooling2D()(layers.Identity()(x)))
    return ended(images, layers.UnitNormalization()(x))


def pooling():
    """Windows over borders, and global ones of either form, as `--homogenize image` has them."""
    images, x = begun(1.0, 0.0)
    rows = layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True)(x)
    x = layers.Subtract()([x, layers.GlobalAveragePooling2D(keepdims=True)(rows)])
    x = layers.ReLU(max_value=255.0)(layers.Rescaling(1.0, offset=90.0)(x))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Rescaling(1 / 99, offset=-1.5)(x))
    x = layers.AveragePooling2D(3, strides=1, padding="same")(layers.Conv2D(6, 2)(x))
    x = layers.AveragePooling2D((2, 3), padding="same")(layers.MaxPooling2D(2, strides=1)(x))
    gate = layers.Reshape((1, 1, 6))(layers.GlobalMaxPooling2D()(x))
    x = layers.Multiply()([x, gate])
    parts = [layers.GlobalMaxPooling2D(keepdims=True)(x), layers.GlobalAveragePooling2D(keepdims=True)(x)]
    return ended(images, layers.Reshape((-1,))(layers.Concatenate()(parts)))


def joins():
    images, x = begun()
    x, y = layers.Conv2D(4, 3, padding="same")(x), layers.Conv2D(4, 5, padding="same")(x)
    x = layers.Concatenate(axis=1)([layers.Add()([x, y, x]), layers.Average()([x, y])])
    x = layers.Concatenate(axis=2)([layers.Maximum()([x, x]), layers.Minimum()([x, layers.ReLU()(x)])])
    x = layers.Reshape((76, 38, 2))(x)
    x = layers.Concatenate(axis=-1)([layers.LeakyReLU()(x), layers.LeakyReLU(0.1)(x), layers.ELU(0.5)(x)])
    flat = layers.GlobalAveragePooling2D()(x)
    return ended(images, layers.Concatenate()([flat, layers.Softmax()(flat)]))


def activations():
    images, x = begun(1 / 30, -4.0)
    names = sorted(direct_layers.ACTIVATIONS.keys() - {"softmax"})
    each_of = [layers.Activation(name)(layers.Conv2D(2, 1, activation=name)(x)) for name in names]
    vectors = [layers.Dense(2, activation=name)(layers.GlobalMaxPooling2D()(x)) for name in direct_layers.ACTIVATIONS]
    return ended(
        images, layers.Concatenate()([layers.GlobalAveragePooling2D()(layers.Concatenate()(each_of)), *vectors])
    )


def voting():
    """Votes are a mixture of probabilities, behind the softmax; no layer is called `embedding`."""
    images, x = begun()
    x = layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling2D(name="embedding")(layers.Conv2D(4, 3)(x)))
    model = keras.Model(images, layers.Dense(3, use_bias=False, name="probabilities")(x))
    model.layers[-1].set_weights([np.float32([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.2, 0.3, 0.5]])])
    return model


NETWORKS = {own.__name__: own for own in (convolutions, normalisations, pooling, joins, activations, voting)}


@cache
def made(name):
    """A network whose every weight has a value that shows: fresh biases are 0, fresh statistics 0 and 1."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[name]()
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization | layers.Conv2D | layers.DepthwiseConv2D):
            layer.set_weights([RNG.uniform(0.2, 1.5, own.shape) * (own + 0.3) for own in layer.get_weights()])
    return model


def saved(path, model):
    """Write a model and its card; return the path, and what Keras answers to the images of the probe."""
    saved_model.save(model, path)
    joined, lengths = joined_outputs(model)
    answers = joined(check_images(SIZE), training=False).numpy()
    saved_model.write_card(path, {"name": "m", "classes": CLASSES}, Probe.of(lengths, answers))
    return path, answers


@each("name", NETWORKS)
def test_it_answers_as_keras_does(tmp_path, name):
    path, expected = saved(tmp_path / "m.h5", made(name))
    card, images = read_card(path), check_images(SIZE)

    with checked_file(path) as (graph, file):
        built, lengths = direct_graph.build_graph(graph, file)
    (found,) = run_openvino(built, "float32")([images])

    assert np.ptp(expected, axis=0).max() > 0.01, "the answers do not depend on the images"
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=2e-5)
    assert lengths == Lengths(3, card.probe.embedding, card.probe.logits, SIZE)
    assert directly(path, card, None, 3)[2].difference < 1e-5


def test_every_kind_of_layer_and_activation_is_compared():
    used = [layer for name in NETWORKS for layer in made(name).layers]
    kinds = {type(layer).__name__ for layer in used}
    noise = {"AlphaDropout", "ActivityRegularization"} | {kind for kind in direct_layers.KINDS if "Random" in kind}

    assert direct_layers.KINDS.keys() - kinds - noise == set()
    assert direct_layers.ACTIVATIONS.keys() <= ACTIVATIONS


def unknown_here():
    images, x = begun()
    x = layers.LayerNormalization()(layers.Conv2D(4, 3)(x))
    return ended(images, layers.GlobalAveragePooling2D()(x))


def one_inside_another():
    inner = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()])
    images, x = begun()
    return ended(images, inner(x))


def of_any_size():
    images = keras.Input((None, None, 3), name="image")
    return ended(images, layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(images))))


def by_nearest():
    images = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(4, 3)(layers.Resizing(SIZE, SIZE, interpolation="nearest")(images))
    return ended(images, layers.GlobalMaxPooling2D()(x))


def in_half_precision():
    images, x = begun()
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(x)
    return ended(images, layers.GlobalMaxPooling2D(dtype="float32")(x))


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "image.png"
    cv2.imwrite(str(path), RNG.integers(0, 256, (40, 30, 3), np.uint8))
    return path


@pytest.fixture
def answers(capsys, image, monkeypatch, tmp_path):
    """What `predict` says of an image with a new cache."""

    def run(model, *more):
        monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / f"cache{len(list(tmp_path.glob('cache*')))}"))
        capsys.readouterr()
        assert main(["predict", str(model), str(image), *more]) == 0
        printed = capsys.readouterr()
        assert not printed.err
        (line,) = csv.DictReader(io.StringIO(printed.out))
        return line["class"], float(line["probability"])

    return run


@each("make", [unknown_here, one_inside_another, of_any_size, by_nearest, in_half_precision])
def test_other_networks_are_not_built_here(tmp_path, make):
    path, _ = saved(tmp_path / "m.h5", make())

    assert directly(path, read_card(path), None, 1) is None


def test_what_is_not_built_here_keras_builds(tmp_path, answers):
    path, _ = saved(tmp_path / "m.h5", unknown_here())

    label, probability = answers(path)

    assert len([*networks_folder().glob("*.xml")]) == 1
    assert (label, pytest.approx(probability, abs=1e-4)) == answers(path, "--engine", "keras")


def without_probe(card):
    del card["probe"]


def of_other_images(card):
    card["probe"]["images"] = "of a later version"


def of_another_size(card):
    card["probe"]["size"] += 1


def other_numbers(place, factor=1.01):
    def change(card):
        numbers = np.frombuffer(base64.b64decode(card["probe"]["answers"]), "<f4").reshape(4, -1).copy()
        numbers[2, place] *= factor
        card["probe"]["answers"] = base64.b64encode(numbers.tobytes()).decode()

    return change


@each(
    "change",
    [without_probe, of_other_images, of_another_size, other_numbers(1, 0.99), other_numbers(5), other_numbers(15)],
    ids=["no probe", "other images", "another size", "a probability", "a sum of the embedding", "a sum of the logits"],
)
def test_without_keras_own_answers_on_the_card_keras_builds_the_graph(tmp_path, change):
    path, _ = saved(tmp_path / "m.h5", made("convolutions"))
    beside = path.with_suffix(".json")
    card = json.loads(beside.read_text())
    assert directly(path, read_card(path), None, 1) is not None

    change(card)
    beside.write_text(json.dumps(card))

    assert directly(path, read_card(path), None, 1) is None


def test_a_weight_in_another_place_shows_in_the_answers(tmp_path):
    path, _ = saved(tmp_path / "m.h5", made("convolutions"))
    with h5py.File(path, "r+") as file:
        kernels = [item for item in _datasets(file["model_weights"]) if item.shape == (3, 3, 3, 8)]
        kernels[0][...] = kernels[0][...][::-1]
    card = read_card_file(path.with_suffix(".json"))

    assert directly(path, card, None, 1) is None


def _datasets(group):
    found = []
    group.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
    return found


# Ends with the names of those packages that the command has imported.
COMMAND = """
import sys
from steelbench.cli.exit import main
assert main(sys.argv[1:]) == 0
print(*({"tensorflow", "keras", "openvino"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_first_start_needs_no_tensorflow(tmp_path, image):
    path, _ = saved(tmp_path / "m.h5", made("convolutions"))

    def lines(*more):
        environment = {**os.environ, "STEELBENCH_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-c", COMMAND, "predict", path, image, *more]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=120)
        *table, imported = done.stdout.splitlines()
        return list(csv.reader(table)), imported

    (first, imported), (again, _), (theirs, others) = lines(), lines(), lines("--engine", "keras")

    assert imported == "openvino" and "tensorflow" in others
    assert first == again and first[0] == theirs[0]
    for ours, other in zip(first[1], theirs[1], strict=True):
        assert ours == other or float(ours) == pytest.approx(float(other), abs=2e-5)
