"""Whole models that TensorFlow 2.15 saved: the same answers through steelbench, with a card or with what the user says.

`tests/parity/write_keras2.py` wrote them and the answers, in an environment of its own (`make parity`).
"""

import json
import shutil
from pathlib import Path

import cv2
import h5py
import keras
import numpy as np
import pytest
from each import each
from keras import layers

import steelbench
from steelbench.cli.exit import main
from steelbench.inference.model import Opening
from steelbench.models.network_builder import Pixels
from steelbench.models.safe_load import load

FIXTURES = Path(__file__).parents[1] / "parity" / "fixtures"
PIXELS = {"keras2_flat": "0..1", "keras2_nested": "0..255"}


def oracle(name):
    found = np.load(FIXTURES / f"{name}.npz")
    return found["images"], found["probabilities"]


@each("name", PIXELS)
def test_answers_are_those_of_tensorflow_2(tmp_path, capsys, name):
    path = Path(shutil.copy(FIXTURES / f"{name}.h5", tmp_path))
    images, expected = oracle(name)
    path.with_suffix(".json").unlink(missing_ok=True)

    assert main(["card", str(path), "--classes", "a,b,c", "--pixels", PIXELS[name]]) == 0
    model = steelbench.load_model(path)

    assert np.abs(model.predict(images) - expected).max() <= 1e-5
    assert len(set(expected.argmax(axis=1))) == 3 and model.classes == ["a", "b", "c"]
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["image_size"] == images.shape[1] and card["pixels"] == PIXELS[name]
    assert card["input"]["shape"] == [None, None, 3]
    path.with_suffix(".json").unlink()
    told = Opening(("a", "b", "c"), PIXELS[name])
    assert np.array_equal(steelbench.load_model(path, told).predict(images), model.predict(images))


def test_images_of_other_sizes_are_resized(tmp_path):
    images, _ = oracle("keras2_flat")
    network = load(FIXTURES / "keras2_flat.h5", pixels="0..1")
    large = images.repeat(3, axis=1).repeat(2, axis=2)

    assert network.input_shape == (None, None, None, 3)
    assert all(type(layer).__module__.startswith("keras.") for layer in network.layers)
    by_hand = keras.ops.image.resize(large.astype(np.float32), (32, 32))
    np.testing.assert_allclose(network(large.astype(np.float32)), network(by_hand), atol=1e-6)
    network.save(tmp_path / "again.h5")
    again = keras.models.load_model(tmp_path / "again.h5", compile=False)
    assert np.array_equal(again(large.astype(np.float32)), network(large.astype(np.float32)))


@each("contract", ["0..255", "0..1", "-1..1", "caffe"])
def test_pixels_are_those_of_keras_own_functions(contract):
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).astype(np.float32)
    by_keras = {
        "0..255": lambda x: x,
        "0..1": lambda x: x / 255,
        "-1..1": lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode="tf"),
        "caffe": lambda x: keras.applications.imagenet_utils.preprocess_input(x, mode="caffe"),
    }
    given = keras.Input((None, None, 3))
    prepared = keras.Model(given, Pixels(contract).prepare(given))

    np.testing.assert_allclose(prepared(images), by_keras[contract](images.copy()), rtol=1e-6, atol=2e-5)


def test_a_file_without_a_card_says_what_it_needs(tmp_path, capsys):
    path = Path(shutil.copy(FIXTURES / "keras2_flat.h5", tmp_path))
    images, expected = oracle("keras2_flat")
    cv2.imwrite(str(tmp_path / "0.png"), images[0][..., ::-1])
    (tmp_path / "names.txt").write_text("one\ntwo\n\nthree\n", encoding="utf-8")
    command = ["predict", str(path), str(tmp_path / "0.png")]

    assert main(command) == 2
    told = capsys.readouterr().err
    assert "--classes A,B,C" in told and "--pixels 0..255|0..1|-1..1|caffe" in told and "steelbench card" in told
    assert main([*command, "--classes", "a,b,c"]) == 2
    assert "needs --pixels 0..255|0..1|-1..1|caffe as well" in capsys.readouterr().err
    assert main([*command, "--classes", "a,b", "--pixels", "0..1"]) == 2
    assert "gives 3 probabilities, its card names 2 classes" in capsys.readouterr().err
    assert main([*command, "--classes", "a,b,c", "--pixels", "0..2"]) == 2
    assert "unknown pixels '0..2'" in capsys.readouterr().err
    assert main([*command, "--classes", str(tmp_path / "names.txt"), "--pixels", "0..1"]) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.split(",")[1] == ["one", "two", "three"][expected[0].argmax()]
    assert not path.with_suffix(".json").exists()


def test_the_card_is_shown_and_never_replaced(tmp_path, capsys):
    path = Path(shutil.copy(FIXTURES / "keras2_flat.h5", tmp_path))
    assert main(["card", str(path), "--classes", "a,b", "--pixels", "0..1"]) == 2
    assert "2 classes are named" in capsys.readouterr().err
    assert main(["card", str(path), "--classes", "a,b,c", "--pixels", "0..1"]) == 0
    capsys.readouterr()

    assert main(["card", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["a", "b", "c"]
    assert main(["card", str(path), "--classes", "x,y,z", "--pixels", "0..1"]) == 2
    assert "leave out --classes and --pixels" in capsys.readouterr().err


@pytest.mark.parametrize("nested", [False, True])
def test_models_of_keras_3_of_other_people_too(tmp_path, nested):
    base = keras.Sequential(
        [keras.Input((20, 20, 3)), layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization()], name="base"
    )
    images = keras.Input((20, 20, 3))
    x = base(images, training=False) if nested else base.layers[0](images)
    x = layers.Dropout(0.5)(layers.Flatten()(layers.MaxPooling2D()(x)))
    model = keras.Model(images, layers.Dense(3, activation="softmax")(x))
    model.save(tmp_path / "m.h5")
    pixels = np.random.default_rng(0).random((3, 20, 20, 3)).astype(np.float32)

    ours = load(tmp_path / "m.h5", classes=3, pixels="0..255")

    np.testing.assert_allclose(ours(pixels, training=False), model(pixels, training=False), atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("version", ["2.15.0", None, keras.__version__])
def test_an_activation_that_changed_its_meaning_is_refused_in_old_files(tmp_path, capsys, nested, version):
    part = keras.Sequential([keras.Input((20, 20, 3)), layers.Conv2D(2, 3, activation="hard_sigmoid")], name="part")
    images = keras.Input((20, 20, 3))
    x = layers.Flatten()(part(images) if nested else part.layers[0](images))
    path = tmp_path / "m.h5"
    keras.Model(images, layers.Dense(3, activation="softmax")(x)).save(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["keras_version"]
        if version:
            file.attrs["keras_version"] = version
    command = ["card", str(path), "--classes", "a,b,c", "--pixels", "0..1"]

    if version == keras.__version__:
        assert main(command) == 0
        return
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "hard_sigmoid" in told and "its answers would be others" in told and "Traceback" not in told
