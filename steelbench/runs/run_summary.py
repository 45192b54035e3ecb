"""The summary's data set, split and notices that are known before training; `skipped_images.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steelbench.audit.shortcuts import Shortcut
from steelbench.csv_files import write_csv
from steelbench.data.inspection import Inspection, left_out_counts
from steelbench.data.samples import Dataset
from steelbench.data.split_plan import SplitPlan
from steelbench.evaluation.sound_material import sound_classes
from steelbench.experiment import RunOptions
from steelbench.notices import notice
from steelbench.records import OWN_SPLIT, DatasetSummary, Notice, SplitSummary
from steelbench.runs.preparation import RunInputs

# Of `skipped_images.csv`.
MAX_ROWS = 10_000
# Files that a notice names.
NAMED = 3


def describe_data(
    options: RunOptions, dataset: Dataset, inspection: Inspection, config: dict[str, Any]
) -> DatasetSummary:
    """Return the images of a run for `results.json`."""
    return DatasetSummary(
        name="demo" if options.data == "demo" else dataset.root.name,
        reader=config["reader"],
        images=len(inspection.images),
        classes=inspection.counts,
        skipped=len(inspection.skipped),
        left_out=left_out_counts(dataset, inspection),
        digest=inspection.digest,
    )


def describe_split(options: RunOptions, plan: SplitPlan, audit_seconds: float) -> SplitSummary:
    """Return the split for `results.json`; its numbers of images are those of seed 0, fold 0.

    Args:
        options: of the command.
        plan: groups and splits.
        audit_seconds: that this command spent on the audit; few on data that was audited before.
    """
    first = plan.splits[0, 0]
    return SplitSummary(
        kind=OWN_SPLIT if plan.own else options.split,
        folds=options.folds,
        seeds=options.seeds,
        groups=plan.groups,
        leaking=plan.leaking,
        naive_leaking=plan.naive_leaking if plan.naive else None,
        audit_seconds=audit_seconds,
        train=len(first.train),
        validation=len(first.validation),
        test=len(first.test),
    )


def first_notices(inspection: Inspection, plan: SplitPlan, shortcuts: Sequence[Shortcut] = ()) -> list[Notice]:
    """Return the notices on images and splits that are known before training."""
    notices = list(inspection.notices)
    notices += [_shortcut_notice(shortcut) for shortcut in shortcuts if shortcut.notable and shortcut.outside]
    if plan.leaking:
        notices.append(_leak_notice(plan))
    notices += _missing_classes(inspection, plan)
    if inspection.skipped:
        notices.append(notice("SB101", count=len(inspection.skipped)))
    return notices


def _leak_notice(plan: SplitPlan) -> Notice:
    if not plan.own:
        return notice("SB201", advise=False, share=plan.leaking, more=" Leave --split random out.")
    files = plan.leaking_files
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    named = f" Test images whose group is trained on, too: {', '.join(files[:NAMED])}{more} (see audit/groups.csv)."
    return notice("SB201", share=plan.leaking, more=named)


def _missing_classes(inspection: Inspection, plan: SplitPlan) -> list[Notice]:
    every = set(range(len(inspection.classes)))
    gone: dict[str, set[int]] = {}
    for split in plan.splits.values():
        for part, rows in (("training", split.train), ("validation", split.validation), ("test", split.test)):
            gone.setdefault(part, set()).update(every - set(inspection.labels[rows].tolist()))
    return [
        notice("SB202", part=part, names=", ".join(inspection.classes[label] for label in sorted(labels)))
        for part, labels in gone.items()
        if labels
    ]


def _shortcut_notice(shortcut: Shortcut) -> Notice:
    return notice(
        "SB103",
        attribute=shortcut.attribute,
        accuracy=shortcut.accuracy,
        majority=shortcut.majority,
        facts=f" {' '.join(shortcut.facts)}" if shortcut.facts else "",
    )


def weights_notices(inputs: RunInputs) -> list[Notice]:
    """Return a notice on each ensemble of which some, but not all, networks have random weights."""
    mixed = [name for name, kind in inputs.weights.items() if kind == "mixed"]
    notices = []
    for experiment in {found.backbone: found for found in inputs.experiments if found.backbone in mixed}.values():
        random = [name for name in experiment.networks if inputs.origins[name].kind == "random"]
        if random:
            notices.append(notice("SB302", name=experiment.backbone, parts=", ".join(random)))
    return notices


def unlabelled_notices(inputs: RunInputs) -> list[Notice]:
    """Return notices on pseudo-labels; none without `--unlabelled`."""
    found = inputs.found
    if found is None:
        return []
    notices = [notice("SB105", count=len(found.images), confidence=inputs.options.confidence)]
    if found.skipped:
        path, reason = found.skipped[0]
        notices.append(notice("SB104", count=len(found.skipped), path=path, reason=reason))
    return notices


def sound_notices(inputs: RunInputs) -> list[Notice]:
    """Return a notice where several classes are called like sound material, and none was named."""
    names = sound_classes(inputs.inspection.classes)
    if inputs.none_class or len(names) < 2:
        return []
    return [notice("SB112", names=", ".join(names))]


def write_skipped(path: Path, dataset: Dataset, inspection: Inspection) -> None:
    """Write `skipped_images.csv`: path and reason of unreadable images, then of files that are not used.

    At most `MAX_ROWS`, and then a row without a path that says how many more there are.
    """
    rows = [*inspection.skipped, *dataset.passed_over, *inspection.left_out]
    more = [("", f"{len(rows) - MAX_ROWS} more are not listed")] if len(rows) > MAX_ROWS else []
    write_csv(path, ["path", "reason"], [*rows[:MAX_ROWS], *more])
