"""What a run says of numbers that are easily misread; without a network, so the row in question is HOG's."""

import json
import shutil

import cv2
import numpy as np
import pytest
from conftest import texture

from steelbench.cli.commands.run import execute
from steelbench.errors import SteelbenchError
from steelbench.experiment import RunOptions


def write_images(folder, kind, count, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        (folder / f"{kind}-{number:03}.png").write_bytes(cv2.imencode(".png", texture(kind, rng))[1].tobytes())


def run_baselines(data, results, capsys, **options):
    """Run HOG and the majority class alone; returns the records, the page and what was printed."""
    assert execute(RunOptions(data=str(data), results=results, **options), [], "steelbench run") == 0
    page = (results / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr()
    return json.loads((results / "results.json").read_text(encoding="utf-8")), page, printed.out + printed.err


@pytest.fixture(scope="module")
def unbalanced(tmp_path_factory):
    root = tmp_path_factory.mktemp("unbalanced")
    write_images(root / "rows", "rows", 90)
    write_images(root / "columns", "columns", 10)
    return root


def test_all_right_on_ninety_to_ten_is_not_shown_to_be_above_and_never_nothing_learned(unbalanced, tmp_path, capsys):
    records, page, printed = run_baselines(unbalanced, tmp_path / "results", capsys)

    hog, majority = records["rows"]
    assert (hog["accuracy"], majority["accuracy"]) == (1.0, 0.9)
    (told,) = [notice for notice in records["warnings"] if notice["row"] == "none-hog"]
    assert told["code"] == "SB402"
    for text in (told["text"], page, printed):
        assert "is not shown to be above always naming the largest class (90.0%)" in text
        assert "About 29 independent test images would show it; those tested tell as much as 20." in text
        assert "learned nothing" not in text


@pytest.fixture(scope="module")
def torn(tmp_path_factory):
    """A split that the data brings; four test images are copies of training images. Class `checks` is not tested."""
    root = tmp_path_factory.mktemp("torn")
    for kind in ("rows", "columns", "checks"):
        write_images(root / "train" / kind, kind, 14)
        write_images(root / "val" / kind, kind, 4, seed=2)
    for kind in ("rows", "columns"):
        write_images(root / "test" / kind, kind, 8, seed=1)
        for number in range(2):
            data = (root / "train" / kind / f"{kind}-{number:03}.png").read_bytes()
            (root / "test" / kind / f"copy-{number}.png").write_bytes(data)
    return root


def notices_of(records):
    return {notice["code"]: notice["text"] for notice in records["warnings"]}


def test_the_datas_own_split_is_called_so_and_what_leaks_is_named(torn, tmp_path, capsys):
    records, page, printed = run_baselines(torn, tmp_path / "results", capsys)

    assert records["split"]["kind"] == "own"
    for text in (page.replace("&#39;", "'"), printed):
        assert "the data's own split" in text and "grouped split\n" not in text
        assert "20.0% of the test images" in text
        for word in ("test/columns/copy-0.png, test/columns/copy-1.png, test/rows/copy-0.png and 1 more", "groups.csv"):
            assert word in text
        assert "Move these files to the training part" in text and "--split regroup" in text
        assert "--split grouped" not in text
    # Its folds are refused, so they are no advice without drawing the split anew.
    assert "(--folds 5)" not in printed and "(--split regroup --folds 5)" in printed
    assert "same command with --folds" not in printed


def test_moving_the_named_files_ends_the_leak(torn, tmp_path, capsys):
    mended = shutil.copytree(torn, tmp_path / "mended")
    for path in (mended / "test").glob("*/copy-*.png"):
        path.rename(mended / "train" / path.parent.name / path.name)

    records, _, _ = run_baselines(mended, tmp_path / "results", capsys)

    assert records["split"]["leaking"] == 0 and "SB201" not in notices_of(records)


def test_a_class_without_test_images_is_left_out_of_macro_f1_and_said(torn, tmp_path, capsys):
    records, _, printed = run_baselines(torn, tmp_path / "results", capsys)

    hog = records["rows"][0]
    assert (hog["accuracy"], hog["macro_f1"], hog["macro_f1_high"], hog["balanced_accuracy"]) == (1, 1, 1, 1)
    told = notices_of(records)["SB502"]
    assert "'checks'" in told and "macro-F1 and balanced accuracy leave the class out" in told and told in printed


def test_regroup_draws_a_grouped_split_over_all_parts(torn, tmp_path, capsys):
    results = tmp_path / "results"

    records, page, printed = run_baselines(torn, results, capsys, split="regroup", folds=3, seeds=2)

    assert records["split"]["kind"] == "regroup" and records["split"]["leaking"] == 0
    # Every image of every part is tested once for each seed; the copies are on one side.
    assert records["rows"][0]["n_test"] == 74
    assert {found["name"]: found["support"] for found in records["rows"][0]["per_class"]}["checks"] == 2 * 18
    assert "grouped split over all parts" in page and "grouped split over all parts" in printed
    assert not {"SB201", "SB502"} & set(notices_of(records))
    assert json.loads((results / "config.json").read_text())["split"] == "regroup"
    with pytest.raises(SteelbenchError, match=r"other split \(--split\): regroup"):
        execute(RunOptions(data=str(torn), results=results, seeds=2), [], "steelbench run")


def test_folds_of_the_datas_own_split_are_refused_with_what_works(torn, tmp_path):
    with pytest.raises(SteelbenchError, match=r"own split.*leave --folds out, or add --split regroup"):
        execute(RunOptions(data=str(torn), results=tmp_path / "results", folds=3), [], "steelbench run")


def test_a_random_split_is_told_to_be_left_out(torn, tmp_path, capsys):
    flat = tmp_path / "flat"
    for kind in ("rows", "columns"):
        shutil.copytree(torn / "train" / kind, flat / kind)
        for number in range(10):
            shutil.copy(flat / kind / f"{kind}-{number:03}.png", flat / kind / f"copy-{number}.png")

    records, _, _ = run_baselines(flat, tmp_path / "results", capsys, split="random")

    assert records["split"]["kind"] == "random"
    told = notices_of(records)["SB201"]
    assert told.endswith("Leave --split random out.") and "Move" not in told
