"""`--backbones auto`, the default without a suite: the main networks whose weights can be had."""

import time
import urllib.error

import h5py
import pytest

from steelbench.cli.exit import main
from steelbench.cli.networks import MAIN_BACKBONES, PACKAGED
from steelbench.models import weight_files
from steelbench.models.backbones import BACKBONES
from steelbench.models.weight_files import find_file


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No folder with weights, and no network; returns the addresses that were asked."""
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("STEELBENCH_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr(weight_files, "_unreachable", set())
    return asked


@pytest.fixture
def without_packages(monkeypatch):
    monkeypatch.setattr("steelbench.models.weight_files._package_folders", lambda package: [])


@pytest.fixture
def ran(monkeypatch):
    """Runs `steelbench run` up to the training; returns the options and the names of the backbones."""
    calls = []

    def run(options, experiments, command, progress):
        calls.append([experiment.backbone for experiment in experiments])
        raise KeyboardInterrupt

    monkeypatch.setattr("steelbench.runs.run.run", run)

    def start(*arguments):
        assert main(["run", *map(str, arguments)]) == 130
        return calls.pop()

    return start


@pytest.fixture(scope="module")
def steel(tiny_images):
    """Three classes of eight images; for reading only."""
    return tiny_images(images=8)


def put_weights(folder, name):
    """A file that can be the network's weights: it has as many numbers, and another name than the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = BACKBONES[name].imagenet
    with h5py.File(folder / wanted.name, "w") as file:
        file.create_dataset("all", shape=(BACKBONES[name].params,), dtype="f4", chunks=True)


def test_packaged_weights_run_where_nothing_else_is_there_and_one_line_says_what_is_left_out(
    ran, steel, offline, capsys
):
    if find_file(BACKBONES[PACKAGED].imagenet, None) is None:
        pytest.skip("its package is not installed")

    assert ran("--data", steel) == [PACKAGED]

    told = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    assert len(told) == 1
    assert all(name in told[0] for name in (*MAIN_BACKBONES, "steelbench weights list"))
    assert len(offline) == 1, "a host that cannot be reached is asked once"


def test_the_word_auto_is_the_default_and_other_files_join(
    ran, steel, offline, without_packages, tmp_path, monkeypatch
):
    monkeypatch.setattr(weight_files, "_digest_of", lambda path, kind: BACKBONES["vgg19"].imagenet.md5)
    put_weights(tmp_path / "files", "vgg19")

    for more in ([], ["--backbones", "auto"], ["--backbones", "auto", "--methods", "softmax"]):
        assert ran("--data", steel, "--weights-dir", tmp_path / "files", *more) == ["vgg19"]


@pytest.mark.parametrize(
    ("weights", "backbones"), [("random", list(MAIN_BACKBONES)), ("auto", [*MAIN_BACKBONES, PACKAGED])]
)
def test_with_random_weights_no_network_is_left_out(ran, steel, offline, weights, backbones):
    assert ran("--data", steel, "--weights", weights) == backbones
    assert not offline


def test_a_damaged_file_is_named_and_not_left_out(steel, offline, tmp_path, capsys):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / BACKBONES["xception"].imagenet.name).write_bytes(b"half")

    arguments = ["--weights-dir", str(tmp_path / "files"), "--results", str(tmp_path / "results")]
    assert main(["run", "--data", str(steel), *arguments]) == 2

    assert BACKBONES["xception"].imagenet.name in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_without_any_weights_one_sentence_says_what_to_do(steel, offline, without_packages, tmp_path, capsys, more):
    assert main(["run", "--data", str(steel), "--results", str(tmp_path / "results"), *more]) == 2

    said = [line for line in capsys.readouterr().err.splitlines() if "no imagenet weights" in line]
    assert len(said) == 1
    for word in (*MAIN_BACKBONES, "pip install 'steelbench[lite]'", "steelbench weights list", "--weights random"):
        assert word in said[0]
    assert not (tmp_path / "results").exists()


def test_noisy_student_weights_are_asked_for_only_where_there_are_any(steel, offline, tmp_path, capsys):
    arguments = ["--weights", "noisy-student", "--results", str(tmp_path / "results")]
    assert main(["run", "--data", str(steel), *arguments]) == 2

    assert "no noisy-student weights of efficientnet_b0 are" in capsys.readouterr().err
    assert len(offline) == 1


def test_data_that_is_not_there_is_said_before_anything_is_fetched(offline, without_packages, capsys):
    assert main(["run", "--data", "nowhere"]) == 2

    assert "nowhere does not exist" in capsys.readouterr().err
    assert not offline


def test_a_network_that_swallows_everything_costs_seconds(monkeypatch, tmp_path, offline):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: time.sleep(60))
    monkeypatch.setattr(weight_files, "CONNECT_SECONDS", 0.2)
    start = time.monotonic()

    for name in MAIN_BACKBONES:
        assert weight_files.resolve(name, "auto", tmp_path).kind == "random"

    assert time.monotonic() - start < 5
