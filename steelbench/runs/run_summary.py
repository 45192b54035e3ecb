"""What the summary says of the data, the split and the doubts that are known before training."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.audit.shortcuts import Shortcut
from steelbench.data.inspection import Inspection
from steelbench.data.samples import Dataset
from steelbench.data.split_plan import SplitPlan
from steelbench.experiment import RunOptions
from steelbench.files import whole_file
from steelbench.notices import notice
from steelbench.records import DatasetSummary, Notice, SplitSummary


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
        left_out=dataset.left_out,
        digest=inspection.digest,
    )


def describe_split(options: RunOptions, division: SplitPlan, audit_seconds: float) -> SplitSummary:
    """Return the split for `results.json`; the numbers of images are those of seed 0, fold 0.

    The audit's seconds are those of this command; on data that was audited before they are few.
    """
    first = division.splits[0, 0]
    return SplitSummary(
        kind=options.split,
        folds=options.folds,
        seeds=options.seeds,
        groups=division.groups,
        leaking=division.leaking,
        naive_leaking=division.naive_leaking if division.naive else None,
        audit_seconds=audit_seconds,
        train=len(first.train),
        validation=len(first.validation),
        test=len(first.test),
    )


def first_notices(inspection: Inspection, division: SplitPlan, shortcuts: Sequence[Shortcut] = ()) -> list[Notice]:
    """Return the notices on images and splits that are known before training."""
    notices = list(inspection.notices)
    notices += [_shortcut_notice(shortcut) for shortcut in shortcuts if shortcut.notable and shortcut.outside]
    if division.leaking:
        notices.append(notice("SB201", share=division.leaking))
    notices += _missing_classes(inspection, division)
    if inspection.skipped:
        notices.append(notice("SB101", count=len(inspection.skipped)))
    return notices


def _missing_classes(inspection: Inspection, division: SplitPlan) -> list[Notice]:
    labels = np.array([image.sample.label for image in inspection.images])
    gone: dict[str, set[str]] = {}
    for split in division.splits.values():
        for part in ("training", "validation", "test"):
            rows = split.train if part == "training" else getattr(split, part)
            gone.setdefault(part, set()).update(set(inspection.classes) - set(labels[rows]))
    return [notice("SB202", part=part, names=", ".join(sorted(names))) for part, names in gone.items() if names]


def _shortcut_notice(shortcut: Shortcut) -> Notice:
    facts = f" {' '.join(shortcut.facts)}" if shortcut.facts else ""
    return notice(
        "SB103",
        attribute=shortcut.attribute,
        accuracy=shortcut.accuracy,
        majority=shortcut.majority,
        facts=facts,
    )


def write_skipped(path: Path, inspection: Inspection) -> None:
    """Write `skipped_images.csv`: path and reason."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "reason"])
        writer.writerows(inspection.skipped)
