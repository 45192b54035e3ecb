"""Everything that is read and refused before a results folder is changed: options, data, weights; audit and splits.

`prepare` takes seconds and finds most mistakes; `split_and_audit` and `tie_unlabelled` may take minutes. No TensorFlow.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelbench.audit.audit import VERSION as AUDIT_VERSION
from steelbench.audit.audit import audit_inspected, audited_pairs
from steelbench.audit.findings import AuditResult
from steelbench.data.crops import source_path
from steelbench.data.inspection import (
    Inspection,
    inspect_dataset,
    left_out_counts,
    refuse_classes,
    without_classes,
)
from steelbench.data.label_names import refuse_names
from steelbench.data.readers import read_dataset
from steelbench.data.samples import Dataset
from steelbench.data.small_classes import small_classes, small_reason
from steelbench.data.split_plan import SplitPlan, count_groups, plan_splits, refuse_early
from steelbench.errors import SteelbenchError
from steelbench.evaluation.sound_material import find_none_class
from steelbench.experiment import Experiment, RunOptions
from steelbench.features.engines import choose_engine
from steelbench.methods import METHODS, views_of
from steelbench.models.backbones import check_image_size
from steelbench.models.weight_files import KINDS, Origin, resolve
from steelbench.ray_session import refuse_unusable as refuse_unusable_ray
from steelbench.runs.fingerprint import sizes_of, weights_of
from steelbench.runs.jobs import Unlabelled
from steelbench.runs.results_folder import refuse_unusable_cache
from steelbench.runs.tracking import refuse_missing
from steelbench.runs.unlabelled import FoundImages, read_unlabelled, tie

# Readers that take images below the data folder for its own, whatever the name of their folder.
IMAGES_BELOW = (
    *("class_folders", "split_folders", "mvtec", "neu_det", "gc10_det", "name_prefixes"),
    *("coco", "voc", "yolo"),
)
# Options that change nothing in a results folder but where, and by whom, it is written.
NO_RECORD = {"results", "weights_dir", "force", "runner", "ray_address"}
# (step, what it works on, done, total)
Progress = Callable[[str, str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The request of a command, and everything that was read for it.

    Attributes:
        options: of the command.
        experiments: for every seed and fold.
        dataset: where the images are.
        inspection: the readable images, their classes and digests.
        origins: where the weights of each network come from.
        config: the contents of `config.json`.
        found: the images of `--unlabelled`; None without it.
        none_class: the class of sound material; "" for none.
    """

    options: RunOptions
    experiments: list[Experiment]
    dataset: Dataset
    inspection: Inspection
    origins: dict[str, Origin]
    config: dict[str, Any]
    found: FoundImages | None = None
    none_class: str = ""

    @property
    def files(self) -> list[str]:
        """Return the paths of the images."""
        return [image.sample.path for image in self.inspection.images]

    @property
    def weights(self) -> dict[str, str]:
        """Return the kind of weights of each backbone and ensemble."""
        return {found.backbone: weights_of(found.networks, self.origins)["kind"] for found in self.experiments}


@dataclass(frozen=True)
class AuditedSplits:
    """The audit of the images, and the splits that keep images with shared pixels on one side.

    Attributes:
        audit: the findings.
        audit_seconds: that this command spent on them; few on images that were audited before.
        plan: groups and splits.
    """

    audit: AuditResult
    audit_seconds: float
    plan: SplitPlan


def refuse_options(options: RunOptions, experiments: Sequence[Experiment]) -> None:
    """Refuse what options and experiments cannot mean together; nothing is read.

    Raises:
        SteelbenchError: for the first mistake.
    """
    for experiment in experiments:
        _refuse_experiment(experiment, options)
    choose_engine(options.engine, options.precision, gpus=0)
    refuse_missing(options.track)
    if options.runner == "ray":
        refuse_unusable_ray(options.ray_address)


def prepare(options: RunOptions, experiments: Sequence[Experiment], command: str, progress: Progress) -> RunInputs:
    """Check the options, read the data, and find the weights.

    Args:
        options: of the command.
        experiments: with seed 0 and fold 0.
        command: as typed, for `config.json`.
        progress: called while images are decoded and weights fetched.

    Raises:
        SteelbenchError: for every mistake that can be found without comparing images.
    """
    refuse_options(options, experiments)
    refuse_unusable_cache()
    everything = expand(experiments, options.seeds, options.folds)
    reader, dataset = read_dataset(options)
    # The folder that was given: the one that is read may be the only one in it.
    _refuse_place(options.results.resolve(), reader, Path(options.data).expanduser().resolve())
    found = _read_unlabelled(options, dataset, progress)
    total = len(dataset.samples)
    inspection = inspect_dataset(
        dataset, options.bit_depth, lambda done: progress("decode", "images", done, total), options.drop_small
    )
    inspection = _drop_few_groups(options, dataset, inspection, progress)
    refuse_names(inspection.classes)
    # Before weights are fetched, which may take minutes.
    none_class = find_none_class(inspection.classes, options.none_class)
    refuse_early(options, inspection)
    return RunInputs(
        options=options,
        experiments=everything,
        dataset=dataset,
        inspection=inspection,
        origins=_origins(experiments, options, progress),
        config={
            **options.model_dump(mode="json", exclude=NO_RECORD),
            "command": command,
            "reader": reader,
            "data_digest": inspection.digest,
            "audit": AUDIT_VERSION,
            **({"unlabelled_digest": found.digest} if found else {}),
        },
        found=found,
        none_class=none_class,
    )


def split_and_audit(inputs: RunInputs, progress: Progress) -> AuditedSplits:
    """Compare all images with each other, and draw the splits. Pairs of images are cached by content.

    Raises:
        SteelbenchError: if what images share leaves too few groups for the splits.
    """
    start = time.perf_counter()
    audit = audit_inspected(
        inputs.dataset.root.name,
        inputs.dataset.root,
        inputs.inspection,
        left_out_counts(inputs.dataset, inputs.inspection),
        bit_depth=inputs.options.bit_depth,
        progress=lambda stage, done, total: progress("audit", "images", done, total),
    )
    seconds = time.perf_counter() - start
    return AuditedSplits(audit, seconds, plan_splits(inputs.options, inputs.inspection, audit.pairs))


def tie_unlabelled(inputs: RunInputs, plan: SplitPlan, progress: Progress) -> Unlabelled | None:
    """Compare the images of `--unlabelled` with all others; None without them."""
    if inputs.found is None:
        return None
    return tie(
        inputs.found,
        inputs.inspection,
        plan.group_of,
        inputs.dataset.root,
        inputs.options.bit_depth,
        inputs.options.confidence,
        lambda stage, done, total: progress("audit", "all images", done, total),
    )


def _drop_few_groups(options: RunOptions, dataset: Dataset, inspection: Inspection, progress: Progress) -> Inspection:
    """Leave out the classes with fewer groups than `--drop-small` says, where the split is drawn by groups.

    The search for pairs is kept, so that the audit does not repeat it unless a class goes.
    """
    if options.drop_small is None or options.split != "grouped":
        return inspection

    def compared(_stage: str, done: int, total: int) -> None:
        progress("audit", "images", done, total)

    pairs, _, _ = audited_pairs(dataset.root, inspection, options.bit_depth, compared)
    small = small_classes(count_groups(inspection, pairs), options.drop_small)
    found = without_classes(inspection, small, small_reason(options.drop_small, "groups"), options.bit_depth)
    refuse_classes(dataset, found, found.counts)
    return found


def _refuse_experiment(experiment: Experiment, options: RunOptions) -> None:
    """Refuse what an experiment and the options show without reading anything."""
    name, method = experiment.backbone, experiment.method_name
    frozen = ", ".join(key for key, row in METHODS.items() if row.train)
    for network, size in sizes_of(experiment, options).items():
        check_image_size(network, size)
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
    if len(experiment.networks) == 1:
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
    named = [*(sample.path for sample in dataset.samples), *(file.path for file in dataset.passed_over)]
    labelled = {(dataset.root / source_path(path)).resolve() for path in named}

    def decoded(done: int, total: int) -> None:
        progress("decode", "images without labels", done, total)

    found = read_unlabelled(options.unlabelled, labelled, options.bit_depth, decoded)
    if options.results.resolve().is_relative_to(found.folder):
        raise SteelbenchError(
            f"--results {options.results} lies in --unlabelled {options.unlabelled}, where its figures would be taken "
            "for images; name a folder outside of it."
        )
    return found


def _refuse_place(results: Path, reader: str, root: Path) -> None:
    """Refuse a results folder that cannot be one, or whose figures the next run would read as images."""
    there = next(path for path in (results, *results.parents) if path.exists())
    if not there.is_dir():
        raise SteelbenchError(f"--results {results}: {there} is a file; name a folder that can be written to.")
    if reader in IMAGES_BELOW and results.is_relative_to(root):
        raise SteelbenchError(
            f"--results {results} lies in the data folder {root}, where its figures would be taken for images; "
            "name a folder outside of it."
        )


def _origins(experiments: Sequence[Experiment], options: RunOptions, progress: Progress) -> dict[str, Origin]:
    """Return where the weights of each network come from; fetch those that are missing."""

    def fetched(file: str, done: int, total: int) -> None:
        progress("fetch", file, done, total)

    names = dict.fromkeys(name for experiment in experiments for name in experiment.networks)
    return {name: resolve(name, options.weights, options.weights_dir, fetched) for name in names}


def expand(experiments: Sequence[Experiment], seeds: int, folds: int) -> list[Experiment]:
    """Return every experiment for every seed and fold.

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
