"""Wrong answers of a results folder, counted by hand."""

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import (
    ERRORS_FILE,
    NEIGHBOURS_FILE,
    read_errors,
    write_errors,
    write_neighbours,
)
from steelbench.evaluation.errors import find_errors
from steelbench.evaluation.predictions import write_predictions
from steelbench.evaluation.trust import describe_trust, read_probabilities
from steelbench.records import RunRecord

CLASSES = ["a", "b", "=c"]


def write_run(results, backbone, answers, seed=0, neighbours=None, **notes):
    """A run that gave each path (its label and) these probabilities."""
    record = RunRecord(
        backbone=backbone,
        method="m",
        seed=seed,
        fold=0,
        settings={},
        fingerprint="f",
        classes=CLASSES,
        n_train=8,
        n_validation=2,
        n_test=len(answers),
        image_size=8,
        weights={},
        engine="",
        precision="",
        params=0,
        metrics={},
        seconds={},
        notes=notes,
    )
    folder = results / "runs" / record.run_name
    folder.mkdir(parents=True)
    labels, shares = zip(*answers.values(), strict=True)
    write_predictions(folder / "predictions.csv", list(answers), labels, np.array(shares, np.float32), CLASSES)
    if neighbours:
        write_neighbours(folder / NEIGHBOURS_FILE, list(neighbours), list(neighbours.values()))
    return record


@pytest.fixture
def results(tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "pairs.csv").write_text(
        "file_a,file_b,kind,overlap,dy,dx,same_label\n2,9,exact,1,0,0,false\n1,9,exact,1,0,0,true\n"
    )
    return tmp_path


def runs(results):
    first = {"1": ("a", [0.8, 0.1, 0.1]), "2": ("b", [0.6, 0.3, 0.1]), "3": ("=c", [0.0, 0.9, 0.1])}
    again = {"1": ("a", [0.7, 0.2, 0.1]), "2": ("b", [0.1, 0.8, 0.1]), "3": ("=c", [0.0, 0.7, 0.3])}
    other = {"1": ("a", [0.9, 0.1, 0.0]), "2": ("b", [0.7, 0.2, 0.1]), "3": ("=c", [0.6, 0.1, 0.3])}
    return {
        "x-m": [
            write_run(results, "x", first, neighbours={"3": ["n,1", "n2", "n3"], "2": ["n4"]}),
            write_run(results, "x", again, seed=1, neighbours={"3": ["other"]}),
        ],
        "y-m": [write_run(results, "y", other)],
    }


def test_images_that_every_row_fails_on_come_first_and_seeds_are_averaged(results):
    errors = find_errors(results, runs(results))

    assert [(own.row, own.path, own.predicted, own.rows_wrong, own.rows_tested) for own in errors] == [
        ("x-m", "3", "b", 2, 2),
        ("y-m", "3", "a", 2, 2),
        ("y-m", "2", "a", 1, 2),
    ]
    # The mean of both seeds names image 2 rightly: .55 of b against .35 of a.
    assert (errors[0].probability, errors[0].label_probability) == pytest.approx((0.8, 0.2))
    assert errors[0].neighbours == ("n,1", "n2", "n3") and errors[1].neighbours == ()
    assert [own.shares_pixels for own in errors] == [False, False, True]


def test_the_table_gives_back_what_was_written(results):
    errors = find_errors(results, runs(results))
    write_errors(results / ERRORS_FILE, errors)

    again = read_errors(results / ERRORS_FILE)

    assert [own.neighbours for own in again] == [own.neighbours for own in errors]
    assert [(own.row, own.path, own.label, own.shares_pixels) for own in again] == [
        (own.row, own.path, own.label, own.shares_pixels) for own in errors
    ]


@pytest.mark.parametrize(
    "text", ["", "row,path\nx,1\n", "row,path,label,predicted,probability\nx,1,a,b,much\n", "\xff"]
)
def test_a_damaged_table_is_no_table(tmp_path, text):
    (tmp_path / ERRORS_FILE).write_text(text, encoding="latin-1")

    assert not read_errors(tmp_path / ERRORS_FILE)
    assert read_errors(tmp_path / "nowhere.csv") is None


def test_probabilities_are_refused_that_are_none(results):
    record = write_run(results, "z", {"1": ("a", [0.8, 0.1, 0.1])})
    path = results / "runs" / record.run_name / "predictions.csv"
    paths, labels, shares = read_probabilities(path, CLASSES)
    assert (paths, labels.tolist()) == (["1"], [0]) and shares == pytest.approx(np.array([[0.8, 0.1, 0.1]]))

    for wrong in ("1.5", "nan", "-0.1", "x"):
        path.write_text(f"path,label,predicted,p_a,p_b,p_=c\n1,a,a,{wrong},0,0\n")
        with pytest.raises(SteelbenchError, match="damaged"):
            read_probabilities(path, CLASSES)


def test_trust_undoes_the_temperature_of_each_run(results):
    logits = np.log(np.array([0.9, 0.06, 0.04]))
    cooled = np.exp(logits / 2) / np.exp(logits / 2).sum()
    record = write_run(
        results,
        "x",
        {"1": ("a", cooled), "2": ("b", cooled), "3": ("a", cooled), "4": ("a", cooled)},
        calibration_temperature=2.0,
    )

    trust = describe_trust(results, [record], CLASSES, {})

    assert trust.temperature == pytest.approx(2.0)
    assert trust.calibration_error == pytest.approx(abs(0.75 - cooled[0]), abs=1e-6)
    assert trust.calibration_error_raw == pytest.approx(0.15, abs=1e-5)
    at = trust.thresholds.index(0.6)
    assert cooled[0] > 0.6 and (trust.referred[at], trust.escaped[at]) == (0.0, 0.25)
    assert [own.threshold for own in trust.promises] == [None] * 4
