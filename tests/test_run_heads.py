"""Many heads, a forecast, other engines and precisions: `steelbench run` beyond its first use."""

import csv
import json
import shutil

import numpy as np
import pytest

import steelbench
from steelbench.cli.exit import main
from steelbench.data.images import read_image
from steelbench.records import RunRecord, read_record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_networks")]

NAME = "mobilenet_v2_035"


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=15, classes=3)


def run(data, results, *more):
    options = ["--backbones", NAME, "--weights", "random", "--image-size", "32", "--epochs", "3"]
    return main(["run", "--data", str(data), "--results", str(results), *options, *more])


def probabilities(run_folder):
    with (run_folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return np.array([[float(value) for key, value in row.items() if key.startswith("p_")] for row in rows])


@pytest.fixture(scope="module")
def many(steel, tmp_path_factory):
    results = tmp_path_factory.mktemp("many") / "results"
    assert run(steel, results, "--folds", "3", "--seeds", "2") == 0
    return results


def test_each_of_many_heads_is_what_it_would_be_alone(steel, many, tmp_path):
    alone = tmp_path / "alone"
    # The same seeds and folds, so the same calibration images; but only the last run is still to do.
    shutil.copytree(many, alone)
    last = f"{NAME}-softmax-s1-f2"
    shutil.rmtree(alone / "runs" / last)
    assert run(steel, alone, "--folds", "3", "--seeds", "2") == 0

    together, single = (probabilities(folder / "runs" / last) for folder in (many, alone))
    assert np.array_equal(together.argmax(1), single.argmax(1))
    assert np.abs(together - single).max() <= 1e-3


def test_only_the_offered_model_is_whole_and_any_other_can_be_stitched(steel, many, capsys):
    assert [path.name for path in (many / "models").glob("*.h5")] == [f"{NAME}-softmax.h5"]
    name = f"{NAME}-softmax-s1-f2"

    assert main(["stitch", str(many), name]) == 0

    path = many / "models" / f"{name}.h5"
    assert capsys.readouterr().out.strip() == str(path)
    model = steelbench.load_model(path)
    with (many / "runs" / name / "predictions.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    got = model.predict([read_image(steel / place) for place in paths])
    assert np.abs(got - probabilities(many / "runs" / name)).max() <= 1e-4
    assert model.card.seed == 1 and model.card.fold == 2
    path.unlink()
    path.with_suffix(".json").unlink()


def test_stitching_what_is_not_there_is_refused(many, capsys):
    assert main(["stitch", str(many), "../models"]) == 2
    assert main(["stitch", str(many), f"{NAME}-softmax-s7-f0"]) == 2
    assert f"{NAME}-softmax-s0-f0" in capsys.readouterr().err


def test_a_forecast_runs_nothing_and_tells_what_is_cached(steel, many, tmp_path, capsys):
    assert run(steel, tmp_path / "none", "--folds", "3", "--seeds", "2", "--dry-run") == 0

    told = capsys.readouterr().out
    assert not (tmp_path / "none").exists()
    assert "6 of 6 runs to do" in told and "Nothing was run" in told
    row = next(line.split() for line in told.splitlines() if line.startswith(NAME))
    assert row[1:5] == ["32", "6", "45", "45"]

    assert run(steel, many, "--folds", "3", "--seeds", "2", "--dry-run") == 0
    assert "0 of 6 runs to do" in capsys.readouterr().out


def test_engines_agree_within_one_image(steel, tmp_path):
    for engine in ("keras", "openvino"):
        assert run(steel, tmp_path / engine, "--engine", engine) == 0
    rows = {}
    for engine in ("keras", "openvino"):
        with (tmp_path / engine / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
            row = next(row for row in csv.DictReader(file) if row["backbone"] == NAME)
        assert row["engine"] == engine
        rows[engine] = float(row["accuracy"]) * int(row["n_test"])
    assert abs(rows["keras"] - rows["openvino"]) <= 1.001


def test_another_engine_is_not_mixed_into_finished_runs(steel, many, capsys):
    assert run(steel, many, "--folds", "3", "--seeds", "2", "--engine", "keras") == 2

    assert "engine openvino" in capsys.readouterr().err


def test_what_bfloat16_claims_stands_beside_the_saved_model(steel, tmp_path, capsys):
    assert run(steel, tmp_path / "r", "--precision", "bfloat16") == 0

    with (tmp_path / "r" / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if row["backbone"] == NAME)
    assert row["precision"] == "bfloat16"
    [path] = (tmp_path / "r" / "runs").glob(f"{NAME}-*/result.json")
    verified = read_record(path, RunRecord).verification
    assert verified.max_difference > 0
    assert float(row["verified_difference"]) == pytest.approx(verified.max_difference, rel=0.02)
    assert int(row["verified_classes_changed"]) == verified.classes_changed
    summary = json.loads((tmp_path / "r" / "results.json").read_text(encoding="utf-8"))
    assert any("cosine" in notice["text"] for notice in summary["warnings"])
    assert "cosine" in capsys.readouterr().err


def test_events_for_tensorboard_on_request(steel, tmp_path):
    pytest.importorskip("tensorboard")
    assert run(steel, tmp_path / "r", "--track", "tensorboard", "--engine", "keras") == 0

    assert list((tmp_path / "r" / "tensorboard").rglob("events.*"))
