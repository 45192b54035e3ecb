"""One `steelbench run`: from options and experiments to finished runs in the results folder. Knows no TensorFlow."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelbench.audit.findings import write_audit
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.files import cache_folder, write_json
from steelbench.machine import environment
from steelbench.models.backbones import parts_of
from steelbench.notices import notice
from steelbench.records import DatasetSummary, Notice, SplitSummary
from steelbench.runs.fingerprint import fingerprint, unfinished
from steelbench.runs.forecast import Forecast, forecast
from steelbench.runs.jobs import Event, Job, make_jobs
from steelbench.runs.preparation import Progress, RunInputs, prepare
from steelbench.runs.results_folder import FIXED, clear, is_complete, locked, refuse_other_results, sweep
from steelbench.runs.run_summary import describe_data, describe_split, first_notices, write_skipped
from steelbench.runs.scheduler import run_jobs
from steelbench.training.baselines.hog import run_hog
from steelbench.training.baselines.majority import run_majority


@dataclass
class Outcome:
    """What the leaderboard needs beside the run records: `dataset` and `split` as in `Summary`, failures, notices."""

    dataset: DatasetSummary
    split: SplitSummary
    failures: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)


def run(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> Outcome | None:
    """Run what is not done yet.

    Args:
        options: of the command.
        experiments: with seed and fold 0; they are run for all.
        command: as typed, for the record.
        progress: called all along.

    Returns:
        What the leaderboard needs; None if everything was done before, leaderboard and report included.

    Raises:
        SteelbenchError: for every mistake that can be found before training.
    """
    ready = prepare(options, experiments, command, progress)
    with locked(options.results):
        if options.force:
            # A split that cannot be drawn is found before anything is deleted.
            _ = ready.division
            clear(options.results, ready.config, ready.everything)
        else:
            refuse_other_results(options.results, ready.config)
        sweep(options.results)
        return _locked(options, ready, progress)


def preview(
    options: RunOptions, experiments: Sequence[Experiment], progress: Progress
) -> tuple[list[Forecast], dict[str, int]]:
    """What `run` would do: a forecast for each backbone, and how many runs are to do and in all. Writes no results."""
    ready = prepare(options, experiments, "", progress)
    if not options.force:
        refuse_other_results(options.results, ready.config)
    todo = unfinished(ready.everything, options, ready.origins, ready.config)
    jobs = _jobs(ready, todo)
    with tempfile.TemporaryDirectory() as folder:
        found = forecast(jobs, Path(folder), _listen(progress, []))
    return found, {"to do": len(todo), "in all": len(ready.everything)}


def _locked(options: RunOptions, ready: RunInputs, progress: Progress) -> Outcome | None:
    dataset, inspection, config = ready.dataset, ready.inspection, ready.config
    todo = unfinished(ready.everything, options, ready.origins, config)
    if not todo and is_complete(options.results):
        return None
    jobs = _jobs(ready, todo)
    write_json(options.results / "config.json", config)
    write_json(options.results / "environment.json", environment())
    write_skipped(options.results / "skipped_images.csv", inspection)
    _write_audit(options.results / "audit", ready)
    outcome = Outcome(
        describe_data(options, dataset, inspection, config),
        describe_split(options, ready.division, ready.timed_audit[1]),
        notices=[*first_notices(inspection, ready.division, ready.audit.shortcuts), *_doubts(ready)],
        weights=ready.weights,
    )
    run_majority(options.results, inspection, ready.division.splits)
    _run_hog(ready, outcome)
    outcome.failures |= run_jobs(jobs, options.results, _listen(progress, outcome.notices))
    if not any((options.results / "unfinished").glob("*.log")):
        shutil.rmtree(options.results / "unfinished", ignore_errors=True)
    return outcome


def _jobs(ready: RunInputs, todo: Sequence[Experiment]) -> list[Job]:
    return make_jobs(
        todo, ready.options, ready.origins, ready.config, ready.inspection, ready.dataset.root, ready.division,
        ready.unlabelled if todo else None,
    )  # fmt: skip


def _doubts(ready: RunInputs) -> Iterator[Notice]:
    """What must be said of ensembles and of images without labels."""
    for name, kind in ready.weights.items():
        fresh = [part for part in parts_of(name) if ready.origins[part].kind == "random"]
        if kind == "mixed" and fresh:
            yield notice("SB302", name=name, parts=", ".join(fresh))
    if ready.found:
        yield notice("SB105", count=len(ready.found.images), confidence=ready.options.confidence)
    if ready.found and ready.found.skipped:
        path, reason = ready.found.skipped[0]
        yield notice("SB104", count=len(ready.found.skipped), path=path, reason=reason)


def _write_audit(folder: Path, ready: RunInputs) -> None:
    """The audit's tables; the groups are those of the splits, so what a column or equal pixels tie is in them."""
    paths = [image.sample.path for image in ready.inspection.images]
    groups = dict(zip(paths, ready.division.group_of.tolist(), strict=True))
    write_audit(folder, dataclasses.replace(ready.audit, groups=groups))


def _run_hog(ready: RunInputs, outcome: Outcome) -> None:
    """The classic baseline; if it fails, that is a row in the report as with any other."""
    splits, options = ready.division.splits, ready.options
    parts = [ready.config[key] for key in FIXED] + [options.bit_depth]
    try:
        run_hog(
            options.results, ready.inspection, splits, ready.dataset.root, options.bit_depth, cache_folder(),
            fingerprint({"parts": parts}), lambda done, total: ready.progress("features", "hog", done, total),
        )  # fmt: skip
    except (SteelbenchError, ValueError, OSError) as error:
        outcome.failures |= {f"none-hog-s{seed}-f{fold}": str(error) for seed, fold in splits}


def _listen(progress: Progress, notices: list[Notice]) -> Callable[[Job, Event], None]:
    def listen(job: Job, event: Event) -> None:
        if event.kind == "progress":
            progress(event.step, job.backbone, event.done, event.total)
        if event.kind == "note":
            notices.append(Notice(level="caution", text=event.text))

    return listen
