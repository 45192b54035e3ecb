"""Which rows are tested with unknown defects, which cannot be, and whose records still count."""

import json
import os
from types import SimpleNamespace

import pytest

from steelbench.experiment import Experiment, Finetune, Linear, RunOptions, Supcon
from steelbench.files import write_json
from steelbench.models.weight_files import Origin
from steelbench.records import UnknownRecord, read_unknown, unknown_file
from steelbench.runs.fingerprint import fingerprint, identity
from steelbench.runs.results_folder import clear, is_complete
from steelbench.runs.unknown_plan import pass_over, untested

CONFIG = {"data_digest": "d", "split": "grouped", "audit": 1, "folds": 1, "seeds": 2}
FROZEN = Experiment(backbone="vgg19", method=Linear())


def inputs(results, *experiments, classes=4, with_=("unknown",)):
    every = [
        Experiment(backbone=own.backbone, method=own.method, seed=seed) for own in experiments for seed in range(2)
    ]
    return SimpleNamespace(
        options=RunOptions(data="x", results=results, with_=with_),
        experiments=every,
        inspection=SimpleNamespace(classes=["c"] * classes),
        origins={"vgg19": Origin("random")},
        config=CONFIG,
    )


def write(found, **fields):
    experiment = found.experiments[0]
    own = fingerprint(identity(experiment, found.options, found.origins, found.config))
    record = UnknownRecord(**{"name": experiment.name, "fingerprint": own} | fields)
    write_json(unknown_file(found.options.results, experiment.name), record)


def test_nothing_is_asked_for_without_the_option(tmp_path):
    assert untested(inputs(tmp_path, FROZEN, with_=())) == []
    assert untested(inputs(tmp_path, FROZEN, with_=("robustness",))) == []


def test_each_row_is_tested_once_on_seed_0(tmp_path):
    found = inputs(tmp_path, FROZEN)

    assert untested(found) == [FROZEN]
    write(found)
    assert untested(found) == []


@pytest.mark.parametrize("fields", [{"fingerprint": "of another run"}, {"version": 0}])
def test_a_record_of_another_run_or_of_another_way_to_measure_is_made_anew(tmp_path, fields):
    found = inputs(tmp_path, FROZEN)
    write(found, **fields)

    assert untested(found) == [FROZEN]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": 3}', '{"name": "x", "fingerprint": "f", "seconds": NaN}'])
def test_a_damaged_record_is_made_anew(tmp_path, text):
    path = unknown_file(tmp_path, FROZEN.name)
    path.parent.mkdir()
    path.write_text(text)

    assert untested(inputs(tmp_path, FROZEN)) == [FROZEN] and read_unknown(tmp_path, FROZEN.name, "f") is None


@pytest.mark.parametrize(
    ("method", "classes", "words"),
    [(Finetune(), 4, "trains the backbone"), (Supcon(trainable="last:2"), 4, "backbone"), (Linear(), 2, "2 classes")],
)
def test_what_cannot_be_tested_is_said_once(tmp_path, method, classes, words):
    found = inputs(tmp_path, Experiment(backbone="vgg19", method=method), classes=classes)

    assert pass_over(untested(found), found) == [] and untested(found) == []

    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "unknown").iterdir())
    assert words in record["reason"] and record["best"] is None and record["classes"] == []


def test_rows_on_frozen_features_are_left_to_be_tested(tmp_path):
    found = inputs(tmp_path, FROZEN, Experiment(backbone="vgg19", method=Finetune()))

    assert pass_over(untested(found), found) == [FROZEN]


def test_a_record_newer_than_the_leaderboard_is_not_in_it_yet(tmp_path):
    for name in ("runs/x-s0-f0/result.json", "results.json", "leaderboard.csv", "report.html", "unknown/x.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (1, 1))
    assert is_complete(tmp_path)

    os.utime(tmp_path / "unknown" / "x.json", (2, 2))

    assert not is_complete(tmp_path)


def test_force_deletes_what_belongs_to_the_rows_that_are_made_anew(tmp_path):
    write_json(tmp_path / "config.json", CONFIG)
    for name in (FROZEN.name, "other"):
        for path in (f"unknown/{name}.json", f"models/{name}.h5", f"models/{name}.unfamiliar.npz"):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).touch()

    clear(tmp_path, CONFIG, [FROZEN])

    left = sorted(path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "config.json")
    assert left == ["other.h5", "other.json", "other.unfamiliar.npz"]
    clear(tmp_path, CONFIG | {"data_digest": "e"}, [FROZEN])
    assert not (tmp_path / "unknown").exists()
