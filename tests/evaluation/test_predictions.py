"""Predictions put together by hand, and groups from a file."""

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.evaluation.predictions import UNTESTED, gather, groups_of_paths, read_groups
from steelbench.records import RunRecord

CLASSES = ["a", "b"]


def write_run(results, seed, fold, lines):
    """A run that was given (path, label, predicted)."""
    record = RunRecord(
        backbone="x",
        method="m",
        seed=seed,
        fold=fold,
        settings={},
        fingerprint="f",
        classes=CLASSES,
        n_train=8,
        n_validation=2,
        n_test=len(lines),
        image_size=8,
        weights={},
        engine="",
        precision="",
        params=0,
        metrics={},
        seconds={},
    )
    folder = results / "runs" / record.run_name
    folder.mkdir(parents=True)
    text = "".join(f"{line}\n" for line in ["path,label,predicted", *(",".join(line) for line in lines)])
    (folder / "predictions.csv").write_text(text, encoding="utf-8")
    return record


def test_seeds_that_tested_different_images_leave_holes(tmp_path):
    records = [
        write_run(tmp_path, 1, 0, [("2", "b", "a"), ("1", "a", "a")]),
        write_run(tmp_path, 0, 0, [("3", "b", "b"), ("2", "b", "b")]),
    ]

    answers = gather(tmp_path, records)

    assert answers.paths == ["1", "2", "3"] and not answers.complete
    np.testing.assert_array_equal(answers.y_true, [0, 1, 1])
    np.testing.assert_array_equal(answers.y_pred, [[UNTESTED, 1, 1], [0, 0, UNTESTED]])
    truth, predicted, image = answers.flat()
    np.testing.assert_array_equal(truth, [1, 1, 0, 1])
    np.testing.assert_array_equal(predicted, [1, 1, 0, 0])
    np.testing.assert_array_equal(image, [1, 2, 0, 1])
    assert [(run.seed, run.fold, run.accuracy) for run in answers.runs] == [(0, 0, 1.0), (1, 0, 0.5)]


def test_folds_of_a_seed_are_one_line_and_cross_validation_has_no_holes(tmp_path):
    records = [
        write_run(tmp_path, seed, fold, [(f"{fold}", "a", "ab"[seed]), (f"{fold + 5}", "b", "b")])
        for seed in range(2)
        for fold in range(2)
    ]

    answers = gather(tmp_path, records)

    assert answers.complete and answers.paths == ["0", "1", "5", "6"]
    np.testing.assert_array_equal(answers.y_pred, [[0, 0, 1, 1], [1, 1, 1, 1]])
    truth, predicted, image = answers.table()
    np.testing.assert_array_equal(truth, [0, 0, 1, 1])
    np.testing.assert_array_equal(image, [0, 1, 2, 3])
    assert predicted.shape == (2, 4)


def test_files_that_the_groups_do_not_name_are_alone(tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "groups.csv").write_text("file,group\nx,7\ny,3\nz,7\n", encoding="utf-8")

    numbers = groups_of_paths(["z", "7", "y", "x", "3"], read_groups(tmp_path))

    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 4


def test_without_a_file_every_image_is_its_own_group(tmp_path):
    assert read_groups(tmp_path) == {}
    assert sorted(groups_of_paths(["b", "a", "c"], {}).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("content", [b"path,number\nx,1\n", b"\xff\xfe\0"])
def test_damaged_groups_are_refused_and_named(tmp_path, content):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "groups.csv").write_bytes(content)

    with pytest.raises(SteelbenchError, match=r"groups\.csv is damaged .*--force"):
        read_groups(tmp_path)
