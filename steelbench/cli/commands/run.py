"""`steelbench run`: run experiments, write leaderboard and report, say what to do next; or only foresee it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from steelbench.cli.networks import replace_missing, with_weights
from steelbench.cli.next_steps import next_steps
from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.recognised import say_recognised
from steelbench.cli.terminal import result, say
from steelbench.experiment import Experiment, RunOptions
from steelbench.models.backbones import BACKBONES
from steelbench.notices import known_codes
from steelbench.records import Summary, read_record

if TYPE_CHECKING:
    from steelbench.evaluation.outcome import RunOutcome


def execute(
    options: RunOptions,
    experiments: list[Experiment],
    command: str,
    silence: tuple[str, ...] = (),
    auto: bool = False,
    fallbacks: Mapping[str, str] | None = None,
) -> int:
    """Run experiments, write leaderboard and report, print the leaderboard, and say what to do next.

    Args:
        options: of the run.
        experiments: for seed 0 and fold 0; the run makes the others.
        command: the command line, for the record.
        silence: codes of notices that are left out of the report.
        auto: whether experiments of networks whose weights cannot be had are left out.
        fallbacks: of the suite, network -> the one that runs where the weights of the first cannot be had.

    Returns:
        The exit code: 1 if an experiment failed.
    """
    from steelbench.evaluation.leaderboard import assemble
    from steelbench.report.results_page import build_report
    from steelbench.runs.activation_maps import write_activation_maps
    from steelbench.runs.decisions import write_decisions
    from steelbench.runs.intact import seal
    from steelbench.runs.label_first import list_images_to_label
    from steelbench.runs.preparation import refuse_options
    from steelbench.runs.results_folder import refuse_unusable, refuse_unusable_cache
    from steelbench.runs.run import run
    from steelbench.runs.tracking import track

    hidden = known_codes(silence)
    # Found before anything is read or fetched.
    refuse_options(options, _certain(experiments, fallbacks or {}))
    refuse_unusable(options.results)
    refuse_unusable_cache()
    with ProgressDisplay() as terminal:
        say_recognised(options)
        if auto:
            experiments = with_weights(experiments, options, terminal)
        experiments, notices = replace_missing(experiments, options, terminal, fallbacks)
        outcome = run(options, experiments, command, terminal)
        if outcome is None:
            summary = read_record(options.results / "results.json", Summary)
            summary = summary.model_copy(update={"silenced": sorted({*summary.silenced, *hidden})})
        else:
            terminal("report", "", 0, 0)
            outcome = dataclasses.replace(outcome, notices=[*notices, *outcome.notices], silenced=hidden)
            summary = assemble(options.results, outcome)
            draw_thumbnails(options, outcome, summary)
            write_activation_maps(options.results, outcome.root, options.bit_depth, terminal)
            write_decisions(options.results, summary)
            list_images_to_label(options, summary)
            build_report(options.results)
            seal(options.results)
        if options.track != "off":
            terminal("track", options.track, 0, 0)
        untracked = track(options.results, summary, options.track)
    from steelbench.cli.tables import print_leaderboard

    if untracked:
        say(untracked.text)
    print_leaderboard(summary)
    # Scripts read the path from the last line of standard output; people read on.
    print(result(str(options.results / "report.html")), flush=True)
    for line in next_steps(options.results, options.data, summary):
        say(line)
    return 1 if any(row.status == "failed" for row in summary.rows) else 0


def _certain(experiments: Sequence[Experiment], fallbacks: Mapping[str, str]) -> list[Experiment]:
    """Return the experiments whose networks will not be replaced; presets of KerasHub may be."""
    certain = set(BACKBONES) - set(fallbacks)
    return [experiment for experiment in experiments if set(experiment.networks) <= certain]


def draw_thumbnails(options: RunOptions, outcome: RunOutcome, summary: Summary) -> None:
    """Draw the images that the report shows: wrong answers, their neighbours, examples, some images of the maps."""
    from steelbench.evaluation.error_tables import ERRORS_FILE, read_errors
    from steelbench.runs.map_pictures import mapped_pictures
    from steelbench.runs.thumbnails import choose_pictures, class_examples, write_thumbnails

    examples = class_examples(list(outcome.labels), list(outcome.labels.values()))
    errors = read_errors(options.results / ERRORS_FILE) or []
    others = mapped_pictures(options.results, summary)
    wanted = choose_pictures(errors, [path for own in examples.values() for path in own], others)
    write_thumbnails(options.results, outcome.root, options.bit_depth, wanted, examples)


def foresee(
    options: RunOptions,
    experiments: list[Experiment],
    auto: bool = False,
    fallbacks: Mapping[str, str] | None = None,
) -> int:
    """Print the runs, cached images, minutes and memory of each backbone, and what follows the runs; returns 0."""
    from steelbench.cli.tables import show
    from steelbench.runs.preparation import refuse_options
    from steelbench.runs.results_folder import refuse_unusable_cache
    from steelbench.runs.run import preview
    from steelbench.runs.scheduler import most_alive

    refuse_options(options, _certain(experiments, fallbacks or {}))
    refuse_unusable_cache()
    with ProgressDisplay() as terminal:
        say_recognised(options)
        if auto:
            experiments = with_weights(experiments, options, terminal)
        experiments, _ = replace_missing(experiments, options, terminal, fallbacks)
        forecasts, steps, counts = preview(options, experiments, terminal)
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
    for name, seconds in steps.items():
        print(f"{name}: about {seconds / 60:.1f} minutes more")
    total = (sum(item.seconds for item in forecasts) + sum(steps.values())) / 60
    # So many workers are alive at a time: one computes features, the others start or save.
    memory = sum(sorted(item.memory_gib for item in forecasts)[-most_alive() :])
    print(
        f"{counts['to do']} of {counts['in all']} runs to do, at most about {total:.1f} minutes and "
        f"{memory:.1f} GiB of memory. Nothing was run."
    )
    return 0
