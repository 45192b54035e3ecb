"""Every method through `steelbench run`: its record, its curves, and a model that plain Keras opens."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.evaluation.embeddings.embedding_file import read_embeddings
from steelbench.evaluation.embeddings.projection import project
from steelbench.experiment import METHODS
from steelbench.models.backbones import BACKBONES
from steelbench.records import RunRecord, Summary, read_record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_networks")]

NAME = "mobilenet_v2_035"
SMALL = [
    "--set", "supcon.adapter=16", "--set", "supcon.hidden=16", "--set", "supcon.classifier_epochs=2",
    "--set", "triplet.embedding=8", "--set", "arcface.embedding=8", "--set", "finetune.trainable=last:3",
    "--set", "softmax.hidden=16",
]  # fmt: skip
STAGES = {
    "softmax": ["classifier"], "linear": [], "knn": [], "triplet": ["embedding"], "arcface": ["classifier"],
    "supcon": ["contrastive", "classifier"], "finetune": ["classifier"],
}  # fmt: skip
# Methods that learn an embedding of their own, and its length.
EMBEDDINGS = {"triplet": 8, "arcface": 8, "supcon": 16}


def run(data, results, methods, *more):
    options = ["--backbones", NAME, "--weights", "random", "--image-size", "32", "--epochs", "2", "--engine", "keras"]
    return main(["run", "--data", str(data), "--results", str(results), "--methods", methods, *options, *more])


@pytest.fixture(scope="module")
def results(tiny_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods") / "results"
    assert run(tiny_images(images=15, classes=3), folder, ",".join(METHODS), "--augment", "light", *SMALL) == 0
    return folder


def test_every_method_stands_in_the_leaderboard(results):
    rows = {row.method: row for row in read_record(results / "results.json", Summary).rows}

    assert set(METHODS) <= set(rows)
    assert all(rows[method].status == "done" for method in METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_every_stage_leaves_its_curves(results, method):
    folder = results / "runs" / f"{NAME}-{method}-s0-f0"
    record = read_record(folder / "result.json", RunRecord)

    assert [stage.name for stage in record.stages] == STAGES[method]
    for stage in record.stages:
        with (folder / stage.history).open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) == stage.epochs == 2
        assert all(0 <= float(line["val_accuracy"]) <= 1 for line in lines)


@pytest.mark.parametrize("method", METHODS)
def test_the_map_that_the_report_draws_is_computed_in_the_run(results, method):
    images, stored = read_embeddings(results / "runs" / f"{NAME}-{method}-s0-f0")

    np.testing.assert_array_equal(stored.points, project(images).points)


@pytest.mark.parametrize("method", METHODS)
def test_saved_model_says_on_raw_images_what_was_scored(results, method):
    record = read_record(results / "runs" / f"{NAME}-{method}-s0-f0" / "result.json", RunRecord)

    assert record.verification.images > 0
    assert record.verification.max_difference <= 1e-4
    assert record.verification.classes_changed == 0


def test_plain_keras_opens_every_model_without_steelbench(results):
    code = f"""
import sys, json, keras, numpy as np
found = {{}}
for method in {list(METHODS)}:
    model = keras.models.load_model(r"{results}/models/{NAME}-" + method + ".h5", compile=False)
    found[method] = [model.get_layer("embedding").output.shape[-1], list(model.input_shape),
                     np.asarray(model(np.full((1, 40, 50, 3), 99.0))).sum()]
print(json.dumps(found, default=float), any(name.startswith("steelbench") for name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, imported = done.stdout.strip().splitlines()[-1].rsplit(" ", 1)
    found = json.loads(text)

    assert imported == "False"
    for method, (length, shape, total) in found.items():
        assert length == EMBEDDINGS.get(method, BACKBONES[NAME].feature_dim)
        assert shape == [None, None, None, 3]
        assert total == pytest.approx(1, abs=1e-5)


def test_an_embedding_of_its_own_is_of_unit_norm_where_cosines_classify(results, steel_pixels):
    import keras

    for method in ("triplet", "arcface"):
        model = keras.models.load_model(results / "models" / f"{NAME}-{method}.h5", compile=False)
        embed = keras.Model(model.input, model.get_layer("embedding").output)
        np.testing.assert_allclose(np.linalg.norm(embed(steel_pixels), axis=1), 1, rtol=1e-5)


@pytest.fixture
def steel_pixels():
    return np.random.default_rng(0).uniform(0, 255, (3, 40, 40, 3)).astype(np.float32)


def test_homogenised_runs_have_a_mean_for_each_split_and_keep_it_in_the_model(tiny_images, tmp_path):
    """The other way, `global`, has its run in test_notebook_faults.py."""
    data, results = tiny_images(images=12, classes=2), tmp_path / "results"
    assert run(data, results, "linear", "--homogenize", "image", "--seeds", "2") == 0

    records = [
        read_record(results / "runs" / f"{NAME}-linear-s{seed}-f0" / "result.json", RunRecord) for seed in (0, 1)
    ]
    means = [record.weights.brightness for record in records]
    assert means[0] != means[1]
    assert all(record.homogenize == "image" for record in records)
    assert records[0].verification.max_difference <= 1e-4
    import keras

    model = keras.models.load_model(results / "models" / f"{NAME}-linear.h5", compile=False)
    assert any(layer.name.startswith("homogenize") for layer in model.layers)
    assert run(data, results, "linear", "--seeds", "2") == 2


def test_augmentation_is_in_the_record_of_what_trains_on_images(results):
    kinds = {
        method: read_record(results / "runs" / f"{NAME}-{method}-s0-f0" / "result.json", RunRecord).augment
        for method in ("linear", "finetune")
    }
    assert kinds == {"linear": "none", "finetune": "light"}


def test_a_run_of_its_own_encoder_is_not_stitched(results, capsys):
    assert main(["stitch", str(results), f"{NAME}-finetune-s0-f0"]) == 2
    assert "encoder of its own" in capsys.readouterr().err
