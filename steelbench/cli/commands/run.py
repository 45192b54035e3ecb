"""`steelbench run`: make the experiments from names or a suite file, run them, write leaderboard and report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelbench.cli.next_steps import next_steps
from steelbench.cli.progress import ProgressDisplay
from steelbench.cli.recognised import say_recognised
from steelbench.cli.suites import Suite, experiments_of, replace_networks
from steelbench.cli.terminal import result, say
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError, choose
from steelbench.experiment import METHODS, Experiment, RunOptions, networks_of, parse_assignments, with_fields
from steelbench.models import keras_hub
from steelbench.models.backbones import BACKBONES, check_networks
from steelbench.models.weight_files import INSTALL_LITE, NotFoundError, resolve, search_folders
from steelbench.notices import known_codes, notice
from steelbench.progress import Progress
from steelbench.records import Notice, Summary, read_record

if TYPE_CHECKING:
    from steelbench.evaluation.outcome import RunOutcome

MAIN_BACKBONES = ("vgg19", "efficientnet_b0", "xception", "inception_v3")
# The word for those of `MAIN_BACKBONES` whose weights can be had, and `PACKAGED`.
AUTO = "auto"
# Its ImageNet weights come from the package index.
PACKAGED = "efficientnet_lite0"
# Runs in place of a KerasHub preset that cannot be fetched, where the suite names no other network.
FALLBACK = "resnet50"
NO_WEIGHTS = "its weights are not on this machine and could not be fetched"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The options that decide which experiments run, as typed, not yet checked.

    Attributes:
        suite: a suite file; None for all pairs of `backbones` and `methods`.
        backbones: names, separated by commas; None or `auto` for the suite's, or the main ones.
        methods: names, separated by commas; None for the suite's, or softmax.
        assignments: `METHOD.FIELD=VALUE` texts.
        epochs: for every method that has epochs; None for each method's own.
        silence: codes of notices that are left out of the report.
    """

    suite: Path | None
    backbones: str | None
    methods: str | None
    assignments: Sequence[str]
    epochs: int | None
    silence: tuple[str, ...] = ()

    @property
    def auto(self) -> bool:
        """Return whether the backbones are those whose weights can be had."""
        return self.suite is None and not self.named_backbones

    @property
    def named_backbones(self) -> str | None:
        """Return the names of the backbones; None for those of the suite, or the usual ones."""
        return None if (self.backbones or "").strip() == AUTO else self.backbones


def _names(text: str, kind: str, choices: Any, check: Callable[[str], Any]) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise SteelbenchError(f"--{kind}s is empty; name at least one of {', '.join(choices)}.")
    for name in names:
        check(name)
    return list(dict.fromkeys(names))


def _backbone(name: str) -> None:
    check_networks(networks_of(name))


def _method(name: str) -> str:
    return choose("method", name, METHODS)


def make_experiments(request: Request, preset: Mapping[str, Any], suite: Suite) -> list[Experiment]:
    """Return the experiments that a command asks for, each for seed 0 and fold 0.

    Without names and without a suite these are too many: `with_weights` says which of them can run.

    Args:
        request: the options as typed.
        preset: option -> value, for options that were not given.
        suite: to choose from; `--backbones` also takes the networks that it falls back to.

    Raises:
        SteelbenchError: for unknown names, or if nothing is left to run.
    """
    named = request.named_backbones
    backbones = _names(named, "backbone", BACKBONES, _backbone) if named is not None else None
    methods = _names(request.methods, "method", METHODS, _method) if request.methods is not None else None
    if not suite.experiments:
        experiments = [
            Experiment(backbone=backbone, method=METHODS[method].settings())
            for backbone in backbones or (*MAIN_BACKBONES, PACKAGED)
            for method in methods or ["softmax"]
        ]
    else:
        experiments = [
            experiment
            for experiment in experiments_of(suite, backbones)
            if not methods or experiment.method_name in methods
        ]
        if not experiments:
            raise SteelbenchError("--backbones and --methods leave nothing of the suite; name some that it has.")
    fields = parse_assignments(request.assignments, [experiment.method_name for experiment in experiments])
    epochs = request.epochs if request.epochs is not None else preset.get("epochs")
    for experiment in experiments:
        check_networks(experiment.networks)
    return [
        dataclasses.replace(
            experiment, method=with_fields(experiment.method, fields.get(experiment.method_name, {}), epochs)
        )
        for experiment in experiments
    ]


def with_weights(experiments: list[Experiment], options: RunOptions, progress: Progress) -> list[Experiment]:
    """Return the experiments whose networks have weights on this machine, or that can be fetched; name the others.

    Args:
        experiments: with the backbones of `auto`.
        options: of the run; with `--weights auto` a network without weights runs untrained, and with `random` or a
            file the backbones are `MAIN_BACKBONES`.
        progress: called while weights are fetched.

    Raises:
        SteelbenchError: if no network has weights, or a file is damaged.
    """
    kind = options.weights
    if kind == "auto":
        return experiments
    if kind not in ("imagenet", "noisy-student"):
        return [experiment for experiment in experiments if experiment.backbone in MAIN_BACKBONES]
    # Before weights are fetched, which may take minutes.
    read_dataset(options)
    names = list(dict.fromkeys(experiment.backbone for experiment in experiments))
    published = [name for name in names if kind == "imagenet" or BACKBONES[name].noisy_student]
    missing = [name for name in published if not _can_be_had(name, options, progress)]
    if missing == published:
        raise SteelbenchError(
            f"no {kind} weights of {', '.join(published)} are on this machine, and none could be fetched. "
            f"{INSTALL_LITE} brings those of {PACKAGED}; `steelbench weights list` names the files and folders of the "
            "others; --weights random leaves the networks untrained."
        )
    if missing:
        say(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} left out: the weights are not on this "
            "machine and could not be fetched; steelbench weights list says how to get them."
        )
    return [experiment for experiment in experiments if experiment.backbone in set(published) - set(missing)]


def _can_be_had(name: str, options: RunOptions, progress: Progress) -> bool:
    try:
        # With `auto` nothing is missing, as random weights take their place.
        kind = "imagenet" if options.weights == "auto" else options.weights
        resolve(name, kind, options.weights_dir, lambda *step: progress("fetch", *step))
    except NotFoundError:
        return False
    return True


def replace_missing(
    experiments: Sequence[Experiment],
    options: RunOptions,
    progress: Progress,
    fallbacks: Mapping[str, str] | None = None,
) -> tuple[list[Experiment], list[Notice]]:
    """Fetch presets of KerasHub and weights of a suite's networks; replace a network that cannot be had, and say so.

    Args:
        experiments: to run.
        options: of the run; with weights other than `imagenet` or `auto` no network but a preset is replaced.
        progress: called while files are fetched.
        fallbacks: of the suite; a preset that it does not name falls back to `FALLBACK`.

    Returns:
        The experiments without those that are named twice after that, and a notice for each network replaced.

    Raises:
        SteelbenchError: if there is no such preset, or a file is damaged.
    """
    fallbacks = fallbacks or {}
    if fallbacks:
        # Before weights are fetched, which may take minutes.
        read_dataset(options)
    parts = dict.fromkeys(part for experiment in experiments for part in experiment.networks)
    reasons = {part: reason for part in parts if (reason := _why_missing(part, options, progress, fallbacks))}
    instead = {part: fallbacks.get(part, FALLBACK) for part in reasons}
    notices = [
        notice(
            "SB307" if part in fallbacks else "SB303",
            name=part, fallback=instead[part], reason=reason, advise=reason == NO_WEIGHTS,
        )
        for part, reason in reasons.items()
    ]  # fmt: skip
    for told in notices:
        say(told.text)
    return replace_networks(experiments, instead), notices


def _why_missing(part: str, options: RunOptions, progress: Progress, fallbacks: Mapping[str, str]) -> str:
    """Return why a network cannot be had though another could run in its place; "" if it can, or none could."""
    if part.startswith(keras_hub.PREFIX):
        return keras_hub.fetch(part, search_folders(options.weights_dir), progress)
    if part not in fallbacks or options.weights not in ("imagenet", "auto"):
        return ""
    if _can_be_had(part, options, progress) or not _can_be_had(fallbacks[part], options, progress):
        return ""
    return NO_WEIGHTS


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
