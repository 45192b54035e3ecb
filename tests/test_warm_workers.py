"""Workers of tests, forked from a warm process, end and are killed as those that start as usual."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steelbench.runs import worker_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(os, "pidfd_open"), reason="workers start as usual where a process has no descriptor"
    ),
]


def ended(folder, module, request):
    """The exit code, output and errors of a worker that ends by itself."""
    with (folder / "log").open("wb") as errors, worker_process.start_process(module, request, errors) as process:
        # Its standard input stays open: where that closes, a worker ends at once, in the middle of a traceback even.
        out, code = process.stdout.read(), process.wait()
    return code, out, (folder / "log").read_text()


def test_a_request_that_is_not_there_ends_with_1_and_its_traceback(tmp_path):
    code, out, log = ended(tmp_path, "activation_maps_worker", tmp_path / "none.json")

    assert code == 1 and not out and "none.json" in log


def test_a_worker_that_waits_ends_with_the_process_that_asked_for_it(tmp_path):
    fifo = tmp_path / "request"
    os.mkfifo(fifo)
    with (
        (tmp_path / "log").open("wb") as errors,
        worker_process.start_process("robustness_worker", fifo, errors) as process,
    ):
        # Its end opens when the worker reads its request.
        writer = os.open(fifo, os.O_WRONLY)
        process.kill()
        # The output ends when the worker, too, is gone.
        assert process.stdout.read() == b"" and process.wait() == -signal.SIGKILL
    os.close(writer)


def test_only_the_tests_own_python_is_replaced(tmp_path, monkeypatch):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "$3"\n')
    script.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(script))

    assert ended(tmp_path, "worker", Path("x"))[:2] == (0, b"steelbench.runs.worker\n")
    assert worker_process.subprocess is subprocess
