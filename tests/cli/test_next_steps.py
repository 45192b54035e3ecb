"""The last lines of a run: what to look at, and what to type next."""

import shlex
from pathlib import Path

import pytest
from results_folder import failed_row, hog_row, majority_row, model_row, summary

from steelbench.cli.exit import main
from steelbench.cli.next_steps import next_steps

RESULTS = Path("results/steel")


def untrained(backbone, accuracy):
    row = model_row(backbone, "softmax", accuracy, weights="random")
    return row.model_copy(update={"untrained": True})


def test_the_best_trained_model_is_named_with_a_command_that_uses_it():
    rows = [untrained("vgg19", 0.99), hog_row(0.98), model_row("xception", "linear", 0.9), majority_row(), failed_row()]

    look, use, _ = next_steps(RESULTS, "steel", summary(rows))

    assert "results/steel/report.html" in look
    assert "xception + linear" in use
    assert "steelbench predict results/steel/models/xception-linear.h5 IMAGES" in use


def test_without_a_trained_network_no_model_is_recommended():
    _, use, _ = next_steps(RESULTS, "demo", summary([hog_row(0.9), untrained("vgg19", 0.8), majority_row()]))

    assert "predict" not in use and "steelbench weights list" in use


def test_after_the_demo_come_the_users_own_images():
    *_, then = next_steps(RESULTS, "demo", summary([model_row("vgg19", "linear", 0.9)]))

    assert "your own images" in then and "steelbench run --data DIR" in then


@pytest.mark.parametrize(
    ("folds", "reader", "word"),
    [
        (1, "class_folders", "--folds 5 --seeds 3 --results"),
        (5, "class_folders", "audit"),
        (1, "split_folders", "audit"),
    ],
)
def test_after_own_images_come_folds_and_then_the_audit(folds, reader, word):
    record = summary([model_row("vgg19", "linear", 0.9)], reader=reader)
    record = record.model_copy(update={"split": record.split.model_copy(update={"folds": folds})})

    *_, then = next_steps(RESULTS, "my steel", record)

    assert word in then
    # A results folder holds one kind of split; names with spaces can be pasted.
    assert word != "audit" or "--data 'my steel'" in then
    assert word == "audit" or str(RESULTS) + "-5x3" in then


def test_a_run_ends_with_the_path_on_stdout_and_three_lines_on_stderr(tiny_images, tmp_path, capsys):
    from steelbench.files import write_json
    from steelbench.runs import run as runs

    results = tmp_path / "my results"
    record = summary([model_row("vgg19", "linear", 0.9), majority_row()])
    results.mkdir()
    write_json(results / "results.json", record)
    with pytest.MonkeyPatch.context() as patch:
        # A folder in which everything is done.
        patch.setattr(runs, "run", lambda *given: None)
        arguments = ["--backbones", "vgg19", "--weights", "random", "--results", str(results)]
        assert main(["run", "--data", str(tiny_images(images=8)), *arguments]) == 0

    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == str(results / "report.html")
    last = told.err.splitlines()[-3:]
    assert all(line.startswith("steelbench: ") for line in last)
    assert shlex.quote(str(results / "models" / "vgg19-linear.h5")) in last[1]
