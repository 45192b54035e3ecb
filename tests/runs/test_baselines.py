"""The runs without a network: written once for each seed and fold, done again only for other data."""

import csv

import numpy as np
import pytest

from steelbench.experiment import Experiment, Knn, RunOptions
from steelbench.records import RunKey, RunRecord, read_record
from steelbench.runs import baselines
from steelbench.runs.baselines import run_hog, run_majority
from steelbench.runs.make_jobs import make_data
from steelbench.runs.preparation import prepare, split_and_audit


@pytest.fixture(scope="module")
def data(tiny_images, tmp_path_factory):
    """Images and splits of three folds and two seeds."""
    folder, wanted = tmp_path_factory.mktemp("none"), [Experiment(backbone="mobilenet_v2_035", method=Knn())]
    options = RunOptions(data=str(tiny_images()), results=folder, weights="random", folds=3, seeds=2)
    inputs = prepare(options, wanted, "", lambda *_: None)
    return make_data(inputs, split_and_audit(inputs, lambda *_: None).plan)


RUNS = [(seed, fold) for seed in range(2) for fold in range(3)]


def records(results, method):
    return [
        read_record(results / "runs" / f"none-{method}-s{seed}-f{fold}" / "result.json", RunRecord)
        for seed, fold in RUNS
    ]


def test_hog_runs_are_written_once_and_descriptors_are_kept(data, tmp_path, monkeypatch):
    def go(fingerprint):
        assert run_hog(tmp_path / "results", data, tmp_path / "cache", fingerprint) == {}

    go("one")
    assert all((record.backbone, record.method) == ("none", "hog") and record.params for record in records(tmp_path / "results", "hog"))  # noqa: E501 # fmt: skip
    computed, trained, real = [], [], baselines.hog.train_svm
    monkeypatch.setattr(baselines.hog, "descriptor", lambda pixels: computed.append(1))
    monkeypatch.setattr(baselines.hog, "train_svm", lambda *given: trained.append(1) or real(*given))
    go("one")
    assert not trained
    go("other data")
    assert len(trained) == len(RUNS) and not computed


def test_a_hog_that_fails_is_a_reason_for_each_of_its_runs(data, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no such device")

    monkeypatch.setattr(baselines.hog, "descriptors", fail)

    failures = run_hog(tmp_path, data, tmp_path / "cache", "f")

    assert failures == {
        RunKey(backbone="none", method="hog", seed=seed, fold=fold): "no such device" for seed, fold in RUNS
    }


def test_the_majority_run_predicts_the_class_shares_of_its_training_images(data, tmp_path):
    run_majority(tmp_path, data)

    for record, ref in zip(records(tmp_path, "majority"), data.splits, strict=True):
        labels = [data.images[row].label for row in ref.train]
        shares = [labels.count(number) / len(labels) for number in range(len(data.classes))]
        with (tmp_path / "runs" / record.run_name / "predictions.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        assert [line["path"] for line in lines] == [data.images[row].path for row in ref.test]
        assert [line["label"] for line in lines] == [data.classes[data.images[row].label] for row in ref.test]
        found = [[float(line[f"p_{name}"]) for name in data.classes] for line in lines]
        np.testing.assert_allclose(found, [shares] * len(lines), rtol=1e-5)
        sizes = (record.n_train, record.n_validation, record.n_test)
        assert sizes == tuple(map(len, (ref.train, ref.validation, ref.test)))
