"""One `steelbench run`: from options and experiments to finished runs in the results folder. Knows no TensorFlow."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from steelbench.data.datasets import Dataset, read_dataset
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.models.backbones import find_backbone
from steelbench.models.weights import Origin, resolve
from steelbench.results import Notice, write_json
from steelbench.training.baseline import run_majority
from steelbench.training.describe import describe_data, describe_split, first_notices, write_skipped
from steelbench.training.division import Division, divide
from steelbench.training.engines import choose_engine
from steelbench.training.environment import describe
from steelbench.training.forecast import Forecast, forecast
from steelbench.training.job import Event, Job
from steelbench.training.pipeline import run_jobs
from steelbench.training.plan import clear, make_jobs, refuse_other_results, unfinished

# Readers that take every image below the data folder, whatever the folder it lies in is called.
IMAGES_BELOW = ("class_folders", "split_folders")
# (step, what it works on, done, total)
Progress = Callable[[str, str, int, int], None]


@dataclass
class Outcome:
    """What the leaderboard needs beside the run records: `dataset` and `split` as in `Summary`, failures, notices."""

    dataset: dict[str, Any]
    split: dict[str, Any]
    failures: dict[str, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)


def expand(experiments: Sequence[Experiment], seeds: int, folds: int) -> list[Experiment]:
    """Every experiment for every seed and fold.

    Raises:
        SteelbenchError: if two experiments have one name.
    """
    names = [experiment.name for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            raise SteelbenchError(f"two experiments are called {name}; give each its own variant.")
    return [
        dataclasses.replace(experiment, seed=seed, fold=fold)
        for experiment in experiments
        for seed in range(seeds)
        for fold in range(folds)
    ]


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
    ready = _prepare(options, experiments, command, progress)
    with _alone(options.results):
        if options.force:
            # A split that cannot be drawn is found before anything is deleted.
            _ = ready.division
            clear(options.results, ready.config, ready.everything)
        else:
            refuse_other_results(options.results, ready.config)
        _sweep(options.results)
        return _locked(options, ready, progress)


def preview(
    options: RunOptions, experiments: Sequence[Experiment], progress: Progress
) -> tuple[list[Forecast], dict[str, int]]:
    """What `run` would do: a forecast for each backbone, and how many runs are to do and in all. Writes no results."""
    ready = _prepare(options, experiments, "", progress)
    if not options.force:
        refuse_other_results(options.results, ready.config)
    todo = unfinished(ready.everything, options, ready.origins, ready.config)
    jobs = make_jobs(
        todo, options, ready.origins, ready.config, ready.inspection, ready.dataset.root, ready.division.splits
    )
    with tempfile.TemporaryDirectory() as folder:
        found = forecast(jobs, Path(folder), _listen(progress, Outcome({}, {})))
    return found, {"to do": len(todo), "in all": len(ready.everything)}


@dataclass(frozen=True)
class _Ready:
    """Everything that is known before a results folder is touched."""

    everything: list[Experiment]
    dataset: Dataset
    inspection: Inspection
    options: RunOptions
    config: dict[str, Any]
    origins: dict[str, Origin]
    drawn: Division | None

    @cached_property
    def division(self) -> Division:
        """The splits; where everything was done before they are drawn only if they are asked for."""
        return self.drawn or divide(self.options, self.inspection)


def _prepare(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> _Ready:
    for experiment in experiments:
        find_backbone(experiment.backbone)
    choose_engine(options.engine, options.precision, gpus=0)
    if options.track == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise SteelbenchError(
            "--track tensorboard needs the package tensorboard, which is not installed; "
            "pip install 'steelbench[tensorboard]', or leave --track out."
        )
    everything = expand(experiments, options.seeds, options.folds)
    reader, dataset = read_dataset(options.data, options.include_none)
    _refuse_place(options.results.resolve(), reader, dataset.root)
    total = len(dataset.samples)
    inspection = inspect_dataset(dataset, options.bit_depth, lambda done: progress("decode", "images", done, total))
    config = {
        **options.model_dump(mode="json", exclude={"results", "weights_dir", "force", "dry_run"}),
        "command": command,
        "reader": reader,
        "data_digest": inspection.digest,
    }
    division = None if _complete(options.results) else divide(options, inspection)
    # After the splits: weights may have to be fetched, and a mistake should not cost that.
    return _Ready(everything, dataset, inspection, options, config, _weights(everything, options, progress), division)


def _refuse_place(results: Path, reader: str, root: Path) -> None:
    """Before an hour of reading; and results below the images would be read as images the next time."""
    there = next(path for path in (results, *results.parents) if path.exists())
    if not there.is_dir():
        raise SteelbenchError(f"--results {results}: {there} is a file; name a folder that can be written to.")
    if reader in IMAGES_BELOW and results.is_relative_to(root):
        raise SteelbenchError(
            f"--results {results} lies in the data folder {root}, where its figures would be taken for images; "
            "name a folder outside of it."
        )


@contextmanager
def _alone(results: Path) -> Iterator[None]:
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = FileLock(results / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise SteelbenchError(
            f"another steelbench run is writing to {results}; wait for it, or name another --results."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise SteelbenchError(
            f"--results {results} cannot be written to ({os.strerror(error.errno or 0)}); name a folder that can."
        ) from None
    with lock:
        lock.release()
        yield


def _sweep(results: Path) -> None:
    """Delete what `whole_file` could not rename because its process was killed: nobody reads it, all count it."""
    for path in (*results.glob("models/.*"), *results.glob("runs/*/.*")):
        if re.fullmatch(r"\..+-[a-z0-9_]{8}\.(h5|json|csv)", path.name):
            path.unlink(missing_ok=True)


def _locked(options: RunOptions, ready: _Ready, progress: Progress) -> Outcome | None:
    dataset, inspection, config, origins = ready.dataset, ready.inspection, ready.config, ready.origins
    todo = unfinished(ready.everything, options, origins, config)
    if not todo and _complete(options.results):
        return None
    splits = ready.division.splits
    jobs = make_jobs(todo, options, origins, config, inspection, dataset.root, splits)
    write_json(options.results / "config.json", config)
    write_json(options.results / "environment.json", describe())
    write_skipped(options.results / "skipped_images.csv", inspection)
    outcome = Outcome(
        describe_data(options, dataset, inspection, config),
        describe_split(options, ready.division),
        notices=first_notices(inspection, ready.division),
        weights={name: origin.kind for name, origin in origins.items()},
    )
    run_majority(options.results, inspection, splits)
    outcome.failures |= run_jobs(jobs, options.results, _listen(progress, outcome))
    if not any((options.results / "unfinished").glob("*.log")):
        shutil.rmtree(options.results / "unfinished", ignore_errors=True)
    return outcome


def _complete(results: Path) -> bool:
    """Whether everything that is made from the runs was made after the last of them."""
    made = [results / name for name in ("results.json", "leaderboard.csv", "report.html")]
    runs = [path.stat().st_mtime for path in (results / "runs").glob("*/result.json")]
    return all(path.is_file() and path.stat().st_mtime >= max(runs) for path in made) if runs else False


def _weights(everything: Sequence[Experiment], options: RunOptions, progress: Progress) -> dict[str, Origin]:
    names = dict.fromkeys(experiment.backbone for experiment in everything)
    return {
        name: resolve(
            name, options.weights, options.weights_dir, lambda file, done, total: progress("fetch", file, done, total)
        )
        for name in names
    }


def _listen(progress: Progress, outcome: Outcome) -> Callable[[Job, Event], None]:
    def listen(job: Job, event: Event) -> None:
        if event.kind == "progress":
            progress(event.step, job.backbone, event.done, event.total)
        if event.kind == "note":
            outcome.notices.append(Notice(level="caution", text=event.text))

    return listen
