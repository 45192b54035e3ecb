"""A real worker: how it ends, well and not."""

import stat
import subprocess
import sys

import pytest

from steelbench.cli.exit import main
from steelbench.records import Summary, read_record
from steelbench.runs.worker_process import worker_environment

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_networks")]


@pytest.fixture
def exit_codes(monkeypatch, tmp_path):
    """A file with the exit code of every worker that was started."""
    codes, script = tmp_path / "codes", tmp_path / "python"
    script.write_text(f'#!/bin/sh\n{sys.executable} "$@"\ncode=$?\necho $code >> {codes}\nexit $code\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(script))
    return codes


def run(data, results, *more):
    options = ["--weights", "random", "--backbones", "mobilenet_v2_035", "--image-size", "32", "--epochs", "1"]
    options += ["--engine", "keras"]
    return main(["run", "--data", str(data), "--results", str(results), *options, *more])


def test_a_worker_that_has_done_all_ends_with_0_and_leaves_no_log(tiny_images, tmp_path, exit_codes):
    assert run(tiny_images(images=6), tmp_path / "results") == 0

    # The thread that listens to the parent must not make Python abort at its end.
    assert exit_codes.read_text().split() == ["0"]
    assert not (tmp_path / "results" / "unfinished").exists()


def test_a_worker_that_fails_before_its_first_task_gives_its_error_as_the_reason(
    tiny_images, tmp_path, exit_codes, monkeypatch
):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("not a folder")
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))

    assert run(tiny_images(images=6), tmp_path / "results") == 1

    row = next(
        row for row in read_record(tmp_path / "results" / "results.json", Summary).rows if row.backbone != "none"
    )
    assert "NotADirectoryError" in row.reason and str(tmp_path / "cache") in row.reason
    assert exit_codes.read_text().split() == ["1"]


def test_linear_algebra_has_one_thread_in_a_worker():
    code = """
import numpy, sklearn.linear_model, threadpoolctl
print(sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=worker_environment()
    )
    assert done.stdout.strip() == "[1]"
