"""Where rows looked: for which images, by which heads, what a process that dies leaves, what the maps are of."""

import json
import os
import stat
import sys

import cv2
import numpy as np
import pytest
from image_sets import SIZE, small_encoder, stripes

from steelbench.evaluation.error_tables import DOSSIERS, WrongAnswer, write_errors
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.models import saved_model
from steelbench.models.head import Dense, Head
from steelbench.records import ActivationMaps, RunRecord, activation_map_file, read_record
from steelbench.runs import activation_maps_worker as worker
from steelbench.runs.activation_maps import maps_wait, unmapped, wanted_maps, write_activation_maps

CLASSES = ["a", "b", "c"]
SOFTMAX, LINEAR, FINETUNE = "vgg19-softmax", "vgg19-linear", "vgg19-finetune"


def record(name, *, seed=0, fold=0, **more):
    backbone, method = name.split("-")
    return RunRecord(
        backbone=backbone, method=method, seed=seed, fold=fold, classes=CLASSES, n_train=1, n_validation=1, n_test=18,
        engine="keras", precision="float32", params=1, metrics={}, seconds={}, settings={}, image_size=SIZE,
        fingerprint=f"{name} {seed} {fold}", model=f"models/{name}.h5" if seed == fold == 0 else None,
        weights={"kind": "imagenet"}, **more,
    )  # fmt: skip


def head_of(seed):
    rng = np.random.default_rng(seed)
    return Head((Dense(rng.standard_normal((8, 3)).astype("f4"), np.zeros(3, "f4"), "softmax"),))


def finished(results, *records, tested=("0.png", "1.png", "2.png")):
    (results / "models").mkdir(exist_ok=True)
    for place, own in enumerate(records):
        folder = results / "runs" / own.run_name
        folder.mkdir(parents=True)
        head_of(place).save(folder / "head.npz")
        shares = np.full((len(tested), 3), 1 / 3, "f4")
        write_predictions(folder / "predictions.csv", list(tested), ["a"] * len(tested), shares, CLASSES)
        write_json(folder / "result.json", own)
        if own.model:
            (results / own.model).touch()


def wrong(row, path, predicted="b", label="a"):
    return WrongAnswer(row, path, label, predicted, 0.9, 0.1, 1, 1, False, ())


def images_of(results):
    return {row.row: [own.path for own in row.images] for network in wanted_maps(results) for row in network.rows}


def test_rows_on_one_network_share_its_feature_maps_and_a_trained_one_has_its_own(tmp_path):
    finished(tmp_path, record(SOFTMAX), record(LINEAR), record(FINETUNE))
    write_errors(tmp_path / "errors.csv", [wrong(row, "1.png") for row in (SOFTMAX, LINEAR, FINETUNE)])

    assert sorted(len(network.rows) for network in wanted_maps(tmp_path)) == [1, 2]


def test_only_images_with_a_dossier_have_maps(tmp_path):
    names = [f"{place}.png" for place in range(DOSSIERS + 5)]
    finished(tmp_path, record(SOFTMAX), tested=names)
    write_errors(tmp_path / "errors.csv", [wrong(SOFTMAX, name) for name in names])

    assert images_of(tmp_path) == {SOFTMAX: names[:DOSSIERS]}


def test_the_heads_are_those_that_tested_the_image_and_of_a_trained_network_its_own_alone(tmp_path):
    finished(tmp_path, record(SOFTMAX), record(SOFTMAX, seed=1), record(FINETUNE))
    finished(tmp_path, record(SOFTMAX, fold=1), record(FINETUNE, fold=1), tested=["3.png"])
    write_errors(tmp_path / "errors.csv", [wrong(row, f"{k}.png") for row in (SOFTMAX, FINETUNE) for k in (1, 3)])

    runs = {(row.row, own.path): own.runs for net in wanted_maps(tmp_path) for row in net.rows for own in row.images}

    assert runs == {
        (SOFTMAX, "1.png"): [f"{SOFTMAX}-s0-f0", f"{SOFTMAX}-s1-f0"],
        (SOFTMAX, "3.png"): [f"{SOFTMAX}-s0-f1"],
        (FINETUNE, "1.png"): [f"{FINETUNE}-s0-f0"],
    }


def test_of_a_homogenised_row_only_the_split_of_its_saved_network_has_maps(tmp_path):
    finished(tmp_path, record(SOFTMAX, homogenize="global"))
    finished(tmp_path, record(SOFTMAX, fold=1, homogenize="global"), tested=["3.png"])
    write_errors(tmp_path / "errors.csv", [wrong(SOFTMAX, "1.png"), wrong(SOFTMAX, "3.png")])

    assert images_of(tmp_path) == {SOFTMAX: ["1.png"]}


def test_without_errors_or_models_or_with_damaged_records_nothing_is_wanted(tmp_path):
    assert wanted_maps(tmp_path) == []
    finished(tmp_path, record(SOFTMAX), record(LINEAR))
    (tmp_path / record(SOFTMAX).model).unlink()
    (tmp_path / "runs" / record(LINEAR).run_name / "result.json").write_text("{")
    write_errors(tmp_path / "errors.csv", [wrong(SOFTMAX, "1.png"), wrong(LINEAR, "1.png"), wrong("hog-svm", "1.png")])

    assert wanted_maps(tmp_path) == []


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Puts a shell script where the process's Python would be; `$4` is the request."""

    def play(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return play


def test_a_process_that_dies_leaves_a_reason_and_is_not_started_again(process, tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    finished(results, record(SOFTMAX))
    write_errors(results / "errors.csv", [wrong(SOFTMAX, "1.png")])
    (results / "activation_maps").mkdir()
    (results / "activation_maps" / ".left-0123abcd.json").touch()
    (results / "activation_maps" / "gone.json").write_text("{}")
    process(f"cp $4 {tmp_path}/request; echo out of memory >&2; exit 3")

    write_activation_maps(results, tmp_path, None, lambda *_: None)

    told = json.loads((tmp_path / "request").read_text())
    assert told["networks"][0]["rows"][0]["images"][0]["path"] == "1.png"
    assert [path.name for path in (results / "activation_maps").iterdir()] == [f"{SOFTMAX}.json"]
    problem = read_record(activation_map_file(results, SOFTMAX), ActivationMaps).problem
    assert problem == "its process ended with 3: out of memory"
    assert unmapped(results) == []
    write_errors(results / "errors.csv", [wrong(SOFTMAX, "1.png", predicted="c")])
    assert len(unmapped(results)) == 1, "another answer has another map"


def test_ctrl_c_ends_the_process_and_the_next_command_computes_the_maps(process, tmp_path):
    finished(tmp_path, record(SOFTMAX))
    write_errors(tmp_path / "errors.csv", [wrong(SOFTMAX, "1.png")])
    event = '{"kind": "progress", "step": "maps", "done": 1, "total": 1}'
    process(f"echo $$ > {tmp_path}/pid; echo nonsense; echo '{event}'; exec sleep 60")

    def progress(step, name, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_activation_maps(tmp_path, tmp_path, None, progress)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert len(unmapped(tmp_path)) == 1


def test_maps_that_are_newer_than_the_report_wait_for_it(tmp_path):
    finished(tmp_path, record(SOFTMAX))
    write_errors(tmp_path / "errors.csv", [wrong(SOFTMAX, "1.png")])
    (tmp_path / "report.html").touch()
    assert maps_wait(tmp_path)
    (row,) = (row for network in wanted_maps(tmp_path) for row in network.rows)
    path = activation_map_file(tmp_path, SOFTMAX)
    write_json(path, ActivationMaps(fingerprint=row.fingerprint))
    later = path.stat().st_mtime + 1
    assert os.utime(tmp_path / "report.html", (later, later)) is None and not maps_wait(tmp_path)
    os.utime(path, (later + 1, later + 1))
    assert maps_wait(tmp_path)


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """A results folder with two heads of two seeds on one encoder, and what the process wrote for it."""
    results = tmp_path_factory.mktemp("results")
    pixels = list(stripes(np.arange(4) % 3))
    pixels[3] = np.ascontiguousarray(pixels[3][:, : SIZE // 2])
    for number, image in enumerate(pixels):
        cv2.imwrite(str(results / f"{number}.png"), image[..., ::-1])
    names = [f"{number}.png" for number in range(4)]
    finished(results, record(SOFTMAX), record(SOFTMAX, seed=1), tested=[*names, "gone.png"])
    encoder = small_encoder()
    saved_model.save(saved_model.stitch(encoder, head_of(0), "m"), results / record(SOFTMAX).model)
    write_errors(results / "errors.csv", [wrong(SOFTMAX, name, "c", "b") for name in (*names, "gone.png")])
    (network,) = wanted_maps(results)
    request = worker.MapRequest(results=str(results), root=str(results), bit_depth=None, networks=[network])
    seen = []
    compute = worker.before_average(saved_model.encoder_of(saved_model.load(results / network.model)))

    def counted(images):
        seen.append(len(images))
        return compute(images)

    done = []
    maps = worker.compute_maps(network, counted, request, done.append)[SOFTMAX]
    return encoder, pixels, maps, seen, done


def test_maps_are_the_mean_of_those_of_the_heads(computed):
    """So that they sum up to the mean of the scores; the record has a byte for each cell."""
    encoder, pixels, maps, _, _ = computed
    heads, classes = [head_of(seed) for seed in (0, 1)], [2, 1]
    for own, image in zip(maps, pixels, strict=True):
        batch = image[None].astype("f4")
        shares = worker.look(heads, worker.before_average(encoder)(batch), classes)
        scores = np.mean([head.logits(np.asarray(encoder(batch))) for head in heads], axis=0)[0, classes]
        np.testing.assert_allclose(shares.sum(axis=(1, 2)), scores, rtol=1e-4, atol=1e-5)
        heat = [list(bytes.fromhex(text)) for text in (own.for_predicted, own.for_label)]
        positive = np.maximum(shares, 0).reshape(2, -1)
        np.testing.assert_allclose(np.array(heat) * own.peak / 255, positive, atol=0.51 * own.peak / 255)


def test_an_image_goes_through_the_network_once_with_others_of_its_size(computed):
    _, _, maps, seen, done = computed

    assert seen == done == [3, 1]
    assert [(own.path, own.width, own.height) for own in maps][-1] == ("3.png", SIZE // 2, SIZE)
    assert [(own.predicted, own.label) for own in maps] == [("c", "b")] * 4, "one that is gone is left out"


def test_large_images_go_through_the_network_one_by_one(tmp_path, monkeypatch):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 20), "u1"))
    request = worker.MapRequest(results="", root=str(tmp_path), bit_depth=None, networks=[])
    monkeypatch.setattr(worker, "BATCH_BYTES", 20 * 20 * 3)

    assert [paths for paths, _ in worker.read_batches(["a.png", "gone.png", "b.png"], request)] == [
        ["a.png"],
        ["b.png"],
    ]
