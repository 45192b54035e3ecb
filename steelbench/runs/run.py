"""One `steelbench run`: from options and experiments to finished runs in the results folder. No TensorFlow."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from steelbench.audit.findings import write_audit
from steelbench.audit.labels import check_labels
from steelbench.errors import SteelbenchError
from steelbench.evaluation.outcome import RunOutcome
from steelbench.experiment import Experiment, RunOptions
from steelbench.files import cache_folder, write_json
from steelbench.machine import environment
from steelbench.records import Notice, RunKey, Summary, read_record
from steelbench.runs.activation_maps import maps_wait
from steelbench.runs.baselines import run_hog, run_majority
from steelbench.runs.fingerprint import fingerprint, unfinished
from steelbench.runs.forecast import Forecast, forecast
from steelbench.runs.intact import holds_these_runs, unseal
from steelbench.runs.jobs import Event, Job, RunData
from steelbench.runs.make_jobs import make_data, make_jobs
from steelbench.runs.preparation import (
    AuditedSplits,
    Progress,
    RunInputs,
    prepare,
    split_and_audit,
    tie_unlabelled,
)
from steelbench.runs.results_folder import (
    FIXED,
    broken_files,
    clear,
    delete_damaged,
    is_whole,
    locked,
    refuse_other_results,
    refuse_unusable,
    sweep,
)
from steelbench.runs.robustness import measure_robustness, unmeasured
from steelbench.runs.run_summary import (
    describe_data,
    describe_split,
    first_notices,
    sound_notices,
    unlabelled_notices,
    weights_notices,
    write_skipped,
)
from steelbench.runs.scheduler import run_jobs
from steelbench.runs.step_forecast import forecast_steps
from steelbench.runs.timing import time_models, untimed
from steelbench.runs.unknown_plan import pass_over, testable, untested

# Damaged files that are told by name.
NAMED = 4


def run(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> RunOutcome | None:
    """Run what is not done yet.

    Args:
        options: of the command.
        experiments: with seed 0 and fold 0; they are run for all.
        command: as typed, for `config.json`.
        progress: called all along with (step, what it works on, done, total).

    Returns:
        What the leaderboard needs beside the run records; None if everything was done before, leaderboard and report
        included.

    Raises:
        SteelbenchError: for every mistake that can be found before training.
    """
    results = options.results
    refuse_unusable(results)
    inputs = prepare(options, experiments, command, progress)
    if not options.force:
        # The audit takes its time; what changes meanwhile is found under the lock.
        refuse_other_results(results, inputs.config, inputs.files)
    # Splits that cannot be drawn are found before anything is written or deleted; a complete folder needs none.
    audited = split_and_audit(inputs, progress) if options.force or not is_whole(results) else None
    with locked(results):
        if options.force:
            clear(results, inputs.config, inputs.experiments)
        else:
            refuse_other_results(results, inputs.config, inputs.files)
        sweep(results)
        broken = broken_files(results)
        todo = unfinished(inputs.experiments, options, inputs.origins, inputs.config, broken.append)
        delete_damaged(results, broken)
        waiting = untested(inputs)
        done = not (todo or waiting or untimed(results, options.timing) or _unmeasured(inputs))
        alike = _summed_up_alike(inputs)
        if done and alike and is_whole(results) and not maps_wait(results):
            return None
        _tell_damage(broken, progress)
        # Where nothing is run or measured, a whole summary stays: it alone knows what the workers noticed.
        kept = read_record(results / "results.json", Summary) if done and alike and holds_these_runs(results) else None
        _begin(results, todo)
        outcome = _run(inputs, audited or split_and_audit(inputs, progress), todo, waiting, progress)
        return dataclasses.replace(outcome, kept=kept)


def _tell_damage(broken: Sequence[str], progress: Progress) -> None:
    """Say which files are made anew, the first ones by name."""
    names = list(dict.fromkeys(broken))
    if names:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        progress("damage", ", ".join(names[:NAMED]) + more, 0, 0)


def _begin(results: Path, todo: Sequence[Experiment]) -> None:
    """Take the marks off what will not be true while the command runs: the folder's digests, damaged runs' records."""
    unseal(results)
    for experiment in todo:
        (results / "runs" / experiment.run_name / "result.json").unlink(missing_ok=True)


def preview(
    options: RunOptions, experiments: Sequence[Experiment], progress: Progress
) -> tuple[list[Forecast], dict[str, float], dict[str, int]]:
    """Forecast what `run` would do, without writing results.

    Returns:
        A forecast for each job, the seconds of each step that follows, and how many runs are to do and in all.

    Raises:
        SteelbenchError: as `run` does.
    """
    inputs = prepare(options, experiments, "", progress)
    if not options.force:
        refuse_other_results(options.results, inputs.config, inputs.files)
    audited = split_and_audit(inputs, progress)
    todo = unfinished(inputs.experiments, options, inputs.origins, inputs.config)
    data = _data(inputs, audited, todo, progress)
    jobs = make_jobs(todo, inputs, data, testable(untested(inputs), inputs))
    with tempfile.TemporaryDirectory() as folder:
        found = forecast(jobs, Path(folder), _listener(progress, []))
    robust = _names(inputs) if "robustness" in options.with_ else []
    steps = forecast_steps(jobs, found, options.results, data, options.timing, robust)
    return found, steps, {"to do": len(todo), "in all": len(inputs.experiments)}


def _run(
    inputs: RunInputs,
    audited: AuditedSplits,
    todo: Sequence[Experiment],
    waiting: Sequence[Experiment],
    progress: Progress,
) -> RunOutcome:
    options, inspection, plan, results = inputs.options, inputs.inspection, audited.plan, inputs.options.results
    data = _data(inputs, audited, todo, progress)
    jobs = make_jobs(todo, inputs, data, pass_over(waiting, inputs))
    write_json(results / "config.json", inputs.config)
    write_json(results / "environment.json", environment())
    write_skipped(results / "skipped_images.csv", inputs.dataset, inspection)
    _write_audit(results / "audit", inputs, audited)
    notices = [
        *first_notices(inspection, plan, audited.audit.shortcuts),
        *weights_notices(inputs),
        *unlabelled_notices(inputs),
        *sound_notices(inputs),
    ]
    with _runner(options, jobs, progress) as run_all:
        run_majority(results, data)
        failures = run_hog(
            results,
            data,
            cache_folder(),
            fingerprint({"parts": [inputs.config[key] for key in FIXED] + [options.bit_depth]}),
            lambda done, total: progress("features", "hog", done, total),
        )
        failures |= run_all(jobs, results, _listener(progress, notices))
    # By now the features that labels are judged by are cached.
    _write_audit(results / "audit", inputs, dataclasses.replace(audited, audit=check_labels(audited.audit)))
    time_models(results, data, options.timing, progress)
    if "robustness" in options.with_:
        notices += measure_robustness(results, data, _names(inputs), progress)
    if not any((results / "unfinished").glob("*.log")):
        shutil.rmtree(results / "unfinished", ignore_errors=True)
    return RunOutcome(
        dataset=describe_data(options, inputs.dataset, inspection, inputs.config),
        split=describe_split(options, plan, audited.audit_seconds),
        failures=failures,
        notices=notices,
        weights=inputs.weights,
        root=inputs.dataset.root,
        labels={image.sample.path: image.sample.label for image in inspection.images},
        none_class=inputs.none_class,
    )


def _runner(
    options: RunOptions, jobs: Sequence[Job], progress: Progress
) -> AbstractContextManager[Callable[..., dict[RunKey, str]]]:
    """Return a context with the function that runs jobs: here, or on Ray, which is imported only then."""
    if options.runner == "local":
        return nullcontext(run_jobs)
    from steelbench.runs.ray_runner.driver import ray_runner

    return ray_runner(jobs, options.ray_address, lambda text: progress("cluster", text, 0, 0))


def _summed_up_alike(inputs: RunInputs) -> bool:
    """Return whether the summary takes the same class for sound material; if not, it is made again from the records."""
    try:
        return read_record(inputs.options.results / "results.json", Summary).none_class == inputs.none_class
    except SteelbenchError:
        return False


def _unmeasured(inputs: RunInputs) -> bool:
    """Return whether `--with robustness` has something to do."""
    options = inputs.options
    return "robustness" in options.with_ and bool(unmeasured(options.results, _names(inputs)))


def _names(inputs: RunInputs) -> list[str]:
    return [experiment.name for experiment in inputs.experiments]


def _data(inputs: RunInputs, audited: AuditedSplits, todo: Sequence[Experiment], progress: Progress) -> RunData:
    """Return images and splits for baselines and jobs; images without labels only if a job will use them."""
    unlabelled = tie_unlabelled(inputs, audited.plan, progress) if todo else None
    return make_data(inputs, audited.plan, unlabelled)


def _write_audit(folder: Path, inputs: RunInputs, audited: AuditedSplits) -> None:
    """Write the audit's tables, with the groups of the splits: they also tie what a column or equal pixels tie."""
    paths = [image.sample.path for image in inputs.inspection.images]
    groups = dict(zip(paths, audited.plan.group_of.tolist(), strict=True))
    write_audit(folder, dataclasses.replace(audited.audit, groups=groups))


def _listener(progress: Progress, notices: list[Notice]) -> Callable[[Job, Event], None]:
    """Return a function that passes on progress, and appends the workers' notices."""

    def listen(job: Job, event: Event) -> None:
        if event.kind == "progress":
            # A cluster's progress is that of all tasks.
            progress(event.step, "" if event.step == "tasks" else job.backbone, event.done, event.total)
        if event.notice is not None:
            notices.append(event.notice)

    return listen
