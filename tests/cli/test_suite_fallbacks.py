"""FALLBACKS of a suite: the network that runs where the weights of its own cannot be had."""

import pytest

from steelbench.cli import networks
from steelbench.cli.exit import main
from steelbench.models import keras_hub
from steelbench.models.backbones import BACKBONES
from steelbench.models.weight_files import NotFoundError, Origin, find_file
from steelbench.records import Summary, read_record

SUITE = """
from steelbench.experiment import Experiment, Linear, Softmax
EXPERIMENTS = [Experiment(backbone=name, method=method()) for name in {names} for method in (Linear, Softmax)]
FALLBACKS = {fallbacks}
"""
OWN, OTHER = "xception", "efficientnet_lite0"


@pytest.fixture
def suite(tmp_path):
    """Writes a suite of these networks with two methods each; returns its path."""

    def write(*names, fallbacks):
        path = tmp_path / "suite.py"
        path.write_text(SUITE.format(names=names, fallbacks=fallbacks), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def steel(tiny_images):
    """Three classes of eight images; for reading only."""
    return tiny_images(images=8)


@pytest.fixture
def lacking(monkeypatch):
    """Takes the weights of these networks away, and no network's weights are fetched."""
    names = set()

    def resolve(name, source, weights_dir=None, progress=None):
        if name in names and source == "imagenet":
            raise NotFoundError(f"weights of {name} were not found")
        return Origin("random" if name in names else source)

    monkeypatch.setattr(networks, "resolve", resolve)
    return names


@pytest.fixture
def ran(monkeypatch, steel):
    """Runs `steelbench run` up to the training; returns backbone and method of each experiment."""
    calls = []

    def run(options, experiments, command, progress):
        calls.append([(experiment.backbone, experiment.method_name) for experiment in experiments])
        raise KeyboardInterrupt

    monkeypatch.setattr("steelbench.runs.run.run", run)

    def start(*arguments):
        assert main(["run", "--data", str(steel), *map(str, arguments)]) == 130
        return calls.pop()

    return start


def both(name):
    return [(name, "linear"), (name, "softmax")]


@pytest.mark.parametrize("weights", ["imagenet", "auto"])
def test_the_other_network_runs_and_one_line_says_so(weights, suite, lacking, ran, capsys):
    lacking.add(OWN)

    assert ran("--suite", suite(OWN, fallbacks={OWN: OTHER}), "--weights", weights) == both(OTHER)

    told = [line for line in capsys.readouterr().err.splitlines() if OTHER in line]
    assert len(told) == 1 and f"{OWN} is not here, {OTHER} ran in its place" in told[0]
    assert "steelbench weights list" in told[0]


@pytest.mark.parametrize(
    ("weights", "missing"),
    [("imagenet", ()), ("auto", ()), ("random", (OWN,)), ("imagenet", (OWN, OTHER)), ("auto", (OWN, OTHER))],
)
def test_the_suites_own_network_runs_where_it_can_or_nothing_better_could(
    weights, missing, suite, lacking, ran, capsys
):
    lacking |= set(missing)

    assert ran("--suite", suite(OWN, fallbacks={OWN: OTHER}), "--weights", weights) == both(OWN)

    assert "in its place" not in capsys.readouterr().err


def test_a_suite_without_fallbacks_runs_what_it_says(suite, lacking, ran):
    lacking.add(OWN)

    assert ran("--suite", suite(OWN, fallbacks={})) == both(OWN)


def test_the_other_network_can_be_asked_for_by_name(suite, lacking, ran, capsys):
    path = suite(OWN, "vgg19", fallbacks={OWN: OTHER})

    assert ran("--suite", path, "--backbones", OTHER) == both(OTHER)
    assert ran("--suite", path, "--backbones", f"{OTHER},vgg19", "--methods", "linear") == [
        ("vgg19", "linear"), (OTHER, "linear"),
    ]  # fmt: skip
    assert "in its place" not in capsys.readouterr().err


def test_an_ensemble_is_made_of_what_there_is_and_nothing_runs_twice(suite, lacking, ran):
    lacking.add(OWN)
    path = suite(OWN, OTHER, f"{OWN}+vgg19", fallbacks={OWN: OTHER})

    assert ran("--suite", path) == [*both(OTHER), *both(f"{OTHER}+vgg19")]


def test_a_preset_of_keras_hub_falls_back_to_what_the_suite_names(suite, lacking, ran, monkeypatch, capsys):
    monkeypatch.setattr(keras_hub, "fetch", lambda *_: "the line is dead")
    monkeypatch.setattr("steelbench.cli.requested.check_networks", lambda names: None)

    assert ran("--suite", suite("hub:tiny", fallbacks={"hub:tiny": OTHER})) == both(OTHER)

    told = capsys.readouterr().err
    assert f"hub:tiny is not here, {OTHER} ran in its place, as the suite says: the line is dead." in told


@pytest.mark.parametrize(
    ("fallbacks", "words"),
    [(["xception"], "expected a dict"), ({"xception": 3}, "expected a dict"), ({"xception": "lite0"}, "lite0")],
)
def test_fallbacks_of_another_kind_are_the_users_mistake(fallbacks, words, suite, steel, capsys):
    assert main(["run", "--data", str(steel), "--suite", str(suite(OWN, fallbacks=fallbacks))]) == 2

    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_says_which_network_ran(suite, steel, tmp_path, monkeypatch):
    if find_file(BACKBONES[OTHER].imagenet, None) is None:
        pytest.skip("its package is not installed")
    for name in ("STEELBENCH_CACHE", "KERAS_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    # No host of that name exists: nothing is fetched.
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    path, results = suite(OWN, fallbacks={OWN: OTHER}), tmp_path / "results"

    assert (
        main(["run", "--data", str(steel), "--suite", str(path), "--image-size", "32", "--results", str(results)]) == 0
    )

    summary = read_record(results / "results.json", Summary)
    assert {row.backbone for row in summary.rows} == {OTHER, "none"}
    assert {row.weights for row in summary.rows if row.backbone == OTHER} == {"imagenet"}
    [told] = [notice for notice in summary.warnings if notice.code == "SB307"]
    assert told.level == "note"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert f"{OWN} is not here, {OTHER} ran in its place" in page
