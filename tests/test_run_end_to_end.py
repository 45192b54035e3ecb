"""`steelbench run` as a user runs it, from images to models: one folder of results, looked at from all sides."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import steelbench
from steelbench.cli.exit import main
from steelbench.csv_files import read_csv
from steelbench.data.images import read_image

pytestmark = pytest.mark.slow

CHECK = Path(__file__).resolve().parents[2] / "shared" / "tools" / "check_results.py"
HOSTILE = ('a,"b" <i>', "=1+1", "<b onload=x>", "rißig 锈")
NAME = "mobilenet_v2_035"


@pytest.fixture(scope="module")
def steel(tiny_images):
    """Four classes with hostile names, 12 images each, and an empty file."""
    folder = tiny_images(images=12, classes=HOSTILE)
    (folder / HOSTILE[0] / "empty.png").touch()
    return folder


def command(data, results, *more, methods="softmax", backbones=NAME):
    options = ["--weights", "random", "--image-size", "32", "--epochs", "2", "--verify", "full"]
    names = ["--backbones", backbones, "--methods", methods]
    return ["run", "--data", str(data), "--results", str(results), *options, *names, *more]


def steelbench_process(arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "steelbench", *arguments], capture_output=True, text=True, timeout=200, **more
    )


@pytest.fixture(scope="module")
def finished(steel, tmp_path_factory):
    """A softmax head; then, by a second command, a linear one beside it. (folder, files after the first command)."""
    results = tmp_path_factory.mktemp("results") / "first"
    done = steelbench_process(command(steel, results))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and NAME in done.stdout
    before = digests(results)
    done = steelbench_process(command(steel, results, methods="softmax,linear"))
    assert done.returncode == 0, done.stderr
    return results, before


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def table(path):
    return read_csv(path)


def but_for_seconds(path):
    return [{key: value for key, value in line.items() if key != "seconds"} for line in table(path)]


def test_a_second_method_extends_the_folder_and_leaves_the_first_alone(finished):
    results, before = finished

    after = digests(results)

    kept = {name: digest for name, digest in before.items() if name.startswith((f"runs/{NAME}", "models/"))}
    assert len(kept) >= 5 and kept.items() <= after.items()
    board = table(results / "leaderboard.csv")
    assert {(line["method"], line["status"]) for line in board} == {
        (method, "done") for method in ("softmax", "linear", "majority", "hog")
    }
    assert not (results / "unfinished").exists()


def test_even_random_features_tell_more_than_the_majority(finished):
    accuracy = {line["method"]: float(line["accuracy"]) for line in table(finished[0] / "leaderboard.csv")}

    assert accuracy["linear"] > accuracy["majority"]


@pytest.mark.skipif(not CHECK.is_file(), reason=f"{CHECK} does not exist")
def test_the_folder_keeps_the_contract(finished):
    done = subprocess.run(
        [sys.executable, CHECK, finished[0], "--models"], capture_output=True, text=True, timeout=200, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "holds")


def test_the_same_command_into_another_folder_gives_the_same_numbers(steel, finished, tmp_path, monkeypatch):
    # Nothing may come from the cache of the first.
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))
    results = tmp_path / "second"

    # Here workers are forked, there they started as a user's.
    assert main(command(steel, results, methods="softmax,linear")) == 0

    assert but_for_seconds(results / "leaderboard.csv") == but_for_seconds(finished[0] / "leaderboard.csv")
    for method in ("softmax", "linear"):
        name = f"runs/{NAME}-{method}-s0-f0/predictions.csv"
        assert (results / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_finished_folder_is_left_as_it_is_and_no_worker_starts(steel, finished, monkeypatch):
    before = digests(finished[0])
    monkeypatch.setattr("steelbench.runs.scheduler.run_job", lambda *_: pytest.fail("a worker was started"))

    assert main(command(steel, finished[0], methods="softmax,linear")) == 0

    assert digests(finished[0]) == before


def test_changed_epochs_are_refused_with_both_values(steel, finished, capsys):
    before = digests(finished[0])

    assert main([*command(steel, finished[0]), "--epochs", "3"]) == 2

    message = capsys.readouterr().err.splitlines()[-1]
    assert "epochs=2" in message and "epochs=3" in message and "--force" in message
    assert digests(finished[0]) == before


def test_force_replaces_the_named_rows_only(steel, finished, tmp_path):
    results = shutil.copytree(finished[0], tmp_path / "copy")

    assert main([*command(steel, results), "--epochs", "3", "--force"]) == 0

    record = json.loads((results / "runs" / f"{NAME}-softmax-s0-f0" / "result.json").read_text(encoding="utf-8"))
    assert record["settings"]["epochs"] == 3
    kept = {name: digest for name, digest in digests(finished[0]).items() if f"{NAME}-linear" in name and "/" in name}
    new = digests(results)
    assert all(new[name] == digest for name, digest in kept.items() if not name.startswith("figures/"))


@pytest.mark.parametrize("method", ["softmax", "linear"])
def test_the_saved_model_gives_the_predictions_of_the_run(steel, finished, method):
    results = finished[0]
    lines = table(results / "runs" / f"{NAME}-{method}-s0-f0" / "predictions.csv")
    model = steelbench.load_model(results / "models" / f"{NAME}-{method}.h5")

    found = model.predict([read_image(steel / line["path"]) for line in lines])

    expected = np.array([[float(line[f"p_{name}"]) for name in model.classes] for line in lines])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert model.classes == sorted(HOSTILE)
    # Each is the class of the folder that it lies in.
    assert all(Path(line["path"]).parts[0] == line["label"] for line in lines)
    assert [line["predicted"] for line in lines] == [model.classes[index] for index in expected.argmax(axis=1)]


def test_the_command_predicts_the_folder_with_the_empty_image(steel, finished, capsys):
    model = finished[0] / "models" / f"{NAME}-linear.h5"

    assert main(["predict", str(model), str(steel / HOSTILE[0])]) == 1

    lines = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(lines) == 13
    assert [line["reason"] for line in lines if not line["class"]] == ["the file is empty"]
    assert sum(line["class"] == HOSTILE[0] for line in lines) > 6


def test_the_card_says_which_images_the_model_learned_from(steel, finished, tmp_path):
    model = finished[0] / "models" / f"{NAME}-linear.h5"

    # 1 for the empty image.
    assert main(["evaluate", str(model), "--data", str(steel), "--unseen", "--out", str(tmp_path)]) == 1

    found = json.loads((tmp_path / "evaluation.json").read_text(encoding="utf-8"))
    unseen, tested = (
        table(tmp_path / "predictions.csv"),
        table(finished[0] / "runs" / f"{NAME}-linear-s0-f0" / "predictions.csv"),
    )
    assert {line["path"] for line in unseen} == {line["path"] for line in tested}
    assert found["left_out"] == found["learned"] > 0 and not found["unknown_classes"]
    right = sum(line["label"] == line["predicted"] for line in tested)
    assert found["accuracy"] == pytest.approx(right / len(tested))


def test_the_card_of_another_model_is_refused(finished, tmp_path, capsys, steel):
    models = finished[0] / "models"
    shutil.copy(models / f"{NAME}-linear.h5", tmp_path)
    shutil.copy(models / f"{NAME}-softmax.json", tmp_path / f"{NAME}-linear.json")

    assert main(["predict", str(tmp_path / f"{NAME}-linear.h5"), str(steel)]) == 2

    assert "not the file that its card describes" in capsys.readouterr().err


def test_the_empty_image_is_listed_and_counted_and_names_stay_text(finished):
    results = finished[0]
    assert table(results / "skipped_images.csv") == [{"path": f"{HOSTILE[0]}/empty.png", "reason": "the file is empty"}]
    summary = json.loads((results / "results.json").read_text(encoding="utf-8"))
    assert summary["dataset"]["skipped"] == 1 and set(summary["dataset"]["classes"]) == set(HOSTILE)
    page = (results / "report.html").read_text(encoding="utf-8")
    assert not any(name in page for name in HOSTILE if "<" in name)
    assert "empty.png" in page


def test_the_report_can_be_drawn_again(finished, tmp_path, capsys):
    results = shutil.copytree(finished[0], tmp_path / "copy")
    (results / "report.html").unlink()
    shutil.rmtree(results / "figures")

    assert main(["report", str(results)]) == 0

    assert "<table" in (results / "report.html").read_text(encoding="utf-8")
    assert list((results / "figures").glob("*.png"))
    assert str(results / "report.html") in capsys.readouterr().out
