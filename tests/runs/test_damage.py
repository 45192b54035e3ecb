"""A finished results folder of which one file is damaged or missing: the same command mends it and says so."""

import csv
import json
import os
import shutil

import pytest
from played_folder import contents, play, run

from steelbench.cli.exit import main
from steelbench.runs.intact import FILE

AGAIN = ("--seeds", "2", "--epochs", "5")
# Written again from what is whole, byte by byte.
DRAWN = (
    "leaderboard.csv",
    "errors.csv",
    "report.html",
    "skipped_images.csv",
    "environment.json",
    "audit/groups.csv",
    "audit/pairs.csv",
    "thumbnails/index.json",
)


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=8)


@pytest.fixture(scope="module")
def two_seeds(steel, tmp_path_factory):
    """A results folder with one backbone and two seeds; for copying only."""
    results = tmp_path_factory.mktemp("two_seeds") / "results"
    with pytest.MonkeyPatch.context() as patch:
        play(patch)
        assert run(steel, results, *AGAIN) == 0
    return results


@pytest.fixture
def played(monkeypatch):
    return play(monkeypatch)


@pytest.fixture
def whole(two_seeds, tmp_path, played):
    """The folder, of the test's own, and its contents before the damage; `played` is empty."""
    results = shutil.copytree(two_seeds, tmp_path / "results")
    return results, contents(results)


def but_for_the_time(files):
    """Without what says whether the search for shared pixels was kept, and with it the digests."""
    return {name: data for name, data in files.items() if name not in ("audit/audit.json", FILE)}


def spoil(path, how):
    if how == "garbage":
        path.write_bytes(b"\xff garbage")
    if how == "gone":
        path.unlink()
    if how == "one byte":
        data = bytearray(path.read_bytes())
        data[-2] ^= 1
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["gone", "one byte"])
def test_what_is_drawn_from_the_runs_is_drawn_again(steel, whole, played, capsys, how):
    results, before = whole
    for name in DRAWN:
        spoil(results / name, how)

    assert run(steel, results, *AGAIN) == 0

    told = capsys.readouterr().err
    assert "damaged or missing, and made anew: " in told and "and 4 more" in told
    assert played == [] and but_for_the_time(contents(results)) == but_for_the_time(before)
    assert run(steel, results, *AGAIN) == 0
    assert "made anew" not in capsys.readouterr().err


def test_a_damaged_summary_is_made_again_from_the_runs(steel, whole, played, capsys):
    results, before = whole
    (results / "results.json").write_text("{}")

    assert run(steel, results, *AGAIN) == 0

    assert "made anew: results.json" in capsys.readouterr().err and played == []
    rows = [json.loads(text)["rows"] for text in (before["results.json"], (results / "results.json").read_bytes())]
    assert rows[0] == rows[1] and (results / "leaderboard.csv").read_bytes() == before["leaderboard.csv"]


def change_one_class(path):
    lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    lines[1][2] = next(name for name in ("checks", "columns", "rows") if name != lines[1][2])
    path.write_text("".join(",".join(line) + "\n" for line in lines), encoding="utf-8")


def double_a_line(path):
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[1], *lines[3:]]), encoding="utf-8")


CHANGES = {
    "class": change_one_class,
    "line": double_a_line,
    "garbage": lambda path: spoil(path, "garbage"),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize(
    ("change", "digests", "report"),
    [
        ("class", True, True),
        ("class", False, False),
        ("line", True, False),
        ("line", False, False),
        ("garbage", True, True),
        ("gone", False, True),
    ],
)
def test_a_changed_prediction_never_becomes_an_accuracy(steel, whole, played, capsys, change, digests, report):
    results, before = whole
    name = "runs/vgg19-softmax-s0-f0/predictions.csv"
    if not digests:
        (results / FILE).unlink()
    CHANGES[change](results / name)
    if not report:
        (results / "report.html").unlink()

    assert run(steel, results, *AGAIN) == 0

    assert f"made anew: {name}" in capsys.readouterr().err and played == ["vgg19-softmax-s0-f0"]
    after = contents(results)
    assert all(after[own] == before[own] for own in (name, "leaderboard.csv"))


@pytest.mark.parametrize("name", ["none-majority-s0-f0", "none-hog-s1-f0"])
def test_the_runs_without_a_network_are_mended_too(steel, whole, played, capsys, name):
    results, before = whole
    spoil(results / "runs" / name / "predictions.csv", "one byte")

    assert run(steel, results, *AGAIN) == 0

    assert f"made anew: runs/{name}/predictions.csv" in capsys.readouterr().err and played == []
    assert contents(results)[f"runs/{name}/predictions.csv"] == before[f"runs/{name}/predictions.csv"]


def test_a_report_of_a_changed_summary_is_refused(whole, capsys):
    results, _ = whole
    text = (results / "results.json").read_text()
    (results / "results.json").write_text(text.replace('"accuracy": 0.6', '"accuracy": 0.7'))

    assert main(["report", str(results)]) == 2
    assert "results.json is missing, or other than when it was written" in capsys.readouterr().err


def test_a_report_that_was_drawn_again_is_no_damage(steel, whole, played, capsys):
    results, _ = whole

    assert main(["report", str(results), "--silence", "SB201"]) == 0
    assert run(steel, results, *AGAIN) == 0

    assert "made anew" not in capsys.readouterr().err and played == []


OTHERS = (
    *("config.json", "environment.json", "skipped_images.csv", "errors.csv", FILE),
    *(f"runs/vgg19-softmax-s0-f0/{name}" for name in ("result.json", "embeddings.npz")),
)


def test_a_report_opens_no_pipe(whole, capsys):
    results, _ = whole
    for name in OTHERS:
        (results / name).unlink(missing_ok=True)
        os.mkfifo(results / name)

    assert main(["report", str(results)]) == 0

    (results / "results.json").unlink()
    os.mkfifo(results / "results.json")
    assert main(["report", str(results)]) == 2
    assert "it is a named pipe, expected a file" in capsys.readouterr().err


def test_a_run_opens_no_pipe(steel, whole, played):
    results, _ = whole
    runs = [f"runs/vgg19-softmax-s{seed}-f0/{name}" for seed, name in enumerate(("result.json", "predictions.csv"))]
    for name in (*runs, "errors.csv", "results.json", FILE):
        (results / name).unlink()
        os.mkfifo(results / name)

    assert run(steel, results, *AGAIN) == 0 and len(played) == 2


@pytest.mark.parametrize(
    "texts", [("[" * 200_000, '{"a":' * 200_000), ('{"a": NaN}', "1" * 5000)], ids=["deep", "flat"]
)
def test_a_report_shows_no_hostile_object(whole, capsys, texts):
    results, _ = whole
    (results / FILE).unlink()
    names = ("config.json", "environment.json")
    for name, text in zip(names, texts, strict=True):
        (results / name).write_text(text)

    assert main(["report", str(results)]) == 0

    assert "fault" not in capsys.readouterr().err
    page = (results / "report.html").read_text(encoding="utf-8")
    assert all(f"<code>{name}</code> is missing or not readable" in page for name in names)


def test_a_history_has_as_many_lines_as_epochs_can_be(whole, capsys):
    results, _ = whole
    shutil.rmtree(results / "figures", ignore_errors=True)
    folder = results / "runs" / "vgg19-softmax-s0-f0"
    record = json.loads((folder / "result.json").read_text())
    record["stages"] = [{"name": "head", "history": "history.csv", "epochs": 5, "best_epoch": 1}]
    (folder / "result.json").write_text(json.dumps(record))
    (folder / "history.csv").write_text("epoch,loss,val_loss\n" + "1,0.5,0.5\n" * 100_000)
    (results / FILE).unlink()

    assert main(["report", str(results)]) == 0

    assert not list((results / "figures").glob("curves*"))


MODEL = "models/vgg19-softmax"


@pytest.fixture(scope="module")
def one_model(steel, tmp_path_factory):
    """A results folder with a saved model, which is not timed; for copying only."""
    results = tmp_path_factory.mktemp("one_model") / "results"
    with pytest.MonkeyPatch.context() as patch:
        play(patch, models=True)
        assert run(steel, results, "--timing", "off") == 0
    return results


@pytest.mark.parametrize("name", [f"{MODEL}.h5", f"{MODEL}.json", "runs/vgg19-softmax-s0-f0/head.npz"])
@pytest.mark.parametrize("how", ["garbage", "gone"])
def test_a_run_with_a_damaged_model_or_head_is_done_again(steel, one_model, tmp_path, monkeypatch, capsys, name, how):
    asked = play(monkeypatch, models=True)
    results = shutil.copytree(one_model, tmp_path / "results")
    before = contents(results)
    assert run(steel, results, "--timing", "off") == 0 and asked == [] and contents(results) == before
    spoil(results / name, how)

    assert run(steel, results, "--timing", "off") == 0

    assert f"made anew: {name}" in capsys.readouterr().err and asked == ["vgg19-softmax-s0-f0"]
    assert contents(results)[name] == before[name]
