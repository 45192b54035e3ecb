"""The command line as users with wrong arguments or wrong data meet it: nothing here trains."""

import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from filelock import FileLock

from steelbench.cli.exit import main
from steelbench.data import images as image_reading

PROGRESS = (
    "steelbench: data: ",
    "steelbench: reading images",
    "steelbench: looking for shared pixels",
    "steelbench: fetching ",
)
IMPORT = "from steelbench.experiment import Experiment, Softmax"
SMALL = ("--backbones", "mobilenet_v2_035", "--weights", "random", "--image-size", "32")


@pytest.fixture(scope="module")
def steel(tiny_images):
    """Three classes of eight images; for reading only."""
    return tiny_images(images=8)


@pytest.fixture
def refused(capsys):
    """Runs a command line that must be refused: exit 2, one line that begins with `steelbench: `; returns it."""

    def run(*arguments, code=2):
        capsys.readouterr()
        assert main(list(map(str, arguments))) == code
        printed = capsys.readouterr()
        lines = [line for line in printed.err.splitlines() if not line.startswith(PROGRESS)]
        assert len(lines) == 1 and lines[0].startswith("steelbench: "), printed.err
        assert "fault in steelbench" not in lines[0] and not printed.out
        return lines[0]

    return run


def in_a_process(code, *arguments, **more):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, **more
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], ["rnu", "run"]),
        (["run"], ["--data"]),
        (["run", "--dat", "x"], ["--dat", "--data"]),
        (["run", "--data", "{steel}", "--epochs", "many"], ["--epochs"]),
        (["run", "--data", "{steel}", "--silence", "\x1b[2J"], ["unknown notice", "\\x1b"]),
        (["run", "--data", "{steel}", "--silence", "\x1b[2J", "--dry-run"], ["unknown notice", "\\x1b"]),
        (["run", "--data", "{steel}", "--epochs", "0"], ["--epochs", "1"]),
        (["run", "--data", "{steel}", "--epochs", "20000"], ["20000", "10000"]),
        (["run", "--data", "{steel}", "--folds", "0"], ["--folds"]),
        (["run", "--data", "{steel}", "--split", "gruped"], ["gruped", "grouped"]),
        (["run", "--data", "{steel}", "--engine", "opnvino"], ["opnvino", "openvino"]),
        (["run", "--data", "{steel}", "--image-size", "7"], ["7", "32"]),
        (["run", "--data", "{steel}", "--backbones", "vgg-19"], ["'vgg-19'", "did you mean 'vgg19'"]),
        (["run", "--data", "{steel}", "--backbones", ""], ["--backbones", "empty", "vgg19"]),
        (["run", "--data", "{steel}", "--backbones", " , "], ["--backbones", "empty"]),
        (["run", "--data", "{steel}", "--methods", "sofmax"], ["'sofmax'", "did you mean 'softmax'"]),
        (["run", "--data", "{steel}", "--methods", ""], ["--methods", "empty", "softmax"]),
        (["run", "--data", "{steel}", "--set", "softmax.dropot=0.1"], ["dropot", "did you mean 'dropout'"]),
        (["run", "--data", "{steel}", "--set", "sofmax.dropout=0.1"], ["sofmax", "did you mean 'softmax'"]),
        (["run", "--data", "{steel}", "--set", "softmax.dropout=2"], ["softmax.dropout", "'2'", "less than 1"]),
        (["run", "--data", "{steel}", "--set", "softmax.dropout=nan"], ["softmax.dropout", "nan"]),
        (["run", "--data", "{steel}", "--set", "softmax.epochs=x"], ["softmax.epochs", "'x'"]),
        (["run", "--data", "{steel}", "--set", "softmax"], ["--set softmax", "METHOD.FIELD=VALUE"]),
        (["run", "--data", "{steel}", "--set", "linear.c=1"], ["linear", "--methods"]),
        (["run", "--data", "{steel}", "--set", "linear.c=-1", "--methods", "linear"], ["-1", "positive"]),
        (["run", "--data", "{steel}", "--set", "linear.c=", "--methods", "linear"], ["linear.c"]),
        (["run", "--data", "{steel}", "--weights", "nothing.h5", *SMALL[:2]], ["nothing.h5", "imagenet", "random"]),
        (["run", "--data", "{steel}", "--suite", "nothing.py"], ["nothing.py", "does not exist", "EXPERIMENTS"]),
        (["run", "--data", "{steel}", "--suite", "{steel}"], ["is a folder", "EXPERIMENTS"]),
        (["list", "backbone"], ["'backbone'", "did you mean 'backbones'"]),
        (["weights", "list", "--backbones", "vgg-19"], ["did you mean 'vgg19'"]),
        (["weights", "download", "--kind", "imagent"], ["'imagent'", "did you mean 'imagenet'"]),
        (["cache", "clear", "--backbone", "vgg-19"], ["did you mean 'vgg19'"]),
        (["report", "nothing"], ["nothing", "does not exist", "steelbench run"]),
        (["report", "{steel}"], ["results.json does not exist", "steelbench run"]),
        (["report", "{steel}/rows/000.png"], ["is a file", "folder"]),
        (["predict", "nothing.h5", "{steel}"], ["nothing.h5", "does not exist"]),
        (["predict", "nothing.h5", "nowhere"], ["nowhere", "does not exist"]),
        (["data", "demo", "{steel}/demo", "--images", "-5"], ["-5", "60"]),
        (["data", "demo", "{steel}/demo", "--difficulty", "2"], ["2.0", "0 (easy) to 1", "0.5 is usual"]),
        (["data", "demo", "{steel}/demo", "--difficulty", "hard"], ["--difficulty", "number"]),
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_one_sentence_with_the_mend(arguments, words, steel, refused, tmp_path):
    given = [argument.replace("{steel}", str(steel)) for argument in arguments]
    place = ["--results", str(tmp_path / "results")] if given[0] == "run" and len(given) > 1 else []

    message = refused(*given, *place)

    assert all(word in message for word in words), message
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", ["ZeroDivisionError", "mend"]),
        ("import sys; sys.exit(3)", ["SystemExit"]),
        ("def broken(:", ["SyntaxError"]),
        ("raise BaseException('x')", ["BaseException: x", "mend"]),
        ("EXPERIMENTS = [Experiment(backbone=3, method=Softmax())]", ["backbone is 3", "expected"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax(), fold='x')]", ["fold is 'x'", "expected"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax(), seed=-1)]", ["seed is -1", "expected"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax(), seed=True)]", ["seed is True", "expected"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax(), image_size=64.5)]", ["image_size is 64.5"]),
        ("x = 1", ["EXPERIMENTS"]),
        ("EXPERIMENTS = []", ["EXPERIMENTS", "one at least"]),
        ("EXPERIMENTS = ['vgg19']", ["EXPERIMENTS", "Experiment"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method='softmax')]", ["Softmax()"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg-19', method=Softmax())]", ["'vgg19'"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax(dropout=2))]", ["softmax.dropout"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax())] * 2", ["two experiments", "variant"]),
        ("EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax())]; DEMO = 3", ["DEMO"]),
    ],
)  # fmt: skip
def test_a_suite_that_is_wrong_is_named_with_what_is_wrong(text, words, steel, refused, tmp_path):
    (tmp_path / "suite.py").write_text(f"{IMPORT}\n{text}\n")

    message = refused("run", "--data", steel, "--suite", tmp_path / "suite.py", "--results", tmp_path / "results")

    assert all(word in message for word in words), message


def test_what_a_suite_lacks_cannot_be_picked_from_it(steel, refused, tmp_path):
    suite = tmp_path / "suite.py"
    suite.write_text(f"{IMPORT}\nEXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax())]")

    assert "leave nothing of the suite" in refused("run", "--data", steel, "--suite", suite, "--backbones", "xception")


def write_csv(folder, text):
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return folder / "list.csv"


def one_class(folder):
    shutil.rmtree(folder / "rows")
    shutil.rmtree(folder / "columns")
    return folder, ["one class only", "at least two"]


def small_class(folder):
    for path in sorted((folder / "rows").iterdir())[2:]:
        path.unlink()
    return folder, ["class 'rows' has 2", "at least 3"]


def no_folder(folder):
    return folder / "nowhere", ["nowhere", "does not exist", "demo"]


def empty_folder(folder):
    (folder / "new").mkdir()
    return folder / "new", ["new", "Known"]


def unreadable(folder):
    (folder / "rows" / "000.png").write_bytes(b"")
    (folder / "rows" / "001.png").write_bytes((folder / "rows" / "001.png").read_bytes()[:40])
    return folder, ["2 of 24 images", "5%", "rows/000.png", "empty"]


def no_columns(folder):
    return write_csv(folder, "file,class\na.png,b\n"), ["columns label, path", "file, class"]


def outside(folder):
    return write_csv(folder, "path,label\n../secret.png,rows\n"), ["line 2", "'../secret.png'", "leaves"]


def absolute(folder):
    return write_csv(folder, "path,label\n/etc/passwd,rows\n"), ["line 2", "/etc/passwd", "leaves"]


def no_text(folder):
    return folder / "rows" / "000.png", ["no CSV file in UTF-8"]


def unknown_split(folder):
    return write_csv(folder, "path,label,split\nrows/000.png,rows,trian\n"), ["line 2", "trian", "train"]


def many_folds(folder):
    return folder, ["class '", "has 8 groups", "largest --folds is 8"], "--folds", "9"


def copies(folder):
    for path in sorted((folder / "rows").iterdir())[1:]:
        shutil.copy(folder / "rows" / "000.png", path)
    return folder, ["class 'rows' has 1 group"]


def folds_of_a_fixed_split(folder):
    for part in ("train", "test"):
        shutil.copytree(folder, folder.parent / "parts" / part)
    return folder.parent / "parts", ["own split", "--folds 2", "leave --folds out"], "--folds", "2"


def results_in_data(folder):
    return folder, ["lies in the data folder", "outside"], "--results", folder / "results"


def results_is_data(folder):
    return folder, ["lies in the data folder", "outside"], "--results", folder


def results_is_a_file(folder):
    (folder.parent / "notes.txt").touch()
    return folder, ["notes.txt is a file", "name a folder"], "--results", folder.parent / "notes.txt"


def results_below_a_file(folder):
    (folder.parent / "notes.txt").touch()
    return folder, ["notes.txt is a file", "name a folder"], "--results", folder.parent / "notes.txt" / "new"


def results_in_proc(folder):
    return folder, ["/proc/new", "name a folder"], "--results", "/proc/new"


@pytest.mark.parametrize(
    "spoil",
    [
        one_class, small_class, no_folder, empty_folder, unreadable, no_columns, outside, absolute, no_text,
        unknown_split, many_folds, copies, folds_of_a_fixed_split, results_in_data, results_is_data, results_is_a_file,
        results_below_a_file, results_in_proc,
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_refused_before_any_training(spoil, steel, refused, tmp_path):
    folder = shutil.copytree(steel, tmp_path / "steel")
    data, words, *more = spoil(folder)
    before = sorted(tmp_path.rglob("*"))
    # Of options that are given twice the last one counts.
    message = refused("run", "--data", data, *SMALL, "--results", tmp_path / "results", *more)

    assert all(word in message for word in words), message
    assert sorted(tmp_path.rglob("*")) == before, "a refused command leaves nothing behind"


def test_an_absurdly_large_image_counts_as_unreadable_without_being_decoded(steel, refused, tmp_path, monkeypatch):
    folder = shutil.copytree(steel, tmp_path / "steel")
    cv2.imwrite(str(folder / "rows" / "000.png"), np.zeros((200, 300), np.uint8))
    cv2.imwrite(str(folder / "rows" / "001.png"), np.zeros((200, 300), np.uint8))
    monkeypatch.setattr(image_reading, "MAX_PIXELS", 200 * 300 - 1)

    assert "larger than 59999 pixels" in refused("run", "--data", folder, *SMALL, "--results", tmp_path / "results")


def test_a_name_with_line_ends_and_terminal_commands_stays_one_plain_line(steel, refused, tmp_path):
    folder = shutil.copytree(steel, tmp_path / "steel")
    (folder / "two\nlines\x1b[2J").mkdir()
    shutil.copy(folder / "rows" / "000.png", folder / "two\nlines\x1b[2J" / "000.png")

    message = refused("run", "--data", folder, *SMALL, "--results", tmp_path / "results")

    assert "two lines" in message and "\x1b" not in message


def test_a_class_that_no_card_can_hold_is_refused_before_training(steel, refused, tmp_path):
    folder = shutil.copytree(steel, tmp_path / "steel")
    (folder / "rows").rename(folder / "ro\x1bws")

    message = refused("run", "--data", folder, *SMALL, "--results", tmp_path / "results")

    assert "is not printable" in message and "Rename the class" in message and "\x1b" not in message


def test_without_weights_and_network_the_message_names_both_ways(steel, tmp_path):
    environment = {**os.environ, "KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9"}
    environment.pop("STEELBENCH_WEIGHTS_DIR", None)

    done = in_a_process(
        "import sys; from steelbench.cli.exit import main; sys.exit(main(sys.argv[1:]))",
        "run", "--data", steel, "--backbones", "vgg19", "--results", tmp_path / "results", env=environment,
    )  # fmt: skip

    assert done.returncode == 2
    message = done.stderr.splitlines()[-1]
    for word in ("vgg19_weights", "253f8cb515780f3b799900260a226db6", str(tmp_path / "keras"), "--weights random"):
        assert word in message
    assert not (tmp_path / "results").exists()


def test_two_runs_in_one_results_folder_the_second_is_refused(steel, refused, tmp_path):
    with FileLock(tmp_path / ".lock"):
        assert "another steelbench run" in refused("run", "--data", steel, *SMALL, "--results", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_ctrl_c_in_any_command_ends_with_130_and_one_line(monkeypatch, capsys):
    def interrupt(what):
        raise KeyboardInterrupt

    monkeypatch.setattr("steelbench.cli.tables.print_lists", interrupt)

    assert main(["list"]) == 130
    assert capsys.readouterr().err == "steelbench: interrupted; the same command goes on where it stopped.\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")  # noqa: PTH110
def test_output_into_a_full_disk_is_said_and_into_a_closed_pipe_is_not():
    code = "from steelbench.__main__ import entry; import sys; sys.argv = ['steelbench', 'list']; entry()"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("steelbench: the disk is full") and done.stderr.count("\n") == 1

    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unexpected_error_is_called_a_fault_of_steelbench_and_exits_1(monkeypatch, capsys):
    monkeypatch.setattr("steelbench.cli.tables.print_lists", lambda what: {}["a key that is missing"])

    assert main(["list"]) == 1
    assert capsys.readouterr().err == (
        "steelbench: this is a fault in steelbench: KeyError: 'a key that is missing'. What was finished is kept. "
        "STEELBENCH_DEBUG=1 shows where it happened; please report it.\n"
    )


def test_the_default_results_folder_lies_below_results_whatever_data_is_called(steel, refused, monkeypatch):
    monkeypatch.chdir(steel / "rows")

    # `results/..` would be the folder that the user stands in.
    assert f"{steel / 'rows' / 'results' / steel.name} lies in the data folder" in refused(
        "run", "--data", "..", *SMALL
    )


def test_ctrl_c_in_a_suite_is_no_mistake_of_the_suite(steel, tmp_path, capsys):
    (tmp_path / "suite.py").write_text("raise KeyboardInterrupt")

    assert main(["run", "--data", str(steel), "--suite", str(tmp_path / "suite.py")]) == 130
