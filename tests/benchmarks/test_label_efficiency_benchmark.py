"""The label-efficiency benchmark: its presets, what it records, and a whole small run."""

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "label_efficiency.py"


@pytest.fixture(scope="module")
def program():
    return runpy.run_path(str(PROGRAM), run_name="only_imported")


@pytest.mark.parametrize(
    ("arguments", "preset"),
    [
        (["--data", "somewhere"], ("imagenet", 3, 10)),
        (["--data", "demo"], ("auto", 2, 5)),
        (["--data", "demo", "--draws", "7", "--weights", "random"], ("random", 2, 7)),
    ],
)
def test_demo_has_a_smaller_preset_that_options_overrule(program, arguments, preset):
    options = program["parse"](arguments)

    assert (options.weights, options.seeds, options.draws) == preset


@pytest.mark.parametrize("option", ["--draws", "--seeds"])
def test_no_draws_are_refused(program, option, capsys):
    with pytest.raises(SystemExit) as ended:
        program["parse"](["--data", "demo", option, "0"])

    assert ended.value.code == 2 and "1 or more" in capsys.readouterr().err


def test_the_recorded_command_names_folders_by_their_last_name(program, tmp_path):
    (tmp_path / "NEU").mkdir()
    given = ["--data", str(tmp_path / "NEU"), "--weights-dir", str(tmp_path / "weights"), "--out", str(tmp_path / "o")]

    told = program["command_line"](program["parse"](given))

    assert told == (
        "python benchmarks/label_efficiency.py --data NEU --backbones efficientnet_lite0,efficientnet_lite1,"
        "efficientnet_lite2 --weights imagenet --weights-dir weights --seeds 3 --draws 10"
    )


@pytest.mark.slow
def test_a_whole_run_writes_table_record_and_figure(tiny_images, tmp_path):
    folder = tiny_images(images=20)
    options = [
        "--data",
        folder,
        "--backbones",
        "mobilenet_v2_035",
        "--weights",
        "random",
        "--seeds",
        "2",
        "--draws",
        "2",
    ]

    done = subprocess.run(
        [sys.executable, PROGRAM, *options, "--out", tmp_path / "out"], capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "label_efficiency.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {tuple(row) for row in rows} == {
        ("backbone", "share", "per_class", "images", "draw", "accuracy", "macro_f1", "seed")
    }
    # 13 or so training images of each class: nine budgets are drawn twice, all of them once, for two splits.
    assert len(rows) == 2 * (2 * 9 + 1)
    text = (tmp_path / "out" / "label_efficiency.json").read_text(encoding="utf-8")
    record = json.loads(text)
    assert str(tmp_path) not in text and str(folder.parent) not in text
    assert record["backbones"]["mobilenet_v2_035"]["weights"]["kind"] == "random"
    assert [level["fits"] for level in record["levels"]] == [4, 4, 4, 4, 4, 4, 2, 4, 4, 4]
    assert (tmp_path / "out" / "label_efficiency.png").read_bytes().startswith(b"\x89PNG")
    assert "10 per class" in done.stdout and "Line" not in done.stdout


@pytest.mark.slow
def test_data_that_cannot_be_read_ends_with_the_mistake(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, "--data", tmp_path / "nothing"], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 2 and "does not exist" in done.stderr and "Traceback" not in done.stderr
