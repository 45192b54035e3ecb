"""Every module can be imported where Python lacks what only POSIX systems have, as on Windows."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import steelbench
from steelbench import machine
from steelbench.files import write_text

PACKAGE = Path(steelbench.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
HEAVY = ["keras", "openvino", "tensorflow"]
# Extras, which functions import when they are asked for.
EXTRAS = ["efficientnet", "keras_hub"]
POSIX_MODULES = ["fcntl", "grp", "pty", "pwd", "resource", "termios", "tty"]
POSIX_NAMES = {
    "os": [
        "fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getpriority", "getuid", "killpg",
        "mkfifo", "nice", "openpty", "pread", "pwrite", "sched_getaffinity", "sched_setaffinity", "setpgid", "setsid",
        "statvfs", "sync", "sysconf", "uname", "wait", "wait3", "wait4", "waitid",
    ],
    "signal": ["SIGALRM", "SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pause", "setitimer"],
}  # fmt: skip

# Libraries choose what they need by the name of the system, which stays Linux here; so they are imported first.
PROGRAM = """
import importlib, json, os, signal, sys

modules, libraries, heavy, posix_modules, posix_names = json.loads(sys.argv[1])
for name in libraries:
    importlib.import_module(name)
for name in posix_modules:
    sys.modules[name] = None
for owner, names in posix_names.items():
    for name in names:
        vars(sys.modules[owner]).pop(name, None)
for name in heavy:
    sys.modules[name] = None
failed, skipped = {}, []
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in heavy:
            skipped.append(name)
        else:
            failed[name] = str(error)
    except Exception as error:
        failed[name] = f"{type(error).__name__}: {error}"
from steelbench.cli.exit import main
from steelbench.machine import environment
codes = [main(["--help"]), main(["list"]), main(["cache", "info"])]
print(json.dumps({"failed": failed, "skipped": skipped, "codes": codes, "cores": environment()["cores"]}))
"""


def libraries():
    """Every module of other packages that the package imports, also inside functions."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return sorted(name for name in found if name.split(".")[0] not in {"steelbench", *POSIX_MODULES})


def imported_without_posix(hidden):
    """Import every module in one process without what POSIX adds, and without the libraries in `hidden`."""
    wanted = [name for name in libraries() if name.split(".")[0] not in {*hidden, *EXTRAS}]
    asked = json.dumps([MODULES, wanted, hidden, POSIX_MODULES, POSIX_NAMES])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, asked], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_light_modules_import_without_posix():
    found = imported_without_posix(HEAVY)

    assert not found["failed"]
    assert len(found["skipped"]) < len(MODULES) / 2, "too many modules need a network library"
    assert found["codes"] == [0, 0, 0] and found["cores"] == os.cpu_count()


@pytest.mark.slow
def test_every_module_imports_without_posix():
    found = imported_without_posix([])

    assert not found["failed"] and not found["skipped"]


def test_the_peak_of_memory_is_the_one_that_windows_counts(monkeypatch):
    class Memory:
        peak_wset = 3 * 2**30

    class Process:
        def memory_info(self):
            return Memory

    monkeypatch.setattr(psutil, "Process", Process)
    monkeypatch.setitem(sys.modules, "resource", None)

    assert machine.peak_memory_gib() == 3


def test_the_peak_of_memory_grows_with_an_array_and_does_not_fall():
    before = machine.peak_memory_gib()
    large = b"x" * (256 * 2**20)
    during = machine.peak_memory_gib()
    del large

    assert before > 0 and psutil.Process().memory_info().rss / 2**30 <= during + 0.01
    assert machine.peak_memory_gib() >= during


def test_a_file_is_flushed_while_it_is_open_for_writing(tmp_path, monkeypatch):
    """Windows refuses to flush a file that is open for reading."""

    def flush(handle):
        os.write(handle, b"")

    monkeypatch.setattr(os, "fsync", flush)

    write_text(tmp_path / "x.txt", "x")

    assert (tmp_path / "x.txt").read_text(encoding="utf-8") == "x"


def test_writing_files_leaves_the_umask_alone(tmp_path, monkeypatch):
    """Setting it, if only to read it, is seen by every thread."""
    monkeypatch.setattr(os, "umask", None)

    write_text(tmp_path / "x.txt", "x")
