"""Real images and genuine weights: what the project promises about NEU and X-SDD."""

import csv
import json

import pytest

from steelbench.cli.exit import main

pytestmark = pytest.mark.slow


def leaderboard(data, weights, results):
    names = ["--backbones", "mobilenet_v2,mobilenet_v2_035", "--methods", "softmax,linear"]
    code = main(["run", "--data", str(data), *names, "--weights-dir", str(weights), "--results", str(results)])
    assert code == 0
    with (results / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["backbone"] != "none"]


@pytest.mark.parametrize(("name", "column", "least"), [("NEU", "accuracy", 0.985), ("X-SDD", "macro_f1", 0.95)])
def test_mobilenets_reach_what_is_known_of_them(data_folder, weights_folder, tmp_path, name, column, least):
    rows = leaderboard(data_folder / name, weights_folder, tmp_path / "r")

    assert len(rows) == 4
    assert all(float(row[column]) >= least for row in rows), rows
    assert all(float(row["verified_difference"]) <= 1e-4 for row in rows)


def test_the_real_severstal_layout_is_read(data_folder, weights_folder, tmp_path):
    results = tmp_path / "r"
    code = main(
        ["run", "--data", str(data_folder / "Severstal-sample"), "--backbones", "mobilenet_v2_035", "--methods",
         "linear", "--weights-dir", str(weights_folder), "--results", str(results)]
    )  # fmt: skip

    assert code == 0
    dataset = json.loads((results / "results.json").read_text(encoding="utf-8"))["dataset"]
    assert dataset["classes"] == {"defect_1": 3, "defect_3": 7}
    assert sum(dataset["left_out"].values()) == 15
