"""`steelbench run`: experiments from names or a suite file, then the runner, the leaderboard, the report."""

from __future__ import annotations

import dataclasses
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from steelbench.cli.progress import Terminal
from steelbench.errors import SteelbenchError, choose
from steelbench.experiment import METHODS, Experiment, RunOptions, method_of, parse_assignments, with_fields
from steelbench.models import keras_hub
from steelbench.models.backbones import BACKBONES, parts_of
from steelbench.models.weight_files import search_folders
from steelbench.records import Notice, Summary, read_record

Progress = Callable[[str, str, int, int], None]
MAIN_BACKBONES = ("vgg19", "efficientnet_b0", "xception", "inception_v3")
# Takes the place of a preset of KerasHub that cannot be had.
FALLBACK = "resnet50"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What decides the experiments: as typed, not yet checked."""

    suite: Path | None
    backbones: str | None
    methods: str | None
    assignments: Sequence[str]
    epochs: int | None


def _names(text: str, kind: str, choices: Any, check: Callable[[str], Any]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SteelbenchError(f"--{kind}s is empty; name at least one of {', '.join(choices)}.")
    for name in names:
        check(name)
    return list(dict.fromkeys(names))


def _method(name: str) -> str:
    return choose("method", name, METHODS)


def load_suite(path: Path) -> tuple[list[Experiment], dict[str, Any]]:
    """The experiments of a suite file and its preset for the demo data.

    Raises:
        SteelbenchError: if the file is missing, fails, or has no EXPERIMENTS.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise SteelbenchError(f"--suite {path} {what}; name a Python file with a list EXPERIMENTS.")
    try:
        names = runpy.run_path(str(path), run_name="steelbench_suite")
    except SteelbenchError as error:
        raise SteelbenchError(f"--suite {path}: {error}") from None
    except (Exception, SystemExit) as error:
        raise SteelbenchError(f"--suite {path} fails with {type(error).__name__}: {error}; mend the file.") from None
    experiments, preset = names.get("EXPERIMENTS"), names.get("DEMO", {})
    if not isinstance(experiments, list) or not experiments or not all(map(_is_experiment, experiments)):
        raise SteelbenchError(
            f"--suite {path} defines no EXPERIMENTS; expected a list of steelbench.experiment.Experiment, one at "
            "least, each with a method's settings, such as Softmax()."
        )
    if not isinstance(preset, dict):
        raise SteelbenchError(f"--suite {path}: DEMO is {preset!r}; expected a dict of options for --data demo.")
    return experiments, preset


def _is_experiment(item: Any) -> bool:
    return isinstance(item, Experiment) and any(type(item.method) is row.settings for row in METHODS.values())


def make_experiments(request: Request, preset: dict[str, Any], suite: list[Experiment] | None) -> list[Experiment]:
    """The experiments that a command asks for, seed 0 and fold 0.

    Raises:
        SteelbenchError: for unknown names, or if nothing is left to run.
    """
    backbones = _names(request.backbones, "backbone", BACKBONES, parts_of) if request.backbones is not None else None
    methods = _names(request.methods, "method", METHODS, _method) if request.methods is not None else None
    if suite is None:
        experiments = [
            Experiment(backbone=backbone, method=METHODS[method].settings())
            for backbone in backbones or MAIN_BACKBONES
            for method in methods or ["softmax"]
        ]
    else:
        experiments = [
            experiment
            for experiment in suite
            if (not backbones or experiment.backbone in backbones)
            and (not methods or method_of(experiment.method) in methods)
        ]
        if not experiments:
            raise SteelbenchError("--backbones and --methods leave nothing of the suite; name some that it has.")
    fields = parse_assignments(request.assignments, [method_of(experiment.method) for experiment in experiments])
    epochs = request.epochs if request.epochs is not None else preset.get("epochs")
    for experiment in experiments:
        parts_of(experiment.backbone)
    return [
        dataclasses.replace(
            experiment, method=with_fields(experiment.method, fields.get(method_of(experiment.method), {}), epochs)
        )
        for experiment in experiments
    ]


def replace_missing(
    experiments: Sequence[Experiment], progress: Progress, weights_dir: Path | None = None
) -> tuple[list[Experiment], list[Notice]]:
    """Presets of KerasHub are made ready; where one cannot be had, `FALLBACK` takes its place, loudly.

    Returns:
        The experiments, and a notice for each preset that is missing.

    Raises:
        SteelbenchError: if there is no such preset.
    """
    parts = [part for experiment in experiments for part in parts_of(experiment.backbone)]
    presets = [part for part in dict.fromkeys(parts) if part.startswith(keras_hub.PREFIX)]
    missing = {preset: keras_hub.fetch(preset, search_folders(weights_dir), progress) for preset in presets}
    notices = [
        Notice(level="serious", text=f"{name} is not here, {FALLBACK} ran in its place: {reason}.")
        for name, reason in missing.items()
        if reason
    ]
    for notice in notices:
        print(f"steelbench: {notice.text}", file=sys.stderr)
    taken, chosen = {experiment.name for experiment in experiments}, []
    for experiment in experiments:
        named = dict.fromkeys(FALLBACK if missing.get(part) else part for part in parts_of(experiment.backbone))
        replaced = dataclasses.replace(experiment, backbone="+".join(named))
        if replaced == experiment or replaced.name not in taken:
            chosen.append(replaced)
        taken.add(replaced.name)
    return chosen, notices


def execute(options: RunOptions, experiments: list[Experiment], command: str) -> int:
    """Run, write leaderboard and report, print the leaderboard; returns the exit code."""
    from steelbench.evaluation.leaderboard import assemble
    from steelbench.report.results_page import build_report
    from steelbench.runs.run import run

    with Terminal() as terminal:
        experiments, notices = replace_missing(experiments, terminal, options.weights_dir)
        outcome = run(options, experiments, command, terminal)
        if outcome is None:
            summary = read_record(options.results / "results.json", Summary)
        else:
            terminal("report", "", 0, 0)
            outcome.notices[:0] = notices
            summary = assemble(
                options.results, outcome.dataset, outcome.split, outcome.failures, outcome.notices, outcome.weights
            )
            build_report(options.results)
    from steelbench.cli.tables import print_leaderboard

    print_leaderboard(summary)
    print(options.results / "report.html")
    return 1 if any(row.status == "failed" for row in summary.rows) else 0


def foresee(options: RunOptions, experiments: list[Experiment]) -> int:
    """Print what would run, what is cached, and what it will take; returns the exit code."""
    from steelbench.cli.tables import show
    from steelbench.runs.run import preview
    from steelbench.runs.scheduler import most_alive

    with Terminal() as terminal:
        experiments, _ = replace_missing(experiments, terminal, options.weights_dir)
        forecasts, counts = preview(options, experiments, terminal)
    show(
        ("backbone", "pixels", "runs", "images", "cached", "images/s", "minutes", "memory GiB"),
        (
            (
                item.backbone, str(item.image_size), str(item.tasks), str(item.images),
                str(item.images - item.missing), f"{item.rate:.0f}" if item.rate else "", f"{item.seconds / 60:.1f}",
                f"{item.memory_gib:.1f}",
            )
            for item in forecasts
        ),
        right=("pixels", "runs", "images", "cached", "images/s", "minutes", "memory GiB"),
    )  # fmt: skip
    total = sum(item.seconds for item in forecasts) / 60
    # So many workers are alive at a time: one computes, the others get ready or save.
    memory = sum(sorted(item.memory_gib for item in forecasts)[-most_alive() :])
    print(
        f"{counts['to do']} of {counts['in all']} runs to do, at most about {total:.1f} minutes and "
        f"{memory:.1f} GiB of memory. Nothing was run."
    )
    return 0
