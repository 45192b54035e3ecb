"""Published numbers: which data sets are known, and that the files agree with their sources."""

import csv

import pytest

from steelbench.evaluation.published import FOLDER, KNOWN, published_for

X_SDD = list(KNOWN["x-sdd.csv"])


@pytest.mark.parametrize("file", KNOWN)
def test_every_file_is_there_and_every_number_is_a_share(file):
    rows = published_for(KNOWN[file])

    assert rows
    assert all(0 < row.accuracy <= 1 and (row.macro_f1 is None or 0 < row.macro_f1 < 1) for row in rows)
    assert all(row.source and row.url.startswith("https://") and row.remark and row.leak for row in rows)
    assert [row.accuracy for row in rows] == sorted((row.accuracy for row in rows), reverse=True)


def test_files_hold_nothing_that_is_not_shown():
    with (FOLDER / "x-sdd.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == len(published_for(X_SDD)) == 15


def test_the_source_s_best_and_its_majority_class_are_as_they_were_printed():
    assert published_for(X_SDD)[0].accuracy == 0.9972
    first = next(row for row in published_for(X_SDD) if row.source.startswith("Feng"))
    assert (first.model, first.accuracy) == ("RepVGG_B3g4+SA", 0.951)
    severstal = {row.model: row for row in published_for(KNOWN["severstal.csv"])}
    assert severstal["EfficientNetB0"].accuracy == 0.7259
    assert "majority class" in severstal["EfficientNetB0"].remark


def test_names_are_compared_without_case_and_separators():
    assert published_for([name.upper().replace(" ", "_") for name in X_SDD]) == published_for(X_SDD)
    assert published_for(["Defect 4", "none", "defect_2", "defect_1", "defect_3"])


@pytest.mark.parametrize("classes", [[], ["a", "b"], X_SDD[:-1], [*X_SDD, "other"]])
def test_an_unknown_data_set_has_none(classes):
    assert published_for(classes) == []
