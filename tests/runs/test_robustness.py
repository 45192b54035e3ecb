"""`--with robustness`: which rows are measured, together with which, and what a process that fails leaves."""

import os
import sys

import cv2
import numpy as np
import pytest

from steelbench.data.corruptions import CORRUPTIONS, VERSION, corrupt
from steelbench.data.images import read_image
from steelbench.evaluation.robustness import record_path
from steelbench.experiment import Experiment, Softmax
from steelbench.features.spec import ImageRef
from steelbench.files import write_json
from steelbench.models.head import Dense, Head
from steelbench.records import Robustness, RunRecord
from steelbench.runs import robustness
from steelbench.runs.jobs import RunData, SplitRef
from steelbench.runs.results_folder import clear, is_complete
from steelbench.runs.robustness import EXAMPLE_SIDE, measure_robustness, together, unmeasured

SOFTMAX, OTHER = "vgg19-softmax", "vgg19-linear"


def run_record(name=SOFTMAX, **fields):
    backbone, method, *variant = name.split("-")
    return RunRecord(
        backbone=backbone, method=method, variant="".join(variant), seed=0, fold=0, classes=["a", "b"], n_train=1,
        n_validation=1, n_test=1, engine="keras", precision="float32", params=1, metrics={}, seconds={},
        **({"settings": {}, "fingerprint": f"of {name}", "model": f"models/{name}.h5", "image_size": 224,
            "weights": {"kind": "imagenet", "digest": "1"}} | fields),
    )  # fmt: skip


def write_run(results, record):
    folder = results / "runs" / record.run_name
    folder.mkdir(parents=True)
    Head((Dense(np.eye(2, dtype="f4"), np.zeros(2, "f4"), "softmax"),)).save(folder / "head.npz")
    (results / "models").mkdir(exist_ok=True)
    (results / "models" / f"{record.name}.h5").write_bytes(b"model")
    write_json(folder / "result.json", record)


def measured(fingerprint=f"of {SOFTMAX}", version=VERSION):
    return Robustness(
        version=version, fingerprint=fingerprint, images=1, groups=1, strengths=[3], clean_accuracy=1.0,
        clean_differences=0, engine="keras", seconds=1.0, level=0.05, results=[],
    )  # fmt: skip


@pytest.fixture
def results(tmp_path):
    for name in (SOFTMAX, OTHER):
        write_run(tmp_path, run_record(name))
    return tmp_path


@pytest.fixture
def data(tiny_images):
    root = tiny_images(images=5, classes=2)
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    images = [ImageRef(path=path, label=n // 5, digest=str(n), group=n) for n, path in enumerate(paths)]
    split = SplitRef(seed=0, fold=0, train=[0, 5], validation=[1, 6], test=[2, 3, 4, 7, 8, 9])
    return RunData(root=str(root), bit_depth=None, classes=["a", "b"], images=images, splits=[split])


def names_of(found):
    return [record.name for record in found]


def test_a_row_is_measured_once_for_each_model_and_version(results):
    wanted = [SOFTMAX, OTHER, SOFTMAX, "none-hog"]
    assert names_of(unmeasured(results, wanted)) == [SOFTMAX, OTHER]

    write_json(record_path(results, SOFTMAX), measured())
    assert names_of(unmeasured(results, wanted)) == [OTHER]

    for old in (measured("other"), measured(version=VERSION - 1)):
        write_json(record_path(results, SOFTMAX), old)
        assert names_of(unmeasured(results, wanted)) == [SOFTMAX, OTHER]
    record_path(results, SOFTMAX).write_text("{", encoding="utf-8")
    assert names_of(unmeasured(results, wanted)) == [SOFTMAX, OTHER]


def test_rows_without_a_model_or_without_training_are_passed_over(tmp_path):
    write_run(tmp_path, run_record("vgg19-softmax", weights={"kind": "random"}))
    write_run(tmp_path, run_record("vgg19-finetune", weights={"kind": "random"}, settings={"trainable": "all"}))
    write_run(tmp_path, run_record("xception-softmax", model=None))
    write_run(tmp_path, run_record("xception-linear"))
    (tmp_path / "models" / "xception-linear.h5").unlink()

    every = ["vgg19-softmax", "vgg19-finetune", "xception-softmax", "xception-linear", "resnet50-softmax"]
    assert names_of(unmeasured(tmp_path, every)) == ["vgg19-finetune"]


def test_heads_on_one_frozen_network_share_its_features_and_trained_networks_do_not():
    runs = [
        run_record("vgg19-softmax"),
        run_record("xception-softmax"),
        run_record("vgg19-linear"),
        run_record("vgg19-linear-large", image_size=320),
        run_record("vgg19-linear-noisy", weights={"kind": "file", "digest": "2"}),
        run_record("vgg19-finetune", settings={"trainable": "last:4"}),
        run_record("vgg19-finetune-all", settings={"trainable": "all"}),
        run_record("vgg19+xception-softmax"),
    ]

    found = together(runs)

    assert ["vgg19-softmax", "vgg19-linear"] in found and len(found) == 7


def test_a_measurement_that_the_report_does_not_show_yet_leaves_the_folder_incomplete(results):
    for name in ("results.json", "leaderboard.csv", "report.html"):
        (results / name).write_text("{}", encoding="utf-8")
    assert is_complete(results)

    write_json(record_path(results, SOFTMAX), measured())
    os.utime(record_path(results, SOFTMAX), (2e9, 2e9))

    assert not is_complete(results)


def test_force_deletes_the_measurements_of_the_rows_that_it_replaces(results, monkeypatch):
    for name in (SOFTMAX, OTHER):
        write_json(record_path(results, name), measured())
    monkeypatch.setattr("steelbench.runs.results_folder.refuse_other_results", lambda *_: None)

    clear(results, {}, [Experiment(backbone="vgg19", method=Softmax())])

    assert not record_path(results, SOFTMAX).exists() and record_path(results, OTHER).exists()


def test_what_could_not_be_measured_is_told_and_the_rest_is_kept(results, data, monkeypatch):
    jobs = []

    def run(job, folder, progress):
        jobs.append(job)
        write_json(record_path(folder, OTHER), measured(f"of {OTHER}"))
        return "it did not feel like it"

    monkeypatch.setattr(robustness, "_run", run)

    notices = measure_robustness(results, data, [SOFTMAX, OTHER], lambda *_: None)

    assert [(told.code, told.row) for told in notices] == [("SB411", SOFTMAX)]
    assert "it did not feel like it" in notices[0].text
    assert [image.digest for image in jobs[0].images] == ["2", "3", "4", "7", "8", "9"]
    assert jobs[0].networks == [[SOFTMAX, OTHER]]
    measure_robustness(results, data, [OTHER], lambda *_: None)
    assert len(jobs) == 1


def test_a_process_that_ends_early_is_told_with_its_last_words(results, data, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")

    notices = measure_robustness(results, data, [SOFTMAX], lambda *_: None)

    assert "ended with 1: no message" in notices[0].text
    assert not list(results.glob("unfinished/*.json"))


def test_a_disk_that_fills_while_it_is_measured_is_told_as_everywhere(results, data, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho 'OSError: [Errno 28] Can not close file' >&2\nexit 1\n")
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))

    notices = measure_robustness(results, data, [SOFTMAX], lambda *_: None)

    assert "the disk is full" in notices[0].text and "Errno" not in notices[0].text


def test_the_examples_show_one_image_under_each_corruption(results, data, monkeypatch):
    monkeypatch.setattr(robustness, "_run", lambda *_: "")
    measure_robustness(results, data, [SOFTMAX], lambda *_: None)

    folder, first = results / "robustness" / "examples", data.images[2]
    pixels = read_image(robustness.Path(data.root) / first.path)
    assert {path.stem for path in folder.iterdir()} == {"clean", *CORRUPTIONS}
    assert np.array_equal(read_image(folder / "clean.png"), pixels)
    for name in CORRUPTIONS:
        assert np.array_equal(read_image(folder / f"{name}.png"), corrupt(name, pixels, 3, first.digest))


def test_a_large_example_is_shrunk_to_its_middle_square():
    png = robustness._small_png(np.full((400, 900, 3), 77, np.uint8))

    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), 1)
    assert pixels.shape == (EXAMPLE_SIDE, EXAMPLE_SIDE, 3) and (pixels == 77).all()
