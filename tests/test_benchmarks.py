"""Every program in `benchmarks/` says how to run it, imports quickly, and its experiments load."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from steelbench.cli.commands.run import load_suite
from steelbench.experiment import RunOptions

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
PROGRAMS = sorted(path for path in FOLDER.glob("*.py") if not path.name.startswith("_"))
SUITES = [path for path in PROGRAMS if "EXPERIMENTS" in path.read_text(encoding="utf-8")]


def by_name(path):
    return path.stem


@pytest.mark.parametrize("path", PROGRAMS, ids=by_name)
def test_the_docstring_says_how_to_run_it(path):
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""

    assert text.splitlines()[0].strip()
    assert any(line.startswith("Run:") and f"python benchmarks/{path.name}" in line for line in text.splitlines())


@pytest.mark.parametrize("path", SUITES, ids=by_name)
def test_a_suite_tells_its_source_and_what_was_measured(path):
    lines = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()

    for word in ("Source:", "Measured:", "Demo:"):
        assert any(line.startswith(word) and line.removeprefix(word).strip() for line in lines), word


def ask(code):
    """What a script prints as JSON that is given every program, in one process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, PROGRAMS)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def helped():
    """How each program ends when it is asked for help and what it says, all programs in one process of their own."""
    code = """
import contextlib, io, json, runpy, sys
found = {}
for path in sys.argv[1:]:
    sys.argv, text, code = [path, "--help"], io.StringIO(), None
    with contextlib.redirect_stdout(text):
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as ended:
            code = ended.code
    found[path] = [code, text.getvalue()]
print(json.dumps(found))
"""
    return ask(code)


@pytest.mark.parametrize("path", PROGRAMS, ids=by_name)
def test_it_helps(path, helped):
    code, text = helped[str(path)]

    assert code == 0 and "usage" in text.lower()
    if path in SUITES:
        assert "--data" in text


@pytest.fixture(scope="module")
def imported():
    """The heavy modules that importing each program brings along, all programs in one process of their own."""
    code = """
import json, runpy, sys
found = {}
for path in sys.argv[1:]:
    runpy.run_path(path, run_name="only_imported")
    found[path] = sorted({"tensorflow", "keras", "openvino"} & set(sys.modules))
print(json.dumps(found))
"""
    return ask(code)


@pytest.mark.parametrize("path", PROGRAMS, ids=by_name)
def test_importing_it_imports_no_tensorflow(path, imported):
    assert imported[str(path)] == []


@pytest.mark.parametrize("path", SUITES, ids=by_name)
def test_its_experiments_load_and_have_names_of_their_own(path):
    experiments, preset = load_suite(path)

    names = [experiment.name for experiment in experiments]
    assert names and len(set(names)) == len(names)
    # An option that does not exist would be left out without a word.
    assert preset and set(preset) <= {*RunOptions.model_fields, "epochs"}
    RunOptions(data="demo", **{name: value for name, value in preset.items() if name != "epochs"})


def test_there_is_a_suite_for_every_recipe():
    assert {
        "arcface_retrieval", "compare_backbones", "finetune_resnet50", "input_size", "siamese_few_shot",
        "supcon_vs_crossentropy",
    } <= set(map(by_name, SUITES))  # fmt: skip
