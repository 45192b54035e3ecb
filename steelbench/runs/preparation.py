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

from steelbench.audit.audit import VERSION as AUDIT_VERSION
from steelbench.audit.audit import audit_inspected
from steelbench.audit.findings import AuditResult
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.data.readers import Dataset, read_dataset
from steelbench.data.split_plan import SplitPlan, plan_splits, refuse_early
from steelbench.errors import SteelbenchError
from steelbench.experiment import Experiment, RunOptions, method_of
from steelbench.features.engines import choose_engine
from steelbench.methods import METHODS, views_of
from steelbench.models.backbones import check_image_size, parts_of
from steelbench.models.weight_files import KINDS, Origin, resolve
from steelbench.runs.fingerprint import sizes_of, weights_of
from steelbench.runs.jobs import Unlabelled
from steelbench.runs.results_folder import is_complete
from steelbench.runs.unlabelled import FoundImages, read_unlabelled, tie

# Readers that take every image below the data folder, whatever the folder it lies in is called.
IMAGES_BELOW = ("class_folders", "split_folders")
# (step, what it works on, done, total)
Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True)
class RunInputs:
    """Everything that is known before a results folder is touched."""

    everything: list[Experiment]
    dataset: Dataset
    inspection: Inspection
    options: RunOptions
    config: dict[str, Any]
    progress: Progress
    found: FoundImages | None = None

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
    def division(self) -> SplitPlan:
        """The splits; where everything was done before they are drawn only if they are asked for."""
        return plan_splits(self.options, self.inspection, self.audit.pairs)

    @cached_property
    def unlabelled(self) -> Unlabelled | None:
        """The images without labels, and which of the others each shares pixels with."""
        if self.found is None:
            return None
        return tie(
            self.found, self.inspection, self.division.group_of, self.dataset.root, self.options.bit_depth,
            self.options.confidence, lambda stage, done, total: self.progress("audit", "all images", done, total),
        )  # fmt: skip

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Where the weights of each backbone, and of each part of an ensemble, come from."""
        return _weights(self.everything, self.options, self.progress)

    @property
    def weights(self) -> dict[str, str]:
        """The kind of weights of each backbone and ensemble."""
        names = dict.fromkeys(experiment.backbone for experiment in self.everything)
        return {name: weights_of(name, self.origins)["kind"] for name in names}


def prepare(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> RunInputs:
    """Check and read everything; where all was done before, splits are not drawn.

    Raises:
        SteelbenchError: for every mistake that can be found before training.
    """
    for experiment in experiments:
        _refuse_early(experiment, options)
    choose_engine(options.engine, options.precision, gpus=0)
    if options.track == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise SteelbenchError(
            "--track tensorboard needs the package tensorboard, which is not installed; "
            "pip install 'steelbench[tensorboard]', or leave --track out."
        )
    everything = expand(experiments, options.seeds, options.folds)
    reader, dataset = read_dataset(options.data, options.include_none)
    _refuse_place(options.results.resolve(), reader, dataset.root)
    found = _read_unlabelled(options, dataset, progress)
    total = len(dataset.samples)
    inspection = inspect_dataset(dataset, options.bit_depth, lambda done: progress("decode", "images", done, total))
    config = {
        **options.model_dump(mode="json", exclude={"results", "weights_dir", "force", "dry_run"}),
        "command": command,
        "reader": reader,
        "data_digest": inspection.digest,
        "audit": AUDIT_VERSION,
        **({"unlabelled_digest": found.digest} if found else {}),
    }
    # Mistakes first: the audit takes its time, and weights may have to be fetched.
    refuse_early(options, inspection)
    ready = RunInputs(everything, dataset, inspection, options, config, progress, found)
    if not is_complete(options.results):
        _ = ready.division
    _ = ready.origins
    return ready


def _refuse_early(experiment: Experiment, options: RunOptions) -> None:
    """What one experiment and the options say alone, before anything is read."""
    name, method = experiment.backbone, method_of(experiment.method)
    frozen = ", ".join(key for key, row in METHODS.items() if row.train)
    for part, size in sizes_of(experiment, options).items():
        check_image_size(part, size)
    views = views_of(experiment.method)
    if views > 1 and options.augment == "none":
        raise SteelbenchError(
            f"{method}.views is {views}, but without --augment all views of an image are the same; add --augment light "
            "or heavy, or leave views at 1."
        )
    if views > 1 and options.unlabelled:
        raise SteelbenchError(
            f"{method}.views is {views}, but --unlabelled works with one view; leave one of them out."
        )
    if experiment.method.on_images and options.unlabelled:
        raise SteelbenchError(
            f"--unlabelled works with methods on a frozen backbone, and {method} with these settings trains it; "
            f"leave {method} out, or take one of {frozen} with the backbone frozen."
        )
    if len(parts_of(name)) == 1:
        return
    if experiment.method.on_images:
        raise SteelbenchError(
            f"{method} with these settings trains the backbone, and {name} is an ensemble of frozen ones; name one "
            f"backbone for it, or take a method on frozen features: {frozen}."
        )
    if options.weights not in KINDS and Path(options.weights).expanduser().is_file():
        raise SteelbenchError(
            f"--weights {options.weights} is one network's file, and {name} is an ensemble; name its parts' files by "
            "--weights-dir with imagenet or noisy-student, or run one backbone."
        )


def _read_unlabelled(options: RunOptions, dataset: Dataset, progress: Progress) -> FoundImages | None:
    if options.unlabelled is None:
        return None
    labelled = {(dataset.root / sample.path).resolve() for sample in dataset.samples}
    found = read_unlabelled(
        options.unlabelled, labelled, options.bit_depth,
        lambda done, total: progress("decode", "images without labels", done, total),
    )  # fmt: skip
    if options.results.resolve().is_relative_to(found.folder):
        raise SteelbenchError(
            f"--results {options.results} lies in --unlabelled {options.unlabelled}, where its figures would be taken "
            "for images; name a folder outside of it."
        )
    return found


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
    names = dict.fromkeys(part for experiment in everything for part in parts_of(experiment.backbone))
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
