"""Every program in `benchmarks/` says how to run it, names what exists, and its experiments load."""

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import steelbench
from steelbench.cli.networks import MAIN_BACKBONES, PACKAGED
from steelbench.cli.suites import load_suite
from steelbench.experiment import RunOptions
from steelbench.models.backbones import BACKBONES

PACKAGE = Path(steelbench.__file__).parent
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


HELP = """
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


@pytest.fixture(scope="module")
def helped():
    """Exit code and output of each program that is asked for help, all programs in one process."""
    done = subprocess.run(
        [sys.executable, "-c", HELP, *map(str, PROGRAMS)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("path", PROGRAMS, ids=by_name)
def test_it_helps(path, helped):
    code, text = helped[str(path)]

    assert code == 0 and "usage" in text.lower()
    if path in SUITES:
        assert "--data" in text


@pytest.mark.parametrize("path", SUITES, ids=by_name)
def test_its_experiments_load_and_have_names_of_their_own(path):
    suite = load_suite(path)
    preset = suite.demo

    names = [experiment.name for experiment in suite.experiments]
    assert names and len(set(names)) == len(names)
    # An option that does not exist would be left out without a word.
    assert preset and set(preset) <= {*RunOptions.model_fields, "epochs"}
    RunOptions(data="demo", **{name: value for name, value in preset.items() if name != "epochs"})


@pytest.mark.parametrize("path", SUITES, ids=by_name)
def test_it_has_a_network_whose_weights_come_from_the_package_index_or_needs_none(path):
    """A user without the weights of its own networks gets a working run on genuine ones."""
    suite = load_suite(path)
    packaged = {name for name, row in BACKBONES.items() if row.imagenet.package}

    needed = {part for experiment in suite.experiments for part in experiment.networks}
    assert set(suite.fallbacks) <= needed and set(suite.fallbacks.values()) <= packaged
    if suite.demo["weights"] == "random":
        assert not suite.fallbacks
    else:
        # Either every network has another one, or one of them is packaged and the others are left unranked.
        assert needed - packaged <= set(suite.fallbacks) or needed & packaged
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert all(name in text for name in suite.fallbacks.values())


def defined(module):
    """Names at the top of a module of the package, read as text: importing some takes seconds."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return names


@pytest.mark.parametrize("path", PROGRAMS, ids=by_name)
def test_what_it_imports_from_the_package_exists(path):
    """Also inside functions, which run only after minutes."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").startswith("steelbench.")]

    wrong = [
        f"{node.module}.{alias.name}" for node in ours for alias in node.names if alias.name not in defined(node.module)
    ]

    assert ours and not wrong


def test_there_is_a_suite_for_every_recipe():
    assert {
        "arcface_retrieval", "compare_backbones", "finetune_resnet50", "input_size", "siamese_few_shot",
        "supcon_vs_crossentropy",
    } <= set(map(by_name, SUITES))  # fmt: skip


def test_the_first_suite_has_a_network_whose_weights_come_with_an_installation():
    suite = load_suite(FOLDER / "compare_backbones.py")

    names = {(experiment.backbone, experiment.method_name) for experiment in suite.experiments}
    assert {backbone for backbone, _ in names} == {*MAIN_BACKBONES, PACKAGED}
    assert len(names) == len(suite.experiments) == 10
    assert suite.demo["weights"] == "auto"


def test_where_labels_say_nothing_no_method_without_a_network_is_above_chance():
    """The splits, heads and intervals of the leaderboard on data sets of difficulty 1."""
    program = runpy.run_path(str(FOLDER / "demo_difficulty.py"))

    scores = [score for seed in range(3) for score in program["null_scores"](seed, 60, None)]

    assert [score.method for score in scores] == ["majority", "hog"] * 3
    assert all(score.low <= score.chance <= score.high for score in scores)
    assert all(0.14 < score.chance < 0.16 for score in scores)
    lines = list(program["null_lines"](scores))
    assert [line[0] for line in lines] == ["majority", "hog"] and {line[-2:] for line in lines} == {("0 of 3", "1.00")}
