"""Real images and genuine weights: what the project promises about NEU and X-SDD."""

import csv
import json

import pytest

from steelbench.cli.exit import main
from steelbench.data.crops import source_path
from steelbench.evaluation.error_tables import DOSSIERS, ERRORS_FILE, read_errors
from steelbench.records import ActivationMaps, activation_map_file, read_record

pytestmark = pytest.mark.slow


def leaderboard(data, weights, results, backbones, methods):
    names = ["--backbones", backbones, "--methods", methods]
    code = main(["run", "--data", str(data), *names, "--weights-dir", str(weights), "--results", str(results)])
    assert code == 0
    with (results / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["backbone"] != "none"]


def every_dossier_says_where_each_row_looked(results):
    errors = read_errors(results / ERRORS_FILE)
    hardest = list(dict.fromkeys(error.path for error in errors))[:DOSSIERS]
    shown = {(error.row, error.path) for error in errors if error.path in hardest}
    records = {row: read_record(activation_map_file(results, row), ActivationMaps) for row, _ in shown}
    assert shown and {(row, own.path) for row, record in records.items() for own in record.maps} == shown
    assert all(own.peak > 0 and (own.rows, own.columns) == (7, 7) for record in records.values() for own in record.maps)
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.count('class="looked"') >= len(hardest) and "looked is not recorded" not in page


@pytest.mark.parametrize(
    ("name", "methods", "column", "least"),
    [("NEU", "softmax,linear", "accuracy", 0.985), ("X-SDD", "softmax,linear", "macro_f1", 0.95)],
)
def test_mobilenets_reach_what_is_known_of_them(data_folder, weights_folder, tmp_path, name, methods, column, least):
    rows = leaderboard(data_folder / name, weights_folder, tmp_path / "r", "mobilenet_v2_035", methods)

    assert len(rows) == 1 + methods.count(",")
    assert all(float(row[column]) >= least for row in rows), rows
    assert all(float(row["verified_difference"]) <= 1e-4 for row in rows)
    every_dossier_says_where_each_row_looked(tmp_path / "r")
    if name == "NEU":
        with (tmp_path / "r" / "audit" / "pairs.csv").open(newline="", encoding="utf-8") as file:
            kinds = [pair["kind"] for pair in csv.DictReader(file)]
        assert kinds.count("exact") == 1 and kinds.count("overlap") >= 2500


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


def laid_out(data, root, layout, every=1):
    """NEU-DET as it is downloaded, by links: flat, or in parts with class folders; or every third image of it."""
    annotations = {path.stem: path for path in (data / "NEU-annotations").glob("*.xml")}
    for image in sorted((data / "NEU").rglob("*.jpg"))[::every]:
        known = image.stem in annotations
        part = root / ("train" if known else "validation")
        to = root / "IMAGES" if layout == "flat" else part / "images" / image.parent.name
        xml = root / "ANNOTATIONS" if layout == "flat" else part / "annotations"
        for folder, file in ((to, image), (xml, annotations.get(image.stem))):
            folder.mkdir(parents=True, exist_ok=True)
            if file:
                (folder / file.name).symlink_to(file)
    return root


@pytest.mark.parametrize(("layout", "samples"), [("flat", 3853), ("nested", 3853)])
def test_neu_det_is_the_same_boxes_in_both_layouts(data_folder, tmp_path, capsys, layout, samples):
    data = laid_out(data_folder, tmp_path / "NEU-DET", layout)

    assert main(["data", "check", str(data), "--boxes", "crop"]) == 0

    told = capsys.readouterr().out
    assert f"{samples} images in 6 classes" in told and "270 boxes" in told


@pytest.mark.parametrize(("layout", "boxes", "least"), [("nested", "crop", 0.93), ("flat", "image", 0.97)])
def test_neu_det_by_its_boxes(data_folder, weights_folder, tmp_path, layout, boxes, least):
    """Every third image. Of all, 4126 boxes in 1770 of the 1800 images; in 121 of them boxes of several classes."""
    data, results = laid_out(data_folder, tmp_path / "NEU-DET", layout, every=3), tmp_path / "r"
    command = ["run", "--data", str(data), "--boxes", boxes, "--backbones", "mobilenet_v2_035", "--methods", "linear"]

    assert main([*command, "--weights-dir", str(weights_folder), "--results", str(results)]) == 0

    summary = json.loads((results / "results.json").read_text(encoding="utf-8"))
    left_out, images = summary["dataset"]["left_out"], summary["dataset"]["images"]
    assert left_out.pop("without an annotation") == 9
    assert images + sum(left_out.values()) == (1379 if boxes == "crop" else 591)
    assert left_out.get("with boxes of several classes", 0) == (37 if boxes == "image" else 0)
    assert summary["split"]["leaking"] == 0
    (row,) = [row for row in summary["rows"] if row["backbone"] != "none"]
    assert row["accuracy"] >= least
    with (results / "audit" / "groups.csv").open(newline="", encoding="utf-8") as file:
        everything = {row["file"] for row in csv.DictReader(file)}
    with (results / "runs" / f"{row['name']}-s0-f0" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        test = {row["path"] for row in csv.DictReader(file)}
    assert len(everything) == images and test < everything
    assert not {source_path(path) for path in test} & {source_path(path) for path in everything - test}
