"""`hub:PRESET` through `steelbench run`, from a converted file in `--weights-dir` to the saved `.h5`; no KerasHub."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.models import keras_hub
from steelbench.models.keras_hub import Preset, save_network
from steelbench.records import RunRecord, Summary, read_record

SIZE, DIM = 40, 6


def converted_preset(path, seed=3):
    """A small network of built-in layers as KerasHub's presets are kept: takes any size, ends in a feature map."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(DIM, 3, strides=2, use_bias=False, name="stem")(images)
    x = layers.ReLU()(layers.BatchNormalization(name="stem_bn")(x))
    y = layers.Conv2D(DIM, 3, padding="same", name="block")(x)
    network = keras.Model(images, layers.Add()([x, layers.ReLU()(y)]))
    norm = network.get_layer("stem_bn")
    norm.set_weights([np.full(DIM, value, "f4") for value in (1.5, 0.25, 0.125, 2.0)])
    found = Preset(image_size=SIZE, feature_dim=DIM, params=network.count_params(), scale=[0.02] * 3, offset=[-2.0] * 3)
    save_network(network, path, found)
    return network


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of weights as it comes on a stick: the converted presets and nothing else."""
    folder = tmp_path_factory.mktemp("stick")
    for name, seed in (("tiny", 3), ("other", 4)):
        converted_preset(folder / f"hub_{name}.h5", seed)
    return folder


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=12, classes=3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))


def run(data, results, folder, *more, backbones="hub:tiny", methods="linear"):
    options = ["--backbones", backbones, "--methods", methods, "--weights-dir", str(folder), "--engine", "keras"]
    return main(["run", "--data", str(data), "--results", str(results), *options, *more])


def records(results):
    return {path.parent.name: read_record(path, RunRecord) for path in results.glob("runs/*/result.json")}


# Neither steelbench nor KerasHub can be imported in this process.
ALONE = """
import sys
sys.modules["steelbench"] = sys.modules["keras_hub"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1], compile=False)
features = keras.Model(model.input, model.get_layer("embedding").output)
pixels = np.load(sys.argv[2])
np.savez(sys.argv[3], probabilities=model(pixels, training=False), features=features(pixels, training=False))
"""


def loaded_alone(model, pixels, folder):
    np.save(folder / "pixels.npy", pixels)
    command = [sys.executable, "-c", ALONE, model, folder / "pixels.npy", folder / "out.npz"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return np.load(folder / "out.npz")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "keras"])
def test_a_preset_from_a_folder_runs_to_a_model_that_plain_keras_loads(engine, steel, folder, tmp_path):
    pytest.importorskip(engine)
    results = tmp_path / "results"

    assert run(steel, results, folder, "--engine", engine) == 0

    record = records(results)["hub_tiny-linear-s0-f0"]
    assert (record.backbone, record.engine, record.image_size) == ("hub:tiny", engine, SIZE)
    assert record.weights.kind == "preset" and record.verification.classes_changed == 0
    assert record.verification.max_difference < 1e-4
    pixels = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    got = loaded_alone(results / "models" / "hub_tiny-linear.h5", pixels, tmp_path)
    network = keras.models.load_model(folder / "hub_tiny.h5", compile=False)
    expected = np.asarray(network(pixels * np.float32(0.02) - 2)).mean(axis=(1, 2))
    np.testing.assert_allclose(got["features"], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got["probabilities"].sum(axis=1), 1, rtol=1e-5)


@pytest.mark.slow
def test_every_kind_of_training_works_on_a_preset(steel, folder, tmp_path):
    """Frozen, by the network's last layer, and the whole network by a contrastive loss."""
    results = tmp_path / "results"
    trained = ["--epochs", "1", "--set", "finetune.trainable=last:1", "--set", "supcon.trainable=all"]

    assert run(steel, results, folder, *trained, methods="softmax,supcon,finetune") == 0

    of_preset = [record for record in records(results).values() if record.backbone == "hub:tiny"]
    assert sorted(record.method for record in of_preset) == ["finetune", "softmax", "supcon"]
    assert all(record.verification.classes_changed == 0 for record in of_preset)


@pytest.mark.slow
def test_an_ensemble_of_presets_is_one_model(steel, folder, tmp_path):
    results = tmp_path / "results"

    assert run(steel, results, folder, backbones="hub:tiny+hub:other") == 0

    [row] = [row for row in read_record(results / "results.json", Summary).rows if row.method == "linear"]
    assert (row.backbone, row.status, row.weights) == ("hub:tiny+hub:other", "done", "preset")
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 50, 60, 3)).astype(np.float32)
    assert loaded_alone(results / row.model, pixels, tmp_path)["features"].shape == (2, 2 * DIM)


@pytest.mark.slow
def test_a_preset_with_random_weights_is_untrained_and_says_so(steel, folder, tmp_path):
    results = tmp_path / "results"

    assert run(steel, results, folder, "--weights", "random") == 0

    [record] = [record for record in records(results).values() if record.backbone == "hub:tiny"]
    assert record.weights.kind == "random"


@pytest.mark.slow
def test_the_file_in_the_folder_comes_before_what_the_cache_holds(steel, folder, tmp_path):
    converted_preset(keras_hub.network_file("hub:tiny"), seed=9)

    assert run(steel, tmp_path / "results", folder) == 0

    [record] = [record for record in records(tmp_path / "results").values() if record.backbone == "hub:tiny"]
    assert keras_hub.network_file("hub:tiny").read_bytes() == (folder / "hub_tiny.h5").read_bytes()
    assert record.weights.file == "tiny.h5"


def test_a_file_that_is_no_converted_preset_is_refused(steel, tmp_path, capsys):
    (tmp_path / "hub_tiny.h5").write_bytes(b"no network")

    assert run(steel, tmp_path / "results", tmp_path) == 2

    assert "hub_tiny.h5 is damaged or no preset" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_weights_commands_know_presets(folder, tmp_path, capsys, monkeypatch):
    named = ["--backbones", "hub:tiny", "--weights-dir"]

    assert main(["weights", "list", *named, str(folder)]) == 0
    assert "hub_tiny.h5" in capsys.readouterr().out
    assert main(["weights", "verify", *named, str(folder)]) == 0
    assert "hub_tiny.h5: good" in capsys.readouterr().out
    # What the cache holds is written for another machine; without KerasHub nothing else can be.
    converted_preset(keras_hub.network_file("hub:tiny"))
    assert main(["weights", "download", *named, str(tmp_path / "other")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "other" / "hub_tiny.h5")
    keras_hub.network_file("hub:tiny").unlink()
    monkeypatch.setattr("steelbench.models.keras_hub.find_spec", lambda name: None)
    assert main(["weights", "download", *named, str(tmp_path / "third")]) == 2
    assert "pip install 'steelbench[hub]'" in capsys.readouterr().err


def test_the_description_stands_in_the_file(folder):
    import h5py

    with h5py.File(folder / "hub_tiny.h5", "r") as file:
        assert json.loads(file.attrs[keras_hub.ATTRIBUTE])["image_size"] == SIZE
