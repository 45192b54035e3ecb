"""Places that the user names: what cannot be read or written there is one sentence, before any work is done."""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import get_type_hints

import pytest

from steelbench.cli.app import app
from steelbench.cli.exit import PLACES, main
from steelbench.files import unwritable, unwritable_file

# Below it nothing can be made, though root has every right there.
NOWHERE = pytest.param("/proc/x", marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc"))
SMALL = ["--backbones", "mobilenet_v2_035", "--weights", "random"]


@pytest.fixture
def images(tiny_images):
    return tiny_images(images=6)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, with a file, a link to itself, and a model that cannot be loaded, its card beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("mine")
    (tmp_path / "lp").symlink_to("lp")
    (tmp_path / "m.h5").write_text("no model")
    card = {"name": "m", "classes": ["a", "b"], "sha256": hashlib.sha256(b"no model").hexdigest()}
    (tmp_path / "m.json").write_text(json.dumps(card))
    return tmp_path


@pytest.fixture
def refused(place, capsys, monkeypatch):
    """Runs a command line that must be refused in one line before any data are read, and change nothing."""

    def worked(*_):
        raise AssertionError("data were read")

    monkeypatch.setattr("steelbench.cli.commands.evaluate.labelled_images", worked)
    monkeypatch.setattr("steelbench.cli.commands.audit.say_recognised", worked)
    monkeypatch.setattr("steelbench.cli.commands.run.say_recognised", worked)
    monkeypatch.setattr("steelbench.cli.commands.export._readable", worked)
    monkeypatch.setattr("steelbench.inference.model.load_model", worked)

    def run(*arguments):
        before = sorted(place.iterdir())
        capsys.readouterr()
        code = main(list(map(str, arguments)))
        said = capsys.readouterr()
        assert code == 2 and said.err.count("\n") == 1 and said.err.startswith("steelbench: "), said.err
        assert "fault in steelbench" not in said.err and not said.out
        assert sorted(place.iterdir()) == before and (place / "afile").read_text() == "mine"
        return said.err

    return run


FOLDERS = [
    ("--results", ["run", "--data", "{images}", *SMALL]),
    ("--results", ["run", "--data", "{images}", *SMALL, "--dry-run"]),
    ("--out", ["audit", "--data", "{images}"]),
    ("--out", ["evaluate", "m.h5", "--data", "{images}"]),
    ("--out", ["export", "m.h5", "--to", "keras"]),
]
MADE = [*FOLDERS, ("OUT_DIR", ["data", "demo"])]
FILES = [
    ("--out", ["enroll", "m.h5", "{class}"], ".h5"),
    ("--sheet", ["retrieve", "m.h5", "--query", "{image}", "--index", "{class}"], ".png"),
    ("--out", ["predict", "m.h5", "{class}"], ".csv"),
]


def filled(words, images):
    folder = sorted(images.iterdir())[0]
    names = {"{images}": images, "{class}": folder, "{image}": sorted(folder.iterdir())[0]}
    return [names.get(word, word) for word in words]


@pytest.mark.parametrize("target", ["afile", "lp", "lp/x", "afile/x", "/dev/null", NOWHERE])
@pytest.mark.parametrize(("option", "words"), MADE)
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(option, words, target, refused, images):
    message = refused(*filled(words, images), *([] if option == "OUT_DIR" else [option]), target)

    assert f"{option} {target}" in message and "cannot be written to" in message


@pytest.mark.parametrize("target", ["lp", "lp/x", "afile/x", NOWHERE])
@pytest.mark.parametrize(("option", "words", "suffix"), FILES)
def test_a_file_that_cannot_be_made_is_refused_before_any_work(option, words, suffix, target, refused, images):
    target = target if target == "lp" else f"{target}{suffix}"
    if target == "lp":
        Path(f"lp{suffix}").symlink_to(f"lp{suffix}")
        target = f"lp{suffix}"

    message = refused(*filled(words, images), option, target)

    assert f"{option} {target} cannot be written (" in message


def test_a_device_is_not_replaced_by_a_file(refused, images):
    assert "it is a device" in refused(*filled(FILES[2][1], images), "--out", "/dev/null")


@pytest.mark.parametrize("name", ["afile", "x.nosuch", "x"])
def test_a_sheet_is_a_png_and_no_other_file_is_replaced(name, refused, images):
    assert f"--sheet {name} does not end in .png" in refused(*filled(FILES[1][1], images), "--sheet", name)


@pytest.mark.parametrize("place_of", ["{query}", "{indexed}"])
def test_a_sheet_replaces_none_of_the_images(place_of, refused, images, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    for name, source in zip(("a.png", "b.png"), sorted(sorted(images.iterdir())[0].iterdir()), strict=False):
        shutil.copy(source, folder / name)
    target = folder / ("a.png" if place_of == "{query}" else "b.png")
    before = target.read_bytes()

    message = refused("retrieve", "m.h5", "--query", folder / "a.png", "--index", folder, "--sheet", target)

    assert "is one of the images" in message and target.read_bytes() == before


def test_a_full_disk_is_no_reason_of_a_place(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)

    assert unwritable(tmp_path) == unwritable_file(tmp_path / "x.csv") == ""


def test_asking_whether_a_place_can_be_written_to_leaves_nothing(tmp_path):
    assert unwritable(tmp_path / "a" / "b") == unwritable_file(tmp_path / "x.csv") == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--data", "{images}", *SMALL, "--results", ""],
        ["run", "--data", "{images}", *SMALL, "--results="],
        ["audit", "--data", "{images}", "--out", ""],
        ["evaluate", "m.h5", "--data", "{images}", "--out", ""],
        ["export", "m.h5", "--to", "keras", "--out", ""],
        ["retrieve", "m.h5", "--query", "{image}", "--index", ""],
        ["retrieve", "m.h5", "--query", "{image}", "--index", "{class}", "--sheet", ""],
        ["predict", "m.h5", ""],
        ["report", ""],
    ],
)
def test_an_empty_place_as_of_an_unset_shell_variable_is_not_the_current_folder(words, refused, images):
    message = refused(*filled(words, images))

    assert "empty" in message and "shell variable" in message


def test_every_option_that_takes_a_path_is_known_to_be_one():
    def paths(group):
        for inner in group.registered_groups:
            yield from paths(inner.typer_instance)
        for command in group.registered_commands:
            for name, hint in get_type_hints(command.callback, include_extras=True).items():
                option = next((own for own in getattr(hint, "__metadata__", ()) if hasattr(own, "param_decls")), None)
                if "Path" in str(hint.__args__ if option else "") and type(option).__name__ == "OptionInfo":
                    yield next(iter(option.param_decls or ()), f"--{name.replace('_', '-')}")

    assert set(paths(app)) - {"--data"} == set(PLACES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--data", "lp", *SMALL], "--data lp does not exist"),
        (["audit", "--data", "lp"], "--data lp does not exist"),
        (["doctor", "--data", "lp"], "--data lp does not exist"),
        (["run", "--data", "{images}", *SMALL, "--unlabelled", "lp"], "--unlabelled lp"),
        (["export", "m.h5", "--to", "keras,openvino", "--int8", "lp"], "--int8 lp does not exist"),
        (["gate", "lp", "--min-accuracy", "0.9"], "lp is a link that leads nowhere"),
        (["diff", "lp", "lp"], "lp is a link that leads nowhere"),
        (["report", "lp"], "lp is a link that leads nowhere"),
        (["stitch", "lp", "vgg19-softmax-s0-f1"], "lp is a link that leads nowhere"),
    ],
)
def test_a_link_in_a_circle_is_the_users_mistake(words, told, place, images, capsys, monkeypatch):
    monkeypatch.setattr("steelbench.cli.commands.doctor._self_test", lambda: pytest.fail("the machine was measured"))

    assert main(list(map(str, filled(words, images)))) == 2

    said = capsys.readouterr().err.splitlines()[-1]
    assert told in said and "fault in steelbench" not in said


def test_a_link_in_a_circle_that_nothing_else_finds_is_the_users_mistake(place, capsys):
    from steelbench.cli.exit import exit_code

    assert exit_code(lambda: (place / "lp").resolve(strict=True)) == 2
    assert "lp" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["gate", "afile", "--min-accuracy", "0.9"],
        ["diff", "afile", "afile"],
        ["report", "afile"],
        ["stitch", "afile", "x"],
    ],
)
def test_a_file_in_place_of_a_results_folder_is_called_one(words, refused):
    assert "afile is a file; expected the folder that `steelbench run --results` wrote." in refused(*words)


@pytest.mark.parametrize("name", ["n\x1b[2J\nx", "x" * 250 + "\u202e"])
def test_a_class_that_no_card_can_hold_is_not_enrolled(name, refused, images, place, tmp_path_factory):
    folder = tmp_path_factory.mktemp("new") / name
    try:
        shutil.copytree(sorted(images.iterdir())[0], folder)
    except OSError:
        pytest.skip("the file system takes no such name")

    message = refused("enroll", "m.h5", folder, "--out", place / "e2.h5")

    assert "not printable" in message and "Rename" in message and "\x1b" not in message


def test_doctor_says_that_there_are_no_such_data_before_it_measures_the_machine(place, capsys, monkeypatch):
    monkeypatch.setattr("steelbench.cli.commands.doctor._self_test", lambda: pytest.fail("the machine was measured"))

    assert main(["doctor", "--data", "nowhere"]) == 2

    assert "--data nowhere does not exist" in capsys.readouterr().err


def test_a_card_that_is_no_file_is_not_called_missing_and_not_replaced(refused, place):
    import os

    (place / "m.json").unlink()
    os.mkfifo(place / "m.json")
    assert "it is a named pipe" in refused("card", "m.h5")
    (place / "m.json").unlink()
    (place / "m.json").symlink_to("m.json")
    assert "m.json is not a readable model card" in refused("card", "m.h5")
    assert "leave out --classes" in refused("card", "m.h5", "--classes", "a,b", "--pixels", "0..255")
    assert (place / "m.json").is_symlink()
