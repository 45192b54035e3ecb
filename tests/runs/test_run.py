"""From a command to a results folder, with the disk full, with skipped images, with names that are hostile."""

import csv
import errno
import importlib.util
import json
import os

import pytest

from steelbench.cli.exit import main
from steelbench.csv_files import read_csv, unescaped
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions, Softmax
from steelbench.records import Summary, read_record
from steelbench.runs.preparation import expand
from steelbench.runs.run import run as run_all

HOSTILE = ('a,"b" <i>', "=1+1", "<script>alert(1)</script>".replace("/", "\u2215"), "rißig 锈")


@pytest.fixture(scope="module")
def hostile(tiny_images):
    """Four classes with hostile names; one image of 41 is empty."""
    folder = tiny_images(images=10, classes=HOSTILE)
    (folder / HOSTILE[0] / "empty.png").touch()
    return folder


@pytest.fixture
def idle(monkeypatch):
    """Workers that all fail at once."""

    def run_jobs(jobs, results, on_event):
        return {task.key: "it did not feel like it" for job in jobs for task in job.tasks}

    monkeypatch.setattr("steelbench.runs.run.run_jobs", run_jobs)


def run(data, results, *more):
    return main(["run", "--data", str(data), "--results", str(results), "--weights", "random", *more])


def table(path):
    """The lines as cells; a name that a spreadsheet would compute stands behind an apostrophe in the file."""
    with path.open(newline="", encoding="utf-8") as file:
        return [[unescaped(cell) for cell in line] for line in csv.reader(file)]


def test_every_experiment_runs_for_every_seed_and_fold():
    experiments = [Experiment(backbone="vgg19", method=Softmax()), Experiment(backbone="xception", method=Softmax())]

    names = [experiment.run_name for experiment in expand(experiments, seeds=2, folds=3)]

    assert names == [f"{b}-softmax-s{s}-f{f}" for b in ("vgg19", "xception") for s in range(2) for f in range(3)]


def test_tensorboard_that_is_not_installed_is_told_before_anything_is_read(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else object())

    with pytest.raises(SteelbenchError, match=r"steelbench\[tensorboard\]"):
        run_all(RunOptions(data="nowhere", track="tensorboard", engine="keras"), [], "", lambda *_: None)


def test_two_experiments_of_one_name_are_refused():
    with pytest.raises(SteelbenchError, match=r"vgg19-softmax.*variant"):
        expand([Experiment(backbone="vgg19", method=Softmax())] * 2, 1, 1)


def test_failed_rows_still_give_a_report_and_exit_1(hostile, tmp_path, idle, capsys):
    assert run(hostile, tmp_path, "--backbones", "vgg19,xception") == 1

    board = table(tmp_path / "leaderboard.csv")
    baselines = [["none", "hog"], ["none", "majority"]]
    assert [line[:2] for line in board[1:]] == [*baselines, ["vgg19", "softmax"], ["xception", "softmax"]]
    assert all(line[board[0].index("reason")] == "it did not feel like it" for line in board[3:])
    assert "it did not feel like it" in (tmp_path / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr()
    assert "it did not feel like it" in printed.out + printed.err


@pytest.mark.parametrize(("backbone", "size"), [("xception", 70), ("inception_v3", 74)])
def test_images_too_small_for_a_backbone_are_refused_at_once(hostile, tmp_path, idle, capsys, backbone, size):
    assert run(hostile, tmp_path, "--backbones", backbone, "--image-size", str(size)) == 2
    assert f"{backbone} cannot take images of {size} pixels; its smallest are {size + 1}" in capsys.readouterr().err
    assert run(hostile, tmp_path, "--backbones", backbone, "--image-size", str(size + 1)) != 2


def test_an_unreadable_image_is_skipped_listed_and_counted(hostile, tmp_path, idle):
    run(hostile, tmp_path, "--backbones", "vgg19")

    assert table(tmp_path / "skipped_images.csv") == [
        ["path", "reason"],
        [f"{HOSTILE[0]}/empty.png", "the file is empty"],
    ]
    summary = read_record(tmp_path / "results.json", Summary)
    assert summary.dataset.skipped == 1 and summary.dataset.images == 40
    assert any("1 unreadable" in notice.text for notice in summary.warnings)


def test_hostile_names_come_back_from_the_csv_and_stay_text_on_the_page(hostile, tmp_path, idle):
    run(hostile, tmp_path, "--backbones", "vgg19")

    path = tmp_path / "runs" / "none-majority-s0-f0" / "predictions.csv"
    predictions = table(path)
    for file in (path, tmp_path / "audit" / "groups.csv", tmp_path / "audit" / "pairs.csv"):
        assert not [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("=")], file
    assert {line["file"] for line in read_csv(tmp_path / "audit" / "groups.csv")} >= {
        line[0] for line in predictions[1:]
    }
    assert predictions[0][3:] == [f"p_{name}" for name in sorted(HOSTILE)]
    assert {line[1] for line in predictions[1:]} == set(HOSTILE)
    assert all((hostile / line[0]).is_file() and line[0].startswith(line[1] + "/") for line in predictions[1:])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and '"b" <i>' not in page


def test_the_majority_row_is_the_share_of_the_largest_training_class(tmp_path, tiny_images, idle):
    folder = tiny_images(images=10, classes=2)
    for path in sorted((folder / "columns").iterdir())[4:]:
        path.unlink()
    (tmp_path / "r").mkdir()

    run(folder, tmp_path / "r", "--folds", "2", "--backbones", "vgg19")

    row = next(row for row in read_record(tmp_path / "r" / "results.json", Summary).rows if row.method == "majority")
    assert row.accuracy == pytest.approx(10 / 14) and row.n_test == 14


def test_the_records_of_a_run_say_what_it_was(hostile, tmp_path, idle):
    run(hostile, tmp_path, "--backbones", "vgg19", "--seeds", "2", "--folds", "3")

    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert (config["seeds"], config["folds"], config["split"], config["reader"]) == (2, 3, "grouped", "class_folders")
    assert len(config["data_digest"]) == 64 and "results" not in config
    environment = json.loads((tmp_path / "environment.json").read_text(encoding="utf-8"))
    assert environment["cores"] >= 1 and "tensorflow" in environment["packages"]


def test_what_a_killed_run_left_is_swept_and_the_users_own_files_are_not(hostile, tmp_path, idle):
    (tmp_path / "models").mkdir()
    left, own = tmp_path / "models" / ".vgg19-softmax-a1b2_3d4.h5", tmp_path / "models" / ".gitignore"
    left.touch()
    own.touch()

    run(hostile, tmp_path, "--backbones", "vgg19")

    assert own.exists() and not left.exists()


def test_a_full_disk_is_said_and_the_same_command_goes_on(hostile, tmp_path, idle, monkeypatch, capsys):
    fsync, left = os.fsync, [3]

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert run(hostile, tmp_path, "--backbones", "vgg19") == 1
    assert "the disk is full" in capsys.readouterr().err.splitlines()[-1]
    # What is there is whole; nothing is left of what was not.
    assert not [path for path in tmp_path.rglob(".*") if path.name != ".lock"]
    for path in tmp_path.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))

    monkeypatch.setattr(os, "fsync", fsync)
    assert run(hostile, tmp_path, "--backbones", "vgg19") == 1
    assert "it did not feel like it" in (tmp_path / "leaderboard.csv").read_text(encoding="utf-8")
