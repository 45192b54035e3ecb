"""The command of a row is what the parser of the command line reads back as the record's settings."""

import json
import shlex
import subprocess

import pytest
from results_folder import model_row, run_record, summary, write_folder

from steelbench.experiment import METHODS, RunOptions
from steelbench.report.reproduce import row_command, row_commands

CLASSES = ["a", "b"]


def record(method="softmax", variant="", **settings):
    found = run_record(model_row("vgg19", method, 0.9, CLASSES, variant=variant), CLASSES, [])
    usual = METHODS[method].settings().model_dump(mode="json")
    return found.model_copy(update={"settings": usual | settings, "variant": variant})


def config(**more):
    return json.loads(RunOptions(data="data").model_dump_json()) | {"command": "steelbench run"} | more


def test_defaults_are_left_out_and_settings_are_not():
    found = shlex.split(row_command(config(seeds=3, folds=5, include_none=True), record(dropout=0.25)))

    assert found == [
        *("steelbench", "run", "--data", "data", "--backbones", "vgg19", "--methods", "softmax"),
        *("--set", "softmax.dropout=0.25", "--include-none", "--seeds", "3", "--folds", "5"),
        *("--results", "results/vgg19-softmax"),
    ]


@pytest.mark.parametrize("data", ["a b", "it's", '$(touch x) `id` "q"', "-dash", "a;b & c | d > e", "*?[x]~"])
def test_a_shell_reads_the_words_as_they_are(data):
    command = row_command(config(data=data), record())
    shell = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert shell == shlex.split(command)
    assert data in (shell[3], shell[2].removeprefix("--data="))


@pytest.mark.parametrize("data", ["a\nb", "a\x1b[2Jb", None, 3])
def test_what_a_terminal_might_act_on_is_in_no_command(data):
    assert row_command(config(data=data), record()) == ""


def test_a_variant_names_its_image_size():
    assert " --image-size 224 " in row_command(config(), record(variant="size=224"))


def test_a_row_without_records_has_no_command(tmp_path):
    rows = [model_row("vgg19", "softmax", 0.9), model_row("xception", "softmax", 0.8)]
    folder = write_folder(tmp_path, summary(rows))
    (folder / "runs" / "xception-softmax-s0-f0" / "result.json").unlink()

    assert list(row_commands(folder, config(), rows)) == ["vgg19-softmax"]
    assert row_commands(folder, None, rows) == {}
