"""`--boxes crop` through the command: run, predict, retrieve and enrol name crops by their addresses."""

import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from annotated_sets import CLASSES, voc_text
from conftest import texture

from steelbench.cli.exit import main
from steelbench.data.crops import source_path
from steelbench.features.cache import spaces
from steelbench.files import cache_folder

pytestmark = pytest.mark.slow

NAME = "mobilenet_v2_035"
NETWORK = ["--backbones", NAME, "--weights", "random", "--image-size", "32", "--epochs", "1", "--engine", "keras"]


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Not the cache of all tests: those of another file may keep as many images of the same network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEELBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """30 images of two textures side by side, each a box of its class; Pascal VOC."""
    import cv2

    root, rng = tmp_path_factory.mktemp("marked"), np.random.default_rng(0)
    kinds = dict(zip(CLASSES, ("rows", "columns", "checks"), strict=True))
    for folder in ("JPEGImages", "Annotations"):
        (root / folder).mkdir()
    for number in range(30):
        pair = [CLASSES[number % 3], CLASSES[(number + number // 3) % 3]]
        pixels = np.concatenate([texture(kinds[name], rng) for name in pair], axis=1)
        assert cv2.imwrite(str(root / "JPEGImages" / f"{number:02}.png"), pixels)
        boxes = [(pair[0], 2, 2, 40, 40), (pair[1], 50, 3, 40, 42)]
        (root / "Annotations" / f"{number:02}.xml").write_text(voc_text(boxes, size=(96, 48)))
    return root


@pytest.fixture(scope="module")
def finished(marked, tmp_path_factory):
    results = tmp_path_factory.mktemp("boxes") / "r"
    methods = ["--methods", "linear,arcface,finetune", "--set", "finetune.trainable=last:4"]
    command = ["run", "--data", str(marked), "--boxes", "crop", "--results", str(results), *NETWORK, *methods]
    assert main(command) == 0
    return results


def predictions(results, method):
    with (results / "runs" / f"{NAME}-{method}-s0-f0" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def table(capsys):
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_the_results_name_crops_and_the_cache_holds_each_once(finished):
    rows = predictions(finished, "linear")
    with (finished / "audit" / "groups.csv").open(newline="", encoding="utf-8") as file:
        everything = {row["file"] for row in csv.DictReader(file)}

    assert len(everything) == 60 and set(rows) < everything and set(Counter(map(source_path, rows)).values()) == {2}
    (space,) = [space for space in spaces(cache_folder()) if space.images == 60 and space.backbone == NAME]
    assert len(space.digests()) == 60
    summary = json.loads((finished / "results.json").read_text("utf-8"))
    assert summary["dataset"]["images"] == 60 and summary["dataset"]["reader"] == "voc"
    assert "SB121" in {told["code"] for told in summary["warnings"]}
    assert json.loads((finished / "config.json").read_text("utf-8"))["boxes"] == "crop"


@pytest.mark.parametrize("method", ["linear", "finetune"])
def test_predict_gives_a_crop_the_probability_of_the_run(finished, marked, method, capsys):
    rows = predictions(finished, method)
    capsys.readouterr()

    given = [str(marked / path) for path in rows]
    assert main(["predict", str(finished / "models" / f"{NAME}-{method}.h5"), *given]) == 0

    found = table(capsys)
    assert [row["path"] for row in found] == given
    for row, (path, expected) in zip(found, rows.items(), strict=True):
        assert row["class"] == expected["predicted"], path
        assert float(row["probability"]) == pytest.approx(float(expected[f"p_{row['class']}"]), abs=1e-4)


def test_predict_says_which_crop_cannot_be_read(finished, marked, capsys):
    model, image = str(finished / "models" / f"{NAME}-linear.h5"), marked / "JPEGImages" / "00.png"
    capsys.readouterr()

    assert main(["predict", model, f"{image}#90,0,10,10", f"{image}#0,0,10,10"]) == 1
    found = table(capsys)
    assert "leaves the image, which is 96 pixels wide" in found[0]["reason"] and found[1]["class"]
    assert main(["predict", model, f"{marked}/none.png#0,0,10,10"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_retrieve_takes_a_crop_as_its_query(finished, marked, tmp_path, capsys):
    model, query = finished / "models" / f"{NAME}-arcface.h5", f"{marked}/JPEGImages/00.png#2,2,40,40"
    capsys.readouterr()

    command = ["retrieve", str(model), "--query", query, "--index", str(marked), "--top", "3"]
    assert main([*command, "--sheet", str(tmp_path / "s.png")]) == 0

    assert len(table(capsys)) == 3 and (tmp_path / "s.png").is_file()


def test_enroll_makes_a_class_of_crops_named_by_their_folder(finished, marked, tmp_path, capsys):
    import steelbench

    model, out = finished / "models" / f"{NAME}-arcface.h5", tmp_path / "more.h5"
    crops = [f"{marked}/JPEGImages/{number:02}.png#2,2,40,40" for number in (0, 3, 6)]

    assert main(["enroll", str(model), *crops, "--out", str(out)]) == 0

    assert "'JPEGImages' is the mean of 3 images" in capsys.readouterr().err
    assert steelbench.load_model(out).classes == [*CLASSES, "JPEGImages"]
    assert main(["enroll", str(model), crops[0], str(tmp_path), "--out", str(tmp_path / "x.h5")]) == 2
    assert "2 folders are named" in capsys.readouterr().err
