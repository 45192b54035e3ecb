"""A stitched model: refused where its source, its head or its predictions are not those of the recorded run."""

import csv
import json
import os
import shutil

import cv2
import h5py
import keras
import numpy as np
import pytest
from keras import layers

import steelbench
from steelbench.cli.exit import main
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.inference.kept_network import directly
from steelbench.models import saved_model
from steelbench.models.head import Dense, Head
from steelbench.records import RunRecord, WeightsRecord

CLASSES, NAME, RUN = ["a", "b", "c"], "vgg19-softmax", "vgg19-softmax-s0-f1"


def a_head(seed):
    rng = np.random.default_rng(seed)
    return Head((Dense(rng.standard_normal((6, 3)).astype("f4"), rng.standard_normal(3).astype("f4"), "softmax"),))


def record(fold):
    return RunRecord(
        backbone="vgg19", method="softmax", seed=0, fold=fold, settings={}, fingerprint="0", classes=CLASSES,
        n_train=9, n_validation=3, n_test=8, image_size=16, weights=WeightsRecord(kind="imagenet"), engine="keras",
        precision="float32", params=1, metrics={"test": {"accuracy": 1.0}}, seconds={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A results folder with a saved model of fold 0 and the head of fold 1, and the images beside it."""
    place = tmp_path_factory.mktemp("stitch")
    keras.utils.set_random_seed(0)
    given = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 64, -2)(layers.Resizing(16, 16, name="resizing")(given))
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Conv2D(6, 3, activation="relu", name="conv")(x))
    encoder, results, data = keras.Model(given, x), place / "results", place / "data"
    data.mkdir()
    images = np.random.default_rng(1).integers(0, 256, (8, 1, 1, 3)) * np.ones((20, 24, 1))
    for number, image in enumerate(images):
        cv2.imwrite(str(data / f"{number}.png"), image[..., ::-1].astype(np.uint8))
    for fold in (0, 1):
        own, head = record(fold), a_head(fold)
        folder = results / "runs" / own.run_name
        folder.mkdir(parents=True)
        write_json(folder / "result.json", own)
        head.save(folder / "head.npz")
        answers = head(np.asarray(encoder(images.astype("f4"))))
        write_predictions(folder / "predictions.csv", [f"{n}.png" for n in range(8)], ["a"] * 8, answers, CLASSES)
    path = results / "models" / f"{NAME}.h5"
    saved_model.save(saved_model.stitch(encoder, a_head(0), NAME), path)
    saved_model.write_card(path, {"name": NAME, "classes": CLASSES})
    write_json(results / "config.json", {"data": str(data)})
    return place


@pytest.fixture
def results(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    folder = tmp_path / "copy" / "results"
    write_json(folder / "config.json", {"data": str(tmp_path / "copy" / "data")})
    return folder


def refused(capsys, results, *more):
    assert main(["stitch", str(results), RUN, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "fault in" not in line
    # Nothing is left that could be taken for a model.
    assert sorted(path.name for path in (results / "models").iterdir()) == [f"{NAME}.h5", f"{NAME}.json"]
    return line


def test_a_stitched_model_says_what_was_recorded(results, capsys):
    assert main(["stitch", str(results), RUN]) == 0

    path = results / "models" / f"{RUN}.h5"
    assert capsys.readouterr().out.strip() == str(path)
    model = steelbench.load_model(path)
    with (results / "runs" / RUN / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = np.float32([[row[f"p_{name}"] for name in CLASSES] for row in rows])
    got = model.predict([results.parent / "data" / row["path"] for row in rows])
    np.testing.assert_allclose(got, expected, atol=1e-5)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["verification"]["images"] == 8 and card["verification"]["max_difference"] <= 1e-4
    # Its answers on the card are those of this file.
    assert directly(path, model.card, None, 1) is not None


def zeroed(results, seal):
    path = results / "models" / f"{NAME}.h5"
    with h5py.File(path, "r+") as file:
        file["model_weights/conv/conv/kernel"][:] = 0
    if seal:
        saved_model.write_card(path, {"name": NAME, "classes": CLASSES})


def test_a_source_that_is_not_the_one_of_its_card_is_not_laundered(results, capsys):
    zeroed(results, seal=False)

    assert "is not the file that its card describes (sha256 differs)" in refused(capsys, results)


def test_a_source_whose_card_was_sealed_anew_is_found_by_its_answers(results, capsys):
    zeroed(results, seal=True)

    assert "differs from the run's predictions.csv by" in refused(capsys, results)


def test_a_head_of_another_run_is_found(results, capsys):
    shutil.copy(results / "runs" / f"{NAME}-s0-f0" / "head.npz", results / "runs" / RUN / "head.npz")

    assert "It was not kept" in refused(capsys, results)


def test_a_changed_prediction_is_found(results, capsys):
    path = results / "runs" / RUN / "predictions.csv"
    lines = path.read_text().splitlines()
    lines[3] = lines[4].replace("3.png", "2.png")
    path.write_text("\n".join(lines))

    assert "It was not kept" in refused(capsys, results)


def test_images_that_are_not_there_are_asked_for(results, capsys):
    write_json(results / "config.json", {"data": str(results / "gone")})
    moved = results.parent / "data"

    assert "--data" in refused(capsys, results)
    assert "cannot be read (it is not there)" in refused(capsys, results, "--data", str(results))
    assert main(["stitch", str(results), RUN, "--data", str(moved)]) == 0


HEADS = {
    "another shape": {"kernel_0": np.zeros((5, 3), "f4")},
    "text": {"kernel_0": np.array(["a"])},
    "an unknown activation": {"activation_0": np.frombuffer(b"exec", np.uint8)},
    "an activation of objects": {"activation_0": np.array([1.5])},
    "three axes": {"kernel_0": np.zeros((6, 3, 1), "f4")},
    "no numbers": {"bias_0": np.full(3, np.nan, "f4")},
    "an embedding that is none": {"embedding": np.array(9)},
    "an embedding of several": {"embedding": np.array([0, 0])},
}


@pytest.mark.parametrize("name", HEADS)
def test_a_head_of_other_arrays_is_one_sentence(results, capsys, name):
    path = results / "runs" / RUN / "head.npz"
    arrays = dict(np.load(path)) | HEADS[name]
    np.savez(path, **arrays)

    assert "head.npz" in refused(capsys, results)


@pytest.mark.parametrize("file", ["predictions.csv", "result.json"])
@pytest.mark.parametrize("content", [b"", b"\0\xff" * 99, b"[" * 200_000, b"path,label\n1,2\n"])
def test_damaged_records_are_one_sentence(results, capsys, file, content):
    (results / "runs" / RUN / file).write_bytes(content)

    assert file in refused(capsys, results)


def test_an_encoder_without_an_embedding_is_one_sentence(results, capsys):
    given = keras.Input((None, None, 3))
    x = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D(name="other")(given))
    keras.Model(given, x).save(results / "models" / f"{NAME}.h5")
    saved_model.write_card(results / "models" / f"{NAME}.h5", {"name": NAME, "classes": CLASSES})

    assert "no layer called 'embedding'" in refused(capsys, results)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_predictions_that_never_end_are_refused(results, capsys):
    path = results / "runs" / RUN / "predictions.csv"
    path.unlink()
    os.mkfifo(path)

    assert "predictions.csv is missing or damaged" in refused(capsys, results)
