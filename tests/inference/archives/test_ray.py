"""`extract` and `predict --runner ray` on a cluster of one node: killed and continued, and the bytes of a local run."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import asdict

import cv2
import numpy as np
import pandas as pd
import pytest

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.inference.archives.shards import ShardWorker
from steelbench.ray_session import connected

pytestmark = pytest.mark.slow
PARTS = 8


@pytest.fixture(scope="module")
def cluster(own_cache):
    """Its address; a cluster outlives the commands that connect to it."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        yield found.address
        found.shutdown()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """2048 tiny images, some of them copies, and two files that are none."""
    folder = tmp_path_factory.mktemp("many") / "images"
    rng = np.random.default_rng(0)
    for number in range(PARTS * 256 - 2):
        path = folder / f"{number % 10}" / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % 100 != 99:
            _, data = cv2.imencode(".png", rng.integers(0, 256, (16, 16), np.uint8))
        path.write_bytes(data.tobytes())
    (folder / "0" / "=empty.png").touch()
    (folder / "5" / "bäd #1.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, images):
    """A model that resizes, with thresholds for `uncertain` and `unfamiliar` and a file beside it."""
    import keras
    from keras import layers

    import steelbench
    from steelbench.evaluation.unknown import Neighbours
    from steelbench.models import saved_model
    from steelbench.models.unfamiliar_file import unfamiliar_file, write_reference

    keras.utils.set_random_seed(0)
    given = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(layers.Resizing(12, 12)(given))
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Conv2D(8, 3, activation="relu")(x))
    network = keras.Model(given, layers.Dense(4, activation="softmax", name="probabilities")(x))
    path = tmp_path_factory.mktemp("models") / "small.h5"
    saved_model.save(network, path)
    fields = {"name": "small", "classes": list("abcd")}
    saved_model.write_card(path, fields)
    vectors = steelbench.load_model(path).embed(sorted(images.rglob("*.png"))[1:61])
    reference = Neighbours.fit(vectors[:30], 2)
    limit = {
        "score": "knn", "threshold": float(np.median(reference(vectors[30:]))), "flagged": 0.05, "detected": 0.5,
        "neighbours": 2, "sha256": write_reference(unfamiliar_file(path), reference),
    }  # fmt: skip
    saved_model.write_card(path, fields | {"unfamiliar": limit})
    return path


def test_a_killed_extraction_goes_on_and_has_every_image_once(cluster, images, tmp_path, capsys):
    out = tmp_path / "features"
    command = [
        "extract", "--data", str(images), "--backbone", "mobilenet_v2_035", "--image-size", "32", "--out", str(out),
        "--weights", "random", "--ray-address", cluster,
    ]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "steelbench", *command], start_new_session=True)
    deadline = time.monotonic() + 100
    while not [*out.glob("part-*")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.read_bytes() for path in out.glob("part-*")}
    assert 0 < len(before) < PARTS

    assert main(command) == 0

    printed = capsys.readouterr().out
    assert printed.startswith(f"2048 images, 2 unreadable; {256 * (PARTS - len(before))} of them now")
    assert before.items() <= {path.name: path.read_bytes() for path in out.glob("part-*")}.items()
    table = pd.read_parquet(out)
    assert sorted(table["path"]) == sorted(path.relative_to(images).as_posix() for path in images.rglob("*.*"))
    good = table[table["reason"] == ""]
    copies = good.groupby("sha256")["embedding"].agg(lambda own: len(np.unique(np.stack(own), axis=0)))
    assert len(good) == 2046 and len(copies) < 2046 and (copies == 1).all()


def test_predict_by_ray_prints_the_bytes_of_predict(cluster, model, images, tmp_path, capsys):
    """A folder as CSV, a URL as JSON; the card's thresholds fill the columns."""
    packed = tmp_path / "images.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(images.glob("[05]/*"))[:300]:
            file.write(path, path.relative_to(images))
    csv_words = [str(model), str(images), "--threshold", "0.4", "--engine", "openvino"]
    json_words = [str(model), f"zip://::{packed.as_uri()}", "--json", "--engine", "openvino"]
    printed = {}
    for name, words in (("csv", csv_words), ("json", json_words)):
        for runner in ([], ["--runner", "ray", "--ray-address", cluster]):
            assert main(["predict", *words, *runner]) == 1
            printed[name, bool(runner)] = capsys.readouterr().out

    assert printed["csv", True] == printed["csv", False] and printed["csv", True].count("\n") == 2049
    assert printed["json", True] == printed["json", False]
    lines = [json.loads(line) for line in printed["json", True].splitlines()]
    assert len(lines) == 300 and {line["unfamiliar"] for line in lines if not line["reason"]} == {True, False}
    assert {line["path"] for line in lines if line["reason"]} == {f"zip://0/=empty.png::{packed.as_uri()}"} | {
        line["path"] for line in lines if "bäd" in line["path"]
    }


def test_a_model_that_cannot_be_opened_is_told_before_a_line_is_printed(cluster, images, tmp_path, capsys):
    """The nodes find it; the sentence names the user's file and not their copy."""
    from steelbench.models import saved_model

    path = tmp_path / "damaged.h5"
    path.write_bytes(b"no model")
    saved_model.write_card(path, {"name": "damaged", "classes": list("abcd")})

    assert main(["predict", str(path), str(images), "--runner", "ray", "--ray-address", cluster]) == 2

    printed = capsys.readouterr()
    assert not printed.out and str(path) in printed.err and printed.err.count("\n") == 1


class Ends(ShardWorker):
    """Its process ends at the item "end"."""

    def work(self, items):
        if items == ["end"]:
            os._exit(1)
        return json.dumps(items).encode()


def test_a_process_that_ends_every_time_ends_the_command(cluster, monkeypatch):
    """Ray Data alone would try for ever."""
    from ray import cloudpickle

    from steelbench.inference.archives import shards

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(shards, "RETRIES", 1)
    with shards.words_hidden(), connected(cluster, {}, lambda _: None):
        found = list(shards.worked(Ends, {}, {3: ["a"], 5: ["b"]}, ordered=True, on_gpus=False))
        with pytest.raises(SteelbenchError, match=r"a process of Ray ended 2 times .* goes on where it stopped"):
            list(shards.worked(Ends, {}, {0: ["end"]}, ordered=True, on_gpus=False))
    assert found == [(3, b'["a"]'), (5, b'["b"]')]


def test_embeddings_are_those_that_a_run_caches(weights_folder, tiny_images, tmp_path, monkeypatch):
    """Without Ray, whose actors do the same: bit for bit, with the pretrained network on the same engine."""
    from inference_archives import play_ray

    from steelbench.data.images import ImageFiles
    from steelbench.features.frozen_encoder import ExtractionContext, FrozenEncoder
    from steelbench.features.spec import ExtractionRequest, ImageRef, Part
    from steelbench.files import file_digest
    from steelbench.models.weight_files import resolve

    data, name = tiny_images(images=11, classes=2), "mobilenet_v2_035"
    paths = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.png"))
    request = ExtractionRequest(
        images=[ImageRef(path=path, label=0, digest=file_digest(data / path)) for path in paths],
        labelled=len(paths),
        root=data,
        cache=tmp_path / "cache",
        bit_depth=None,
        engine="auto",
        precision="float32",
        calibration_rows=[],
        calibration_digest="",
    )
    files = ImageFiles(data, paths, None)
    context = ExtractionContext(request, files, lambda *_: None, lambda _: None, lambda: None)
    part = Part(backbone=name, image_size=64, origin=asdict(resolve(name, "imagenet", weights_folder)))
    frozen = FrozenEncoder(part, context)
    frozen.extract_missing()
    play_ray(monkeypatch)

    words = ["--data", str(data), "--backbone", name, "--image-size", "64", "--weights-dir", str(weights_folder)]
    assert main(["extract", *words, "--out", str(tmp_path / "features")]) == 0

    table = pd.read_parquet(tmp_path / "features")
    assert table["path"].tolist() == paths and table["sha256"].tolist() == [own.digest for own in request.images]
    np.testing.assert_array_equal(np.stack(table["embedding"]), frozen.features())
    record = json.loads((tmp_path / "features" / "_extract.json").read_text())
    assert record["embedded"]["weights"] == frozen.weights and record["embedded"]["engine"] == frozen.engine
