"""Everything that is known before a results folder is touched: data, audit, splits, weights. Knows no TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from steelbench.data.audit import VERSION as AUDIT_VERSION
from steelbench.data.audit import audit_inspected
from steelbench.data.audit_tables import AuditResult
from steelbench.data.datasets import Dataset, read_dataset
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions
from steelbench.models.backbones import check_image_size
from steelbench.models.weights import Origin, resolve
from steelbench.training.division import Division, divide, refuse_early
from steelbench.training.engines import choose_engine
from steelbench.training.plan import is_complete, size_of

# Readers that take every image below the data folder, whatever the folder it lies in is called.
IMAGES_BELOW = ("class_folders", "split_folders")
# (step, what it works on, done, total)
Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class Ready:
    """Everything that is known before a results folder is touched."""

    everything: list[Experiment]
    dataset: Dataset
    inspection: Inspection
    options: RunOptions
    config: dict[str, Any]
    progress: Progress

    @cached_property
    def timed_audit(self) -> tuple[AuditResult, float]:
        """What images share, and the seconds that this command spent on it; pairs are kept by content."""
        start = time.perf_counter()
        found = audit_inspected(
            self.dataset.root.name, self.dataset.root, self.inspection, self.dataset.left_out,
            bit_depth=self.options.bit_depth,
            progress=lambda stage, done, total: self.progress("audit", "images", done, total),
        )  # fmt: skip
        return found, time.perf_counter() - start

    @property
    def audit(self) -> AuditResult:
        """What images share."""
        return self.timed_audit[0]

    @cached_property
    def division(self) -> Division:
        """The splits; where everything was done before they are drawn only if they are asked for."""
        return divide(self.options, self.inspection, self.audit.pairs)

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Where each backbone's weights come from."""
        return _weights(self.everything, self.options, self.progress)


def prepare(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> Ready:
    """Check and read everything; where all was done before, splits are not drawn.

    Raises:
        SteelbenchError: for every mistake that can be found before training.
    """
    for experiment in experiments:
        check_image_size(experiment.backbone, size_of(experiment, options))
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
        "audit": AUDIT_VERSION,
    }
    # Mistakes first: the audit takes its time, and weights may have to be fetched.
    refuse_early(options, inspection)
    ready = Ready(everything, dataset, inspection, options, config, progress)
    if not is_complete(options.results):
        _ = ready.division
    _ = ready.origins
    return ready


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


def _weights(everything: Sequence[Experiment], options: RunOptions, progress: Progress) -> dict[str, Origin]:
    names = dict.fromkeys(experiment.backbone for experiment in everything)
    return {
        name: resolve(
            name, options.weights, options.weights_dir, lambda file, done, total: progress("fetch", file, done, total)
        )
        for name in names
    }


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
