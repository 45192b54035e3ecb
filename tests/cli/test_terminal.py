"""What the user sees in a terminal: the leaderboard on standard output, lines on standard error."""

import ast
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from results_folder import failed_row, hog_row, judged, majority_row, model_row, summary
from rich.console import Console

import steelbench
from steelbench.cli import tables
from steelbench.cli.exit import main
from steelbench.cli.tables import print_leaderboard
from steelbench.cli.terminal import say
from steelbench.printable import shown


def printed(record, capsys):
    print_leaderboard(record)
    return capsys.readouterr()


def test_the_tied_rows_are_marked_with_interval_and_the_conclusion_comes_last(capsys):
    rows = [model_row("vgg19", "linear", 0.98), model_row("xception", "linear", 0.97), hog_row(0.6), majority_row()]

    out = printed(judged(summary(rows), tied=2), capsys).out

    lines = out.splitlines()
    marked = [line for line in lines if "tied for best" in line]
    assert [line.split()[0] for line in marked] == ["vgg19", "xception"]
    assert all(line.count("[") == 1 for line in marked)
    (hog,) = [line for line in lines if line.startswith("HOG + linear SVM (no network)")]
    assert "worse, p = 0.0023" in hog
    assert lines[-1].startswith("No winner: vgg19 + linear, 98.1 %")


def test_a_failed_row_stands_in_the_table_and_its_reason_goes_to_stderr(capsys):
    told = printed(summary([model_row("vgg19", "linear", 0.98), failed_row(reason="it died")]), capsys)

    assert "failed" in told.out and "it died" not in told.out
    assert "inception_v3-softmax failed: it died" in told.err


def test_untrained_networks_stand_below_all_others_and_are_not_ranked(capsys):
    lucky = model_row("vgg19", "linear", 0.99, weights="random").model_copy(update={"untrained": True})
    rows = [lucky, model_row("xception", "linear", 0.9), majority_row(), failed_row()]

    lines = printed(summary(rows), capsys).out.splitlines()

    names = [line.split()[0] for line in lines if line]
    assert names[:5] == ["model", "xception", "majority", "vgg19", "inception_v3"]
    (line,) = [line for line in lines if line.startswith("vgg19")]
    assert "untrained" in line and "best" not in line


@pytest.mark.parametrize("naive", [None, 0.993])
def test_the_naive_split_has_a_column_only_if_it_was_tried(capsys, naive):
    row = model_row("vgg19", "linear", 0.9).model_copy(update={"naive_accuracy": naive})

    out = printed(summary([row]), capsys).out

    assert ("naive split" in out) == ("99.3 %" in out) == (naive is not None)


@pytest.mark.parametrize(("width", "last"), [(40, "accuracy"), (80, "standing"), (120, "seconds")])
def test_a_narrow_terminal_drops_columns_and_breaks_no_name(capsys, monkeypatch, width, last):
    monkeypatch.setattr(tables, "_console", lambda: Console(width=width))
    rows = [model_row("efficientnet_b0", "softmax", 0.98, variant="t=0.05"), model_row("xception", "linear", 0.9)]

    out = printed(judged(summary(rows)), capsys).out

    header, first, second, *_ = out.splitlines()
    assert header.split()[-1] == last
    if width > 40:
        assert first.startswith("efficientnet_b0 + softmax t=0.05 ") and second.startswith("xception + linear ")


def test_a_line_for_the_user_stays_one_plain_line(capsys):
    say("two\nlines\x1b[2J and Fläche 鉄")

    told = capsys.readouterr()
    assert told.err == "steelbench: two lines\\x1b[2J and Fläche 鉄\n" and not told.out


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("a\x1b]0;title\x07b", "a\\x1b]0;title\\x07b"),
        ("exe\u202egpj.", "exe\\u202egpj."),
        ("caf\udce9", "caf\\udce9"),
        ("\x9b2J", "\\x9b2J"),
        ("Fläche 鉄 100 %", "Fläche 鉄 100 %"),
    ],
)
def test_a_name_is_shown_without_what_a_terminal_obeys(name, plain):
    assert shown(name) == plain


def prints(path):
    """Numbers of the lines that call `print`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


def test_only_the_command_line_prints():
    """What lies below it raises an exception, or calls a progress callback."""
    package = Path(steelbench.__file__).parent
    # A program of its own as well, whose output its parent process reads.
    programs = {package / "models" / "keras_hub.py"}

    below = [path for path in package.rglob("*.py") if package / "cli" not in path.parents and path not in programs]
    assert not {str(path): lines for path in below if (lines := prints(path))}


def test_nothing_that_a_terminal_obeys_leaves_a_run_also_in_a_log(tiny_images, tmp_path, monkeypatch, capsys):
    """Whatever classes are called: on standard output, on standard error, in the conclusion and the notices."""
    names = ("a\x1b]0;title\x07b", "new\nline", "\u202eturned", "c1\x9b2J")
    data = tiny_images(images=6, classes=names)
    monkeypatch.setattr("steelbench.runs.run.run_jobs", lambda *_: {})
    arguments = ["--data", str(data), "--backbones", "vgg19", "--weights", "random", "--image-size", "32"]

    main(["run", *arguments, "--results", str(tmp_path / "results"), "--split", "random"])
    main(["data", "check", "--data", str(data)])
    main(["audit", "--data", str(data), "--out", str(tmp_path / "audit")])

    told = capsys.readouterr()
    for text in (told.out, told.err):
        assert "\\x1b]0;title" in text or text is told.out
        assert [line for line in text.split("\n") if not line.isprintable()] == []


def test_lines_that_libraries_print_themselves_do_not_reach_the_terminal(tmp_path):
    """libpng writes to descriptor 2 about a profile that it does not like."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    profile = b"x\0\0" + zlib.compress(b"no profile")
    length = struct.pack(">I", len(profile))
    chunk = length + b"iCCP" + profile + struct.pack(">I", zlib.crc32(b"iCCP" + profile))
    for name in "ab":
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "data" / name / f"{number}.png").write_bytes(data[:33] + chunk + data[33:])
    code = "import sys; from steelbench.__main__ import entry; sys.argv[1:] = ['audit', '--data', sys.argv[1]]; entry()"

    def printed(**more):
        command = [sys.executable, "-c", code, str(tmp_path / "data")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | more, check=False)
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if not line.startswith("steelbench: ")]

    assert printed() == [] and any("libpng" in line for line in printed(STEELBENCH_DEBUG="1"))
