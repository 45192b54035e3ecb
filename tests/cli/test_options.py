"""Options of the command line: where their limits and defaults come from, and what becomes of their values."""

import pytest

from steelbench.cli.exit import main
from steelbench.experiment import RunOptions

LIMITED = {"seeds": 1000, "folds": 100, "image_size": 2048, "bit_depth": 16, "confidence": 1}


@pytest.fixture
def ran(monkeypatch):
    """Runs `steelbench run` up to the experiments; returns what it would have run."""
    calls = []
    monkeypatch.setattr("steelbench.cli.commands.run.execute", lambda *given: calls.append(given) or 0)

    def run(*arguments):
        assert main(["run", *map(str, arguments)]) == 0
        return calls.pop()

    return run


@pytest.fixture
def help_of(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def read(*command):
        assert main([*command, "--help"]) == 0
        return capsys.readouterr().out

    return read


def test_every_option_of_a_run_can_be_given_and_its_help_fits_the_terminal(help_of):
    text = help_of("run")

    missing = [name for name in RunOptions.model_fields if f"--{name.rstrip('_').replace('_', '-')} " not in text]
    assert set(missing) <= {"dry_run"}
    assert max(map(len, text.splitlines())) <= 80


def test_help_names_choices_limits_and_defaults(help_of):
    text = " ".join(help_of("run").split())

    assert "float32 (default), bfloat16 or float16." in text
    assert "1 to 1000, default 1." in text and "0.5 to 1, default 0.9." in text
    assert "8 to 16, default 16." in text and "8 to 16, default 16." in " ".join(help_of("audit").split())


@pytest.mark.parametrize("field", LIMITED)
def test_a_value_beyond_the_limits_of_its_field_is_refused_with_both(field, capsys):
    option, largest = f"--{field.replace('_', '-')}", LIMITED[field]

    assert main(["run", "--data", "nowhere", option, str(largest + 1)]) == 2

    message = capsys.readouterr().err
    assert option in message and str(largest + 1) in message and f"to {largest}." in message


def test_what_is_given_wins_over_the_preset_and_the_preset_over_the_default(ran, tmp_path):
    suite = tmp_path / "suite.py"
    suite.write_text(
        "from steelbench.experiment import Experiment, Softmax\n"
        "EXPERIMENTS = [Experiment(backbone='vgg19', method=Softmax())]\n"
        "DEMO = {'weights': 'auto', 'seeds': 2, 'include_none': True, 'epochs': 3}\n"
    )

    options, experiments, *_ = ran("--data", "demo", "--suite", suite, "--seeds", 4)

    assert (options.weights, options.seeds, options.include_none, options.folds) == ("auto", 4, True, 1)
    assert experiments[0].method.epochs == 3


def test_without_a_preset_every_option_has_its_default(ran):
    options, *_ = ran("--data", "images/steel.csv", "--methods", "linear")

    given = {"data", "results"}
    assert options.model_dump(exclude=given) == RunOptions(data="x").model_dump(exclude=given)
    assert options.results.as_posix() == "results/steel"


def test_what_else_to_measure_is_a_list_of_known_words(ran, capsys):
    assert ran("--data", "demo")[0].with_ == ()
    assert ran("--data", "demo", "--with", "unknown")[0].with_ == ("unknown",)
    assert ran("--data", "demo", "--with", "unknown,robustness,unknown")[0].with_ == ("unknown", "robustness")
    for wrong in ("", ",", "unkown", "unknown,rubust"):
        assert main(["run", "--data", "demo", "--with", wrong]) == 2
        assert "expected one or more of robustness, unknown" in capsys.readouterr().err


def test_codes_to_silence_reach_the_run_and_the_report(ran, monkeypatch, tmp_path):
    def build_report(results, silence=()):
        reports.append(silence)
        return results

    reports = []
    monkeypatch.setattr("steelbench.report.results_page.build_report", build_report)

    assert ran("--data", "demo")[3] == ()
    assert ran("--data", "demo", "--silence", "B", "--silence", "A")[3] == ("B", "A")
    assert main(["report", str(tmp_path)]) == main(["report", str(tmp_path), "--silence", "A"]) == 0
    assert reports == [(), ("A",)]


def test_help_lists_every_command_once_below_a_heading(help_of):
    from steelbench.cli.app import app

    commands = {info.name or info.callback.__name__ for info in app.registered_commands}
    commands |= {info.name for info in app.registered_groups}
    lines = help_of().splitlines()

    listed = [line.split()[0] for line in lines[lines.index("Compare:") :] if line.startswith("  ")]
    assert sorted(listed) == sorted(commands)
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Options:", "Compare:", "Look at the data:", "Use a model:", "Housekeeping:",
    ]  # fmt: skip


def test_without_a_command_the_first_steps_come_before_all_commands(capsys):
    assert main([]) == 2

    text = capsys.readouterr().err
    steps = [
        "steelbench run --data demo", "steelbench audit --data DIR", "steelbench run --data DIR",
        "steelbench predict MODEL IMAGES",
    ]  # fmt: skip
    places = [text.index(step) for step in steps]
    assert places == sorted(places) and places[-1] < text.index("Compare:")
