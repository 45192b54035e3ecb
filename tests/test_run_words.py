"""What a run says of numbers that are easily misread; without a network, so the row in question is HOG's."""

import json

import cv2
import numpy as np
import pytest
from conftest import texture

from steelbench.cli.commands.run import execute
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
