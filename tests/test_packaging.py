"""The wheel: what `pip install` of it gives a user who has no copy of the repository."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from results_folder import hog_row, judged, majority_row, model_row, summary, write_folder

from steelbench.evaluation.published import KNOWN

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("steelbench", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
X_SDD = list(KNOWN["x-sdd.csv"])

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pip", "setuptools"))),
    reason="building a wheel takes pip and setuptools; pip install -e '.[dev]' installs them",
)


def pip(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, because building leaves a folder `build` beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(source, folder / "source" / name)
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "made", folder / "source")
    (made,) = (folder / "made").glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The wheel installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


def in_installation(folder, *command):
    """Run a command that finds the installed package before any other, far from the repository."""
    return subprocess.run(
        list(map(str, command)), cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_wheel_holds_every_file_of_the_package(wheel):
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "steelbench").rglob("*") if path.is_file()}

    missing = {name for name in files if "__pycache__" not in name} - set(zipfile.ZipFile(wheel).namelist())

    assert not missing


def test_the_installed_command_helps(installed):
    (script,) = (installed / "bin").glob("steelbench*")

    for command in ([script, "--help"], [sys.executable, "-m", "steelbench", "--help"]):
        done = in_installation(installed, *command)

        assert done.returncode == 0 and "steelbench run --data demo" in done.stdout, done.stderr


def test_the_installed_package_knows_the_published_numbers(installed):
    code = f"""
import steelbench
from steelbench.evaluation.published import published_for
print(steelbench.__file__, len(published_for({X_SDD!r})))
"""
    done = in_installation(installed, sys.executable, "-c", code)

    assert done.stdout.split() == [str(installed / "steelbench" / "__init__.py"), "15"], done.stderr


def test_a_report_by_the_installed_package_shows_the_published_numbers_of_x_sdd(installed, tmp_path):
    rows = [model_row("vgg19", "linear", 0.98, X_SDD), hog_row(0.6, X_SDD), majority_row(X_SDD)]
    write_folder(tmp_path, judged(summary(rows, classes=X_SDD)), X_SDD)

    done = in_installation(installed, sys.executable, "-m", "steelbench", "report", tmp_path)

    assert done.returncode == 0, done.stderr
    assert "RepVGG_B3g4+SA" in (tmp_path / "report.html").read_text(encoding="utf-8")
