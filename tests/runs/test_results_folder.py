"""What a results folder accepts, refuses, extends and replaces; the workers are played, so nothing trains."""

import json
import os
import shutil

import pytest
from filelock import FileLock
from played_folder import contents, play, run

from steelbench.cli.exit import main
from steelbench.records import RunRecord, read_record


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=8)


@pytest.fixture
def played(monkeypatch):
    return play(monkeypatch)


@pytest.fixture(scope="module")
def two_seeds(steel, tmp_path_factory):
    """A results folder with one backbone and two seeds; for copying only."""
    results = tmp_path_factory.mktemp("two_seeds") / "results"
    with pytest.MonkeyPatch.context() as patch:
        asked = play(patch)
        assert run(steel, results, "--seeds", "2", "--epochs", "5") == 0
    assert asked == ["vgg19-softmax-s0-f0", "vgg19-softmax-s1-f0"]
    return results


@pytest.fixture
def finished(two_seeds, tmp_path, played):
    """A results folder with one backbone and two seeds, of the test's own; `played` is empty."""
    return shutil.copytree(two_seeds, tmp_path / "results")


def refusal(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def test_the_same_command_again_runs_nothing_and_changes_nothing(steel, finished, played):
    before = contents(finished)

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 0

    assert played == [] and contents(finished) == before


def test_what_is_missing_is_run_and_nothing_else(steel, finished, played):
    shutil.rmtree(finished / "runs" / "vgg19-softmax-s1-f0")

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 0

    assert played == ["vgg19-softmax-s1-f0"]


def test_new_backbones_and_methods_extend_the_folder(steel, finished, played):
    old = contents(finished / "runs")

    assert run(steel, finished, "--seeds", "2", "--methods", "linear", backbones="vgg19,resnet50") == 0

    assert sorted(played) == [f"{name}-linear-s{seed}-f0" for name in ("resnet50", "vgg19") for seed in (0, 1)]
    assert old.items() <= contents(finished / "runs").items()
    board = (finished / "leaderboard.csv").read_text()
    assert all(name in board for name in ("vgg19,softmax", "vgg19,linear", "resnet50,linear", "none,majority"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--seeds", "2", "--epochs", "20"], ["epochs=5", "epochs=20", "--force"]),
        (["--seeds", "2", "--epochs", "5", "--set", "softmax.dropout=0.5"], ["dropout=0.2", "dropout=0.5", "--force"]),
        (["--seeds", "2", "--epochs", "5", "--image-size", "64"], ["image_size 32", "64", "--force"]),
        (["--seeds", "2", "--epochs", "5", "--precision", "bfloat16"], ["precision float32", "bfloat16", "--force"]),
        (["--seeds", "3", "--epochs", "5"], ["other seeds", ": 2,", "has 3", "--force"]),
        (["--seeds", "2", "--folds", "2", "--epochs", "5"], ["other folds", "--force"]),
        (["--seeds", "2", "--split", "random", "--epochs", "5"], ["other split", "grouped", "random", "--force"]),
        (["--seeds", "2", "--bit-depth", "12", "--epochs", "5"], ["other data", "--force"]),
    ],
)
def test_a_changed_setting_is_refused_with_both_values_and_changes_nothing(
    steel, finished, played, capsys, more, words
):
    before = contents(finished)

    assert run(steel, finished, *more) == 2

    message = refusal(capsys)
    assert all(word in message for word in words), message
    assert played == [] and contents(finished) == before


def test_other_weights_are_refused_by_name(steel, finished, capsys, monkeypatch):
    from steelbench.models.weight_files import Origin

    monkeypatch.setattr("steelbench.runs.preparation.resolve", lambda *_: Origin("imagenet", "vgg.h5", "abc", "/x"))

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 2

    assert "weights random, this experiment asks for imagenet vgg.h5 abc" in refusal(capsys)


@pytest.mark.parametrize("change", ["label", "pixels", "one less"])
def test_other_data_are_refused(steel, finished, played, capsys, tmp_path, change):
    other = shutil.copytree(steel, tmp_path / "other")
    if change == "label":
        (other / "rows" / "000.png").rename(other / "columns" / "900.png")
    if change == "pixels":
        shutil.copy(other / "rows" / "000.png", other / "rows" / "001.png")
    if change == "one less":
        (other / "rows" / "000.png").unlink()

    assert run(other, finished, "--seeds", "2", "--epochs", "5") == 2

    assert "holds runs with other data" in refusal(capsys) and played == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("more", "24 images then, 28 now: 4 new."),
        ("moved", "24 images then, 24 now: 1 new, 1 gone."),
        ("less", "24 images then, 23 now: 1 gone."),
        ("pixels", "24 images then, 24 now: the same names, but other pixels"),
    ],
)
def test_a_data_set_that_has_changed_is_refused_with_how_many_images(
    steel, finished, played, capsys, tmp_path, monkeypatch, change, told
):
    other = shutil.copytree(steel, tmp_path / "other")
    rows = other / "rows"
    if change == "more":
        for number in range(4):
            shutil.copy(rows / "000.png", rows / f"9{number}.png")
    if change == "moved":
        (rows / "000.png").rename(rows / "900.png")
    if change == "less":
        (rows / "000.png").unlink()
    if change == "pixels":
        shutil.copy(rows / "000.png", rows / "001.png")
    # Comparing the images takes minutes, so it comes later.
    monkeypatch.delattr("steelbench.runs.run.split_and_audit")

    assert run(other, finished, "--seeds", "2", "--epochs", "5") == 2

    message = refusal(capsys)
    assert "holds runs with other data: " in message and told in message and played == []


def test_without_the_old_names_the_digests_are_told(steel, finished, capsys, tmp_path):
    other = shutil.copytree(steel, tmp_path / "other")
    (other / "rows" / "000.png").unlink()
    (finished / "audit" / "groups.csv").unlink()

    assert run(other, finished, "--seeds", "2", "--epochs", "5") == 2
    assert "digest" in refusal(capsys)


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("results", []),
        ("results", ["--backbones", "vgg19"]),
        ("cache", []),
        ("cache", ["--backbones", "vgg19"]),
        ("cache", ["--dry-run"]),
        ("cache", ["--dry-run", "--backbones", "vgg19"]),
    ],
)
def test_a_folder_that_cannot_be_written_to_is_found_before_anything_is_read(
    tmp_path, capsys, monkeypatch, place, options
):
    (tmp_path / place).mkdir()
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache" / "new"))
    access = os.access
    # Tests may run as root, who may write everywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not str(path).endswith(f"/{place}"))
    monkeypatch.delattr("steelbench.runs.preparation.read_dataset")
    monkeypatch.delattr("steelbench.cli.networks.read_dataset")

    assert main(["run", "--data", "demo", "--results", str(tmp_path / "results" / "new"), *options]) == 2

    message = refusal(capsys)
    assert "cannot be written to (no right to write in" in message
    assert ("--results" if place == "results" else "STEELBENCH_CACHE") in message
    assert [path.name for path in tmp_path.rglob("*")] == [place]


def test_an_audit_finds_what_cannot_be_written_to_before_it_reads(tmp_path, capsys, monkeypatch):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache" / "new"))

    assert main(["audit", "--data", "nowhere", "--out", str(tmp_path / "out")]) == 2
    assert "STEELBENCH_CACHE" in refusal(capsys)
    assert main(["audit", "--data", "nowhere", "--out", str(tmp_path / "cache" / "out")]) == 2
    assert "--out" in refusal(capsys)


def test_a_locked_folder_is_found_before_anything_is_read(finished, capsys, monkeypatch):
    monkeypatch.delattr("steelbench.runs.preparation.read_dataset")

    with FileLock(finished / ".lock"):
        assert main(["run", "--data", "demo", "--results", str(finished), "--backbones", "vgg19"]) == 2

    message = refusal(capsys)
    assert "another steelbench run" in message and "--results" in message


def test_the_same_data_in_another_place_are_the_same_data(steel, finished, played, tmp_path):
    other = shutil.copytree(steel, tmp_path / "elsewhere")

    assert run(other, finished, "--seeds", "2", "--epochs", "5") == 0 and played == []


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"seeds": 2}'])
def test_a_damaged_config_is_refused(steel, finished, played, capsys, text):
    (finished / "config.json").write_text(text)

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 2

    assert "config.json is damaged" in refusal(capsys) and played == []


def test_runs_without_a_config_are_not_mixed_with_ours(steel, finished, capsys):
    (finished / "config.json").unlink()

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 2

    assert "no config.json" in refusal(capsys)


def test_a_run_whose_record_is_damaged_is_done_again_and_named(steel, finished, played, capsys):
    path = finished / "runs" / "vgg19-softmax-s1-f0" / "result.json"
    before = path.read_bytes()
    path.write_bytes(before[:100])

    assert run(steel, finished, "--seeds", "2", "--epochs", "5") == 0

    assert played == ["vgg19-softmax-s1-f0"] and path.read_bytes() == before
    assert "made anew: runs/vgg19-softmax-s1-f0/result.json" in capsys.readouterr().err


def test_force_replaces_the_named_experiments_and_keeps_the_others(steel, finished, played):
    assert run(steel, finished, "--seeds", "2", backbones="resnet50") == 0
    kept = {name: data for name, data in contents(finished).items() if "resnet50-softmax" in name and "/" in name}
    played.clear()

    assert run(steel, finished, "--seeds", "2", "--epochs", "7", "--force") == 0

    assert played == ["vgg19-softmax-s0-f0", "vgg19-softmax-s1-f0"]
    record = read_record(finished / "runs" / "vgg19-softmax-s1-f0" / "result.json", RunRecord)
    assert record.settings["epochs"] == 7
    after = contents(finished)
    assert all(after[name] == data for name, data in kept.items() if not name.startswith("figures"))


def test_force_on_other_seeds_leaves_nothing_of_the_old_runs(steel, finished):
    (finished / "unfinished" / "vgg19-softmax-s1-f0").mkdir(parents=True)

    assert run(steel, finished, "--epochs", "5", "--force", backbones="resnet50") == 0

    assert sorted(path.name for path in (finished / "runs").iterdir()) == [
        "none-hog-s0-f0",
        "none-majority-s0-f0",
        "resnet50-softmax-s0-f0",
    ]
    assert json.loads((finished / "config.json").read_text())["seeds"] == 1
    assert not (finished / "unfinished").exists() and not list((finished / "models").glob("vgg19*"))


@pytest.mark.parametrize("more", [["--folds", "9"], ["--backbones", "vgg-19"], ["--weights", "nothing.h5"]])
def test_force_loses_nothing_where_the_command_itself_is_refused(steel, finished, more):
    before = contents(finished)

    assert run(steel, finished, *more, "--force") == 2

    assert contents(finished) == before
