"""Runs that are stopped, killed, or out of disk: nothing is lost, nothing half-written is read, nobody stays behind."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from steelbench.cli.exit import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers in /proc"),
]

NAME = "mobilenet_v2_035"


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=12)


def command(steel, results, *more, backbones=NAME):
    options = ["--weights", "random", "--image-size", "32", "--epochs", "2", "--engine", "keras"]
    return ["run", "--data", str(steel), "--results", str(results), "--backbones", backbones, *options, *more]


def start(steel, results, *more, backbones=NAME):
    return subprocess.Popen(
        [sys.executable, "-m", "steelbench", *command(steel, results, *more, backbones=backbones)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A shell's background job, as these tests may be, is born deaf to Ctrl-C, and so would its children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def workers(results, backbone=""):
    """Ids of the workers of a results folder, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().decode(errors="replace").split("\0")
            job = words[-2] if len(words) > 1 else ""
            if "steelbench.runs.worker" in words and str(results) in job and backbone in Path(job).name:
                found.append(int(path.parent.name))
    return found


def wait_until(done, process):
    """Look again and again, as the programs tell nothing; fail when the process ends before."""
    while not done():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
            raise AssertionError(process.communicate())


def assert_no_workers(results):
    """The workers of a command that has ended end by themselves, within seconds."""
    left = []
    for number in workers(results):
        with contextlib.suppress(psutil.NoSuchProcess):
            left.append(psutil.Process(number))
    assert psutil.wait_procs(left, timeout=10)[1] == []


def records(results):
    return [path for path in (results / "runs").glob("*/result.json") if not path.parent.name.startswith("none")]


def board(results):
    with (results / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in line.items() if key != "seconds"} for line in csv.DictReader(file)]


def all_whole(results):
    """Every record can be read; every offered model with a card is the one that it describes."""
    for path in results.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text(encoding="utf-8"))
    for path in results.glob("runs/*"):
        assert (path / "result.json").is_file() and (path / "predictions.csv").is_file()


MANY = ("--seeds", "2", "--folds", "3", "--methods", "softmax,linear")


@pytest.fixture(scope="module")
def uninterrupted(steel, tmp_path_factory):
    results = tmp_path_factory.mktemp("whole") / "results"
    assert main(command(steel, results, *MANY)) == 0
    return board(results)


def test_a_run_that_is_stopped_and_then_killed_ends_as_if_nothing_had_happened(steel, tmp_path, uninterrupted):
    results = tmp_path / "results"
    process = start(steel, results, *MANY)
    wait_until(lambda: len(records(results)) >= 2, process)
    os.killpg(process.pid, signal.SIGINT)
    code, out, err = finish(process)
    assert code == 130 and out == ""
    assert err.splitlines()[-1] == "steelbench: interrupted; the same command goes on where it stopped."
    assert_no_workers(results)
    all_whole(results)
    done = {path: path.stat().st_mtime_ns for path in records(results)}
    assert 2 <= len(done) < 12

    process = start(steel, results, *MANY)
    wait_until(lambda: len(records(results)) > len(done), process)
    process.kill()
    process.communicate()
    assert_no_workers(results)
    all_whole(results)

    assert main(command(steel, results, *MANY)) == 0
    assert board(results) == uninterrupted
    assert all(path.stat().st_mtime_ns == when for path, when in done.items()), "what was done is not done again"
    assert not [path for path in results.rglob(".*") if path.name != ".lock"]


def has_begun_to_load_tensorflow(number):
    with contextlib.suppress(OSError):
        return "libtensorflow" in Path(f"/proc/{number}/maps").read_text(encoding="utf-8")
    return False


def test_ctrl_c_while_the_worker_still_starts_leaves_no_process(steel, tmp_path):
    results = tmp_path / "results"
    process = start(steel, results)
    wait_until(lambda: any(has_begun_to_load_tensorflow(number) for number in workers(results)), process)
    os.killpg(process.pid, signal.SIGINT)

    code, _, err = finish(process)

    assert code == 130 and err.splitlines()[-1].startswith("steelbench: interrupted")
    assert_no_workers(results)


def test_a_worker_that_is_killed_loses_its_rows_only(steel, tmp_path):
    results = tmp_path / "results"
    process = start(steel, results, backbones=f"mobilenet_v2,{NAME}")
    wait_until(lambda: workers(results, "mobilenet_v2-"), process)
    os.kill(workers(results, "mobilenet_v2-")[0], signal.SIGKILL)

    code, _, err = finish(process)

    assert code == 1, err
    found = {line["backbone"]: line for line in board(results)}
    assert found[NAME]["status"] == "done" and found["mobilenet_v2"]["status"] == "failed"
    assert "signal 9" in found["mobilenet_v2"]["reason"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own, too small for a model."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_disk_that_fills_up_fails_the_row_and_with_room_the_same_command_goes_on(steel, small_disk, capfd):
    results = small_disk / "results"
    code, err = main(command(steel, results)), capfd.readouterr().err
    assert code == 1 and "Traceback" not in err
    assert "space left" in err or "disk is full" in err, err
    assert not list(results.glob("models/*.json")) and not records(results)

    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    assert main(command(steel, results)) == 0

    assert {line["status"] for line in board(results)} == {"done"}
    assert not [path for path in results.rglob(".*") if path.name != ".lock"]
