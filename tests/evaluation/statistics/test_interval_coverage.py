"""The benchmark that measures the statistics: it runs what the leaderboard runs, and knows its truth."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from steelbench.evaluation import metrics, ranking
from steelbench.evaluation.statistics import learn_dependence

COVERAGE = Path(__file__).parents[3] / "benchmarks" / "interval_coverage.py"


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("interval_coverage", COVERAGE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(
    ("name", "room"),
    [("learn_dependence", metrics), ("row_intervals", metrics), ("compare_with_best", ranking), ("judge", ranking)],
)
def test_the_leaderboard_runs_the_functions_that_are_measured(coverage, name, room):
    assert getattr(coverage, name) is getattr(room, name)


@pytest.mark.parametrize(("kind", "accuracy"), [(1, 0.95), (2, 0.98), (4, 0.98)])
def test_intervals_of_grouped_images_cover_where_wilsons_does_not(coverage, kind, accuracy):
    line = coverage.coverage(coverage.SETTINGS[kind], accuracy, 200)

    # Three standard errors of 200 draws are .05.
    assert min(line.accuracy, line.macro_f1, line.recall, line.seeds) > 0.9
    assert line.ignoring < 0.9
    assert line.pair <= 0.06 < line.pair_ignoring


def test_the_program_writes_its_tables(coverage, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coverage, "ACCURACIES", (0.9,))
    monkeypatch.setattr(coverage, "POWERS", [(0, 0.9, 2)])
    options = ["--sets", "2", "--power-sets", "2", "--out", str(tmp_path / "tables.md")]
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", *options])

    coverage.main()

    written = (tmp_path / "tables.md").read_text()
    first, second = (table.splitlines() for table in written.strip().split("\n\n"))
    assert (len(first), len(second)) == (2 + len(coverage.SETTINGS), 3)
    assert first[0].startswith("| setting | truth | accuracy |")
    assert capsys.readouterr().out == written


def test_two_leaderboards_stand_beside_each_other(coverage, tmp_path, monkeypatch, capsys):
    header = "backbone,method,variant,status,accuracy,accuracy_low,accuracy_high,n_effective\n"
    for name, low in (("old", 0.93), ("new", 0.985)):
        text = f"{header}x,softmax,,done,0.999,{low},1,53.4\ny,knn,,failed,,,,\n"
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["c", "--leaderboards", str(tmp_path / "old"), str(tmp_path / "new")])

    coverage.main()

    assert capsys.readouterr().out.splitlines()[2:] == [
        "| x + softmax | 99.90% | 93.00% to 100.00% | 53 | 98.50% to 100.00% | 53 |"
    ]


@pytest.mark.parametrize("kind", [1, 4])
def test_the_program_knows_its_truth(coverage, kind):
    setting = coverage.SETTINGS[kind]
    world = coverage.World(setting, np.random.default_rng(1), seeds=1)
    confusion, correct = np.zeros((6, 6)), []
    for _ in range(100):
        y_true, y_pred, _ = world.draw([0.9])
        np.add.at(confusion, (y_true, y_pred[0, 0]), 1)
        correct.append(np.mean(y_true == y_pred))

    np.testing.assert_allclose(np.diag(confusion) / confusion.sum(1), 1 - coverage.error_rates(0.9), atol=0.02)
    assert np.mean(correct) == pytest.approx(coverage.true_accuracy(setting, 0.9), abs=0.01)
    assert coverage.macro_f1(confusion) == pytest.approx(coverage.true_macro_f1(setting, 0.9), abs=0.01)


def test_the_program_draws_groups_as_alike_as_it_says(coverage):
    world = coverage.World(coverage.SETTINGS[2], np.random.default_rng(2))
    y_true, y_pred, groups = zip(*(world.draw([0.9, 0.9]) for _ in range(60)), strict=True)
    apart = np.concatenate([own + 1000 * number for number, own in enumerate(groups)])
    # Class by class, for classes differ in accuracy.
    correct, label = (
        np.concatenate([p[:, 0] == t for t, p in zip(y_true, y_pred, strict=True)], 1),
        np.concatenate(y_true),
    )
    found = [learn_dependence([correct[0, label == each]], apart[label == each]).images for each in range(6)]

    assert np.mean(found) == pytest.approx(0.6, abs=0.07)
    # Rows err on the same images far more often than by chance, .1 * .1.
    assert np.mean(~correct[0] & ~correct[1]) > 0.04
