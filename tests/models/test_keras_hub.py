"""KerasHub presets: played by a package of that name, and the real one where it is installed."""

import contextlib
import io
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from each import each

from steelbench.cli.networks import FALLBACK, replace_missing
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, Knn, RunOptions, Softmax
from steelbench.models import keras_hub
from steelbench.models.backbones import check_networks, find_backbone
from steelbench.models.encoder import build_encoder
from steelbench.models.pretrained import encoder_with_weights
from steelbench.models.weight_files import Origin, resolve

PLAYED = """
import keras

@keras.saving.register_keras_serializable("own")
class Own(keras.layers.Layer):
    def call(self, x):
        return x * 2

class models:
    class Backbone:
        @staticmethod
        def from_preset(name):
            if name == "nowhere":
                raise ValueError("Unknown preset identifier. A preset must be one of ...")
            if name == "offline":
                raise ConnectionError("the line is dead")
            keras.utils.set_random_seed(3)
            x = keras.Input((None, None, 3))
            y = keras.layers.Conv2D(5, 3, strides=2, activation="relu")(x)
            y = keras.layers.Add()([keras.layers.BatchNormalization()(y), y])
            if name == "own_layer":
                y = Own()(y)
            if name == "flat":
                y = keras.layers.GlobalAveragePooling2D()(y)
            return keras.Model(x, y)

class layers:
    class ImageConverter:
        image_size, scale, offset = (40, 40), [0.1, 0.2, 0.3], -1.0

        @classmethod
        def from_preset(cls, name):
            return cls()
"""


@pytest.fixture
def played(tmp_path, monkeypatch):
    (tmp_path / "played").mkdir()
    (tmp_path / "played" / "keras_hub.py").write_text(PLAYED)
    monkeypatch.syspath_prepend(tmp_path / "played")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "played"), prepend=os.pathsep)
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def here(played, monkeypatch):
    """The converting process as a function of this one, which has loaded TensorFlow already."""

    def run(command, **_):
        told, reason = io.StringIO(), ""
        try:
            with contextlib.redirect_stdout(told):
                code = keras_hub._main(command[-1])
        except Exception as error:
            code, reason = 1, f"{type(error).__name__}: {error}"
        return subprocess.CompletedProcess(command, code, told.getvalue(), reason)

    monkeypatch.setattr("steelbench.models.keras_hub.subprocess.run", run)
    monkeypatch.delitem(sys.modules, "keras_hub", raising=False)
    yield
    sys.modules.pop("keras_hub", None)


@pytest.fixture
def missing(tmp_path, monkeypatch):
    monkeypatch.setattr("steelbench.models.keras_hub.find_spec", lambda name: None)
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))


@each("name", ["hub:", "hub:../x", "hub:A", "hub:a/b", "hub:" + "a" * 101, "hub:.a"])
def test_a_name_that_could_be_a_path_is_refused(name):
    with pytest.raises(SteelbenchError, match="names no preset"):
        check_networks([name])


def test_a_preset_becomes_an_encoder_of_plain_keras_layers(played, tmp_path):
    assert keras_hub.fetch("hub:tiny") == ""

    origin = resolve("hub:tiny", "imagenet")
    encoder = encoder_with_weights("hub:tiny", origin)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 40, 40, 3)).astype(np.float32)
    network = keras.models.load_model(keras_hub.network_file("hub:tiny"), compile=False)
    expected = np.asarray(network(pixels * np.float32([0.1, 0.2, 0.3]) - 1)).mean(axis=(1, 2))
    np.testing.assert_allclose(np.asarray(encoder(pixels)), expected, rtol=1e-5, atol=1e-5)
    assert (origin.kind, origin.file) == ("preset", "tiny.h5")
    row = find_backbone("hub:tiny")
    assert (row.image_size, row.feature_dim, row.params) == (40, 5, network.count_params())
    assert not any(isinstance(layer, keras.Model) for layer in encoder.layers)
    encoder.save(tmp_path / "encoder.h5")
    again = keras.models.load_model(tmp_path / "encoder.h5", compile=False)
    np.testing.assert_array_equal(np.asarray(again(pixels)), np.asarray(encoder(pixels)))


def test_a_preset_that_was_fetched_is_not_fetched_again(here, monkeypatch):
    keras_hub.fetch("hub:tiny")

    def refuse(*_, **__):
        raise AssertionError("fetched again")

    monkeypatch.setattr("subprocess.run", refuse)
    assert keras_hub.fetch("hub:tiny") == ""


def test_random_weights_of_a_preset_are_fresh(here):
    keras_hub.fetch("hub:tiny")

    def kernel(seed):
        return encoder_with_weights("hub:tiny", Origin("random"), seed=seed).get_weights()[0]

    stored = keras.models.load_model(keras_hub.network_file("hub:tiny"), compile=False).get_weights()[0]
    assert np.abs(kernel(0) - stored).max() > 0 and np.abs(kernel(0) - kernel(1)).max() > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hub:own_layer", "layers of its own"),
        ("hub:flat", "no image backbone"),
        ("hub:nowhere", "knows no preset 'nowhere'"),
    ],
)
def test_what_is_no_usable_preset_is_the_users_mistake(here, name, words):
    with pytest.raises(SteelbenchError, match=words):
        keras_hub.fetch(name)
    assert not keras_hub.network_file(name).exists()


def test_without_a_network_the_reason_is_told(here):
    assert "the line is dead" in keras_hub.fetch("hub:offline")


def test_a_preset_that_was_never_fetched_cannot_be_built(missing):
    with pytest.raises(SteelbenchError, match="does not exist"):
        build_encoder("hub:tiny")


def test_what_is_missing_is_replaced_and_told(missing, capsys):
    wanted = [Experiment(backbone=name, method=Knn()) for name in ("hub:tiny", "vgg19", "hub:tiny+vgg19")]

    chosen, notices = replace_missing(wanted, RunOptions(data="demo"), lambda *_: None)

    assert [item.backbone for item in chosen] == [FALLBACK, "vgg19", f"{FALLBACK}+vgg19"]
    [notice] = notices
    assert notice.level == "serious" and "hub:tiny is not here, resnet50 ran in its place" in notice.text
    assert "pip install 'steelbench[hub]'" in capsys.readouterr().err


def test_a_stand_in_that_is_asked_for_anyway_runs_once(missing):
    wanted = [Experiment(backbone=name, method=Softmax()) for name in ("hub:tiny", FALLBACK, "hub:other")]

    chosen, notices = replace_missing(wanted, RunOptions(data="demo"), lambda *_: None)

    assert [item.backbone for item in chosen] == [FALLBACK] and len(notices) == 2


@pytest.mark.slow
def test_a_backbone_of_the_real_package_is_converted(tmp_path, monkeypatch):
    package = pytest.importorskip("keras_hub", reason="the extra [hub] is not installed")
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path))
    backbone = package.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], stackwise_num_filters=[64, 16],
        stackwise_num_blocks=[2, 2], stackwise_num_strides=[1, 2], block_type="basic_block",
    )  # fmt: skip
    backbone.save_to_preset(tmp_path / "preset")
    converter = package.layers.ResNetImageConverter(image_size=(64, 64), scale=1 / 127.5, offset=-1.0)
    converter.save_to_preset(tmp_path / "preset")

    found = keras_hub.convert(str(tmp_path / "preset"), keras_hub.network_file("hub:small"))

    encoder = encoder_with_weights("hub:small", resolve("hub:small", "imagenet"))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = np.asarray(backbone(pixels / 127.5 - 1)).mean(axis=(1, 2))
    np.testing.assert_allclose(np.asarray(encoder(pixels)), expected, rtol=1e-4, atol=1e-5)
    assert (found.image_size, found.feature_dim) == (64, 16)
