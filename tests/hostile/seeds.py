"""Whole files that the corpus damages: images, a results folder, models with cards; made on the spot."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

CLASSES = ("checks", "columns", "rows")
FORMATS = ("png", "jpg", "bmp", "tif", "webp", "pgm")
ROW, RUN = "vgg19-softmax", "vgg19-softmax-s0-f1"
# Orientation 6: turned by a quarter.
EXIF = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"


def build(folder, *, networks):
    """Write the seeds below a folder; those that need TensorFlow only if asked for."""
    write_images(folder / "data")
    in_own_process("results", folder)
    if networks:
        in_own_process("networks", folder)
    return folder


def in_own_process(what, folder):
    """TensorFlow and the played workers stay out of the process that starts the others."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2])])
    command = [sys.executable, "-c", f"from hostile.seeds import *; write_{what}(Path({str(folder)!r}))"]
    environment = {**os.environ, "PYTHONPATH": path, "STEELBENCH_TIMING": "off", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment, capture_output=True, timeout=600)


def write_images(root):
    """Class folders with one image of each format, a 16-bit PNG and a JPEG with EXIF data."""
    from conftest import texture

    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir(parents=True)
        for number, suffix in enumerate(FORMATS):
            _, data = cv2.imencode(f".{suffix}", texture(name, rng, 40))
            (root / name / f"{number}.{suffix}").write_bytes(data.tobytes())
        _, data = cv2.imencode(".png", texture(name, rng, 36).astype(np.uint16) * 257)
        (root / name / "6.png").write_bytes(data.tobytes())
        jpeg = cv2.imencode(".jpg", texture(name, rng, 44))[1].tobytes()
        (root / name / "7.jpg").write_bytes(jpeg[:2] + EXIF + jpeg[2:])
    lines = [f"{path.relative_to(root)},{path.parent.name}" for path in sorted(root.rglob("*.*"))]
    (root.parent / "labels.csv").write_text("\n".join(["path,label", *lines]) + "\n")


def write_results(folder):
    """A finished results folder whose network rows are played, with every record and digest; and one of no digests."""
    import pytest
    from played_folder import play, run
    from results_folder import typical, write_folder

    with pytest.MonkeyPatch.context() as patch:
        play(patch, models=True)
        patch.chdir(folder)
        assert run("data", "results", "--seeds", "2") == 0
    write_folder(folder / "drawn", typical(), epochs=3)


def write_networks(folder):
    """A small model with a card and what unfamiliar images are told by, an ArcFace one, and a folder for `stitch`."""
    import keras
    from keras import layers

    from steelbench.evaluation.unknown import Neighbours
    from steelbench.files import write_json
    from steelbench.models import saved_model
    from steelbench.models.head import Dense, Head
    from steelbench.models.unfamiliar_file import unfamiliar_file, write_reference

    keras.utils.set_random_seed(0)
    given = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 64, -2)(layers.Resizing(16, 16, name="resizing")(given))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(6, 3, activation="relu", name="conv")(x))
    encoder = keras.Model(given, layers.GlobalAveragePooling2D(name="embedding")(x))
    rng = np.random.default_rng(0)
    heads = [
        Head((Dense(rng.standard_normal((6, 3)).astype("f4"), rng.standard_normal(3).astype("f4"), "softmax"),))
        for _ in range(2)
    ]
    path = folder / "model" / "m.h5"
    path.parent.mkdir()
    saved_model.save(saved_model.stitch(encoder, heads[0], "m"), path)
    digest = write_reference(unfamiliar_file(path), Neighbours(rng.random((20, 6)).astype("f4"), 3))
    unfamiliar = {"score": "knn", "threshold": 0.9, "flagged": 0.05, "detected": 0.5, "neighbours": 3, "sha256": digest}
    decision = {"threshold": 0.6, "escapes": 0.01, "confidence": 0.95, "referred": 0.1}
    more = {"image_size": 16, "method": "arcface", "unfamiliar": unfamiliar, "decision": decision}
    saved_model.write_card(path, {"name": "m", "classes": list(CLASSES), **more})
    write_stitchable(folder / "stitch", encoder, heads, saved_model, write_json)


def write_stitchable(results, encoder, heads, saved_model, write_json):
    """A results folder with the model of fold 0 and the head of fold 1, for the images of `data`."""
    from steelbench.data.images import read_image
    from steelbench.evaluation.predictions import write_predictions
    from steelbench.files import file_digest
    from steelbench.records import RunRecord, WeightsRecord

    data = results.parent / "data"
    paths = sorted(path for path in data.rglob("*.png"))
    pixels = [read_image(path, None) for path in paths]
    for fold, head in enumerate(heads):
        folder = results / "runs" / f"{ROW}-s0-f{fold}"
        folder.mkdir(parents=True)
        head.save(folder / "head.npz")
        names, labels = [str(path.relative_to(data)) for path in paths], [path.parent.name for path in paths]
        answers = saved_model.probabilities(saved_model.stitch(encoder, head, ROW), pixels)
        write_predictions(folder / "predictions.csv", names, labels, answers, list(CLASSES))
        digests = {name: file_digest(folder / name) for name in ("head.npz", "predictions.csv")}
        write_json(folder / "result.json", RunRecord(
            backbone="vgg19", method="softmax", seed=0, fold=fold, settings={}, fingerprint="0", classes=list(CLASSES),
            n_train=9, n_validation=3, n_test=len(paths), image_size=16, weights=WeightsRecord(kind="imagenet"),
            engine="keras", precision="float32", params=1, metrics={"test": {"accuracy": 1.0}}, seconds={},
            digests=digests,
        ))  # fmt: skip
    path = results / "models" / f"{ROW}.h5"
    saved_model.save(saved_model.stitch(encoder, heads[0], ROW), path)
    saved_model.write_card(path, {"name": ROW, "classes": list(CLASSES), "image_size": 16})
    write_json(results / "config.json", {"data": str(data)})
