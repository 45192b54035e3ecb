"""`steelbench run --with unknown`: added to a finished folder, taken up again, and what the saved models say then."""

import csv
import io

import pytest

from steelbench.cli.exit import main
from steelbench.models.model_card import read_card_file
from steelbench.records import Summary, UnknownRecord, read_record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_networks")]

NAME = "mobilenet_v2_035"
ROWS = (f"{NAME}-linear", f"{NAME}-knn")


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=20, classes=4)


def run(data, results, *more):
    options = ["--backbones", NAME, "--weights", "random", "--image-size", "32", "--methods", "linear,knn"]
    options += ["--engine", "keras"]
    return main(["run", "--data", str(data), "--results", str(results), *options, *more])


def times(results, pattern):
    return {path: path.stat().st_mtime_ns for path in results.glob(pattern)}


def test_a_finished_folder_gets_the_test_without_being_trained_again(steel, tmp_path, capsys):
    results = tmp_path / "results"
    assert run(steel, results) == 0
    trained, models = times(results, f"runs/{NAME}-*/result.json"), times(results, "models/*.h5")
    assert (
        not (results / "unknown").exists() and read_card_file(results / "models" / f"{ROWS[0]}.json").unfamiliar is None
    )

    assert run(steel, results, "--with", "unknown") == 0

    assert times(results, f"runs/{NAME}-*/result.json") == trained and times(results, "models/*.h5") == models
    summary = read_record(results / "results.json", Summary)
    for name in ROWS:
        own = read_record(results / "unknown" / f"{name}.json", UnknownRecord)
        assert next(row.unknown for row in summary.rows if row.name == name) == own
        assert [one.name for one in own.classes] == list(summary.dataset.classes)
        assert ("energy" in own.mean) == (name == ROWS[0]) and own.best in own.mean
        assert read_card_file(results / "models" / f"{name}.json").unfamiliar == own.card
    capsys.readouterr()
    assert main(["predict", str(results / "models" / f"{ROWS[1]}.h5"), str(steel)]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == 80 and "false" in {line["unfamiliar"] for line in lines} <= {"true", "false"}

    # Killed before the second row was measured, or before the leaderboard was written.
    complete = times(results, "unknown/*.json")
    assert run(steel, results, "--with", "unknown") == 0
    assert times(results, "unknown/*.json") == complete
    (results / "unknown" / f"{ROWS[1]}.json").unlink()
    assert run(steel, results, "--with", "unknown") == 0
    again = times(results, "unknown/*.json")
    first, second = (results / "unknown" / f"{name}.json" for name in ROWS)
    assert again[first] == complete[first] and again[second] > complete[second]
    assert times(results, f"runs/{NAME}-*/result.json") == trained
