"""`steelbench diff` of two results folders: what moved by hand, the paired test, what else differs, what is missing."""

import json
import subprocess
import sys

import numpy as np
import pytest
from results_folder import failed_row, judged, majority_row, model_row, summary, write_folder
from scipy.stats import binomtest

from steelbench.cli.exit import main
from steelbench.evaluation.predictions import write_predictions
from steelbench.evaluation.results_diff import Answered, changed, compare_answers
from steelbench.files import write_json
from steelbench.records import RunRecord, read_record

CLASSES = ["pits", "scratches"]
IMAGES = 40


def wrong_at(*places):
    """Answers to `IMAGES` images of two classes in turn, wrong at these places."""
    return [(place + (place in places)) % 2 for place in range(IMAGES)]


def write(folder, answers, *, paths=None, labels=None, **dataset):
    """Write a results folder with a row for each list of answers."""
    rows = [model_row(name, "softmax", 0.9, CLASSES, n_test=IMAGES) for name in answers]
    done = [*rows, majority_row(CLASSES), failed_row("xception")]
    write_folder(folder, judged(summary(done, CLASSES, **dataset)), CLASSES, epochs=4)
    paths = paths or [f"{CLASSES[place % 2]}/{place}.png" for place in range(IMAGES)]
    for row, own in zip(rows, answers.values(), strict=True):
        run = folder / "runs" / row.runs[0]
        record = read_record(run / "result.json", RunRecord)
        truth = labels or [CLASSES[place % 2] for place in range(IMAGES)]
        right = float(np.mean([CLASSES[answer] == label for answer, label in zip(own, truth, strict=True)]))
        metrics = record.metrics | {"test": {"accuracy": right}}
        write_json(run / "result.json", record.model_copy(update={"n_test": IMAGES, "metrics": metrics}))
        write_predictions(run / "predictions.csv", paths, truth, np.eye(2, dtype=np.float32)[own], CLASSES)
    return folder


@pytest.fixture
def diff(capsys):
    def run(*words):
        code = main(["diff", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def line_of(out, name):
    return next(line for line in out.splitlines() if line.startswith(f"{name} ")).split()


def test_a_row_that_moved_is_shown_with_the_test_and_its_images(diff, tmp_path):
    before = write(tmp_path / "a", {"vgg19": wrong_at(0, 1), "resnet50": wrong_at(3)})
    after = write(tmp_path / "b", {"vgg19": wrong_at(1, *range(2, 12)), "resnet50": wrong_at(3)})

    code, out, _ = diff(before, after, "--flips", "3")

    p = binomtest(1, 11).pvalue
    line = line_of(out, "vgg19-softmax")
    assert code == 0 and line[-3:] == ["1", "10", "40"] and f"p = {p:.2g}" in out
    assert "-22.50 points" in out and "95.0 %" in out and "72.5 %" in out
    assert line_of(out, "resnet50-softmax")[-3:] == ["0", "0", "40"]
    assert "vgg19-softmax: right in A, wrong in B (10):" in out and "and 7 more; --flips 10 lists them" in out
    assert "  pits/0.png: pits, answered scratches" in out
    assert "xception-softmax: failed in A (ResourceExhausted" in out and "none-majority" not in out


def test_what_differs_in_data_and_settings_is_told(diff, tmp_path):
    before = write(tmp_path / "a", {"vgg19": wrong_at(0)})
    after = write(tmp_path / "b", {"vgg19": wrong_at(0), "resnet50": wrong_at()}, images=41, digest="other")
    config = after / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"precision": "bfloat16", "command": "x"}))
    run = after / "runs" / "vgg19-softmax-s0-f0" / "result.json"
    run.write_text(json.dumps(json.loads(run.read_text()) | {"settings": {"dropout": 0.5}}))

    _, out, _ = diff(before, after)

    for told in ("images: 600 -> 41", "precision: float32 -> bfloat16", "settings.dropout: - -> 0.5"):
        assert f"  {told}" in out, told
    assert "compared by their paths" in out and "rows of B only: resnet50-softmax" in out and "command" not in out
    assert "data: the same" in diff(before, before)[1]


def test_other_images_and_other_labels_are_left_out_and_counted(diff, tmp_path):
    labels = [CLASSES[place % 2] for place in range(IMAGES)]
    paths = [f"{label}/{place}.png" for place, label in enumerate(labels)]
    before = write(tmp_path / "a", {"vgg19": wrong_at()})
    after = write(
        tmp_path / "b", {"vgg19": wrong_at()}, paths=[*paths[:-3], "x", "y", "z"], labels=[labels[1], *labels[1:]]
    )

    _, out, _ = diff(before, after)

    assert line_of(out, "vgg19-softmax")[-3:] == ["0", "0", "36"]
    assert "1 tests have another label" in out and "3 tests are in A only, 3 in B only" in out


def test_without_a_common_image_nothing_is_compared(diff, tmp_path):
    before = write(tmp_path / "a", {"vgg19": wrong_at()})
    after = write(tmp_path / "b", {"vgg19": wrong_at()}, paths=[f"new/{place}.png" for place in range(IMAGES)])

    code, out, _ = diff(before, after)

    assert code == 0 and line_of(out, "vgg19-softmax")[-1] == "0"
    assert compare_answers(Answered("a", {}), Answered("b", {}), {}) is None


def test_images_that_share_pixels_count_as_fewer(tmp_path):
    answers = {(f"{place}.png", 0): ("pits", "pits") for place in range(IMAGES)}
    worse = {key: ("pits", "scratches" if place < 8 else "pits") for place, key in enumerate(answers)}

    alone = compare_answers(Answered("a", answers), Answered("b", worse), {})
    tied = compare_answers(
        Answered("a", answers), Answered("b", worse), {f"{place}.png": str(place // 8) for place in range(IMAGES)}
    )

    assert alone.p_value == pytest.approx(2 * 0.5**8) and tied.p_value == 1 and "sign flips" in tied.method
    assert tied.interval.low < alone.interval.low < alone.interval.value < alone.interval.high


def test_nested_settings_are_compared_by_their_names():
    before, after = {"a": {"b": 1, "c": 2}, "d": None, "command": 1}, {"a": {"b": 1, "c": 3}, "e": [1], "command": 2}

    assert changed(before, after) == [("a.c", "2", "3"), ("e", "-", "[1]")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a", "b.h5"], "not of one kind"),
        (["a.h5", "b.h5"], "add --data DIR"),
        (["a", "b", "--data", "demo"], "belongs to two models"),
        (["a", "b"], "does not exist"),
    ],
)
def test_mistakes_are_told(diff, words, told):
    code, out, err = diff(*words)

    assert code == 2 and told in err and not out


def test_a_damaged_record_is_told(diff, tmp_path):
    before = write(tmp_path / "a", {"vgg19": wrong_at()})
    (before / "runs" / "vgg19-softmax-s0-f0" / "result.json").write_text("{}", encoding="utf-8")

    code, _, err = diff(before, before)

    assert code == 2 and "result.json is not a readable" in err


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/zero and a bound of memory")
def test_files_without_end_are_not_read(tmp_path):
    folders = [write(tmp_path / side, {"vgg19": wrong_at(1)}) for side in "ab"]
    for name in ("config.json", "environment.json"):
        (folders[1] / name).unlink(missing_ok=True)
        (folders[1] / name).symlink_to("/dev/zero")
    bounded = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)); "
        "from steelbench.cli.exit import main; sys.exit(main(['diff', *sys.argv[1:]]))"
    )

    done = subprocess.run([sys.executable, "-c", bounded, *folders], capture_output=True, text=True, timeout=60)

    assert done.returncode == 0 and not done.stderr
    assert "settings: not compared, config.json of B is missing or damaged" in done.stdout
    assert "machine and versions: not compared, environment.json of" in done.stdout and "vgg19" in done.stdout
