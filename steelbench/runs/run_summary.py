"""The summary's data set, split and notices that are known before training; `skipped_images.csv`."""

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
from steelbench.records import Notice
from steelbench.runs.preparation import RunInputs


def describe_data(
    options: RunOptions, dataset: Dataset, inspection: Inspection, config: dict[str, Any]
) -> dict[str, Any]:
    """Return `Summary.dataset`."""
    return {
        "name": "demo" if options.data == "demo" else dataset.root.name,
        "reader": config["reader"],
        "images": len(inspection.images),
        "classes": inspection.counts,
        "skipped": len(inspection.skipped),
        "left_out": dataset.left_out,
        "digest": inspection.digest,
    }


def describe_split(options: RunOptions, plan: SplitPlan, audit_seconds: float) -> dict[str, Any]:
    """Return `Summary.split`; its numbers of images are those of seed 0, fold 0.

    Args:
        options: of the command.
        plan: groups and splits.
        audit_seconds: that this command spent on the audit; few on data that was audited before.
    """
    first = plan.splits[0, 0]
    return {
        "kind": options.split,
        "folds": options.folds,
        "seeds": options.seeds,
        "groups": plan.groups,
        "leaking": plan.leaking,
        "naive_leaking": plan.naive_leaking if plan.naive else None,
        "audit_seconds": audit_seconds,
        "train": len(first.train),
        "validation": len(first.validation),
        "test": len(first.test),
    }


def first_notices(inspection: Inspection, plan: SplitPlan, shortcuts: Sequence[Shortcut] = ()) -> list[Notice]:
    """Return notices on the images and the splits."""
    notices = [Notice(level="caution", text=text) for text in inspection.warnings]
    notices += [_shortcut_notice(shortcut) for shortcut in shortcuts if shortcut.notable and shortcut.outside]
    if plan.leaking:
        notices.append(
            Notice(
                level="serious",
                text=f"The test set leaks: {plan.leaking:.1%} of the test images share pixels, or a group, with a "
                "training image. The accuracies below are too high; use --split grouped, or mend the split that the "
                "data brings.",
            )
        )
    notices += _missing_classes(inspection, plan)
    if inspection.skipped:
        notices.append(
            Notice(
                level="caution",
                text=f"{len(inspection.skipped)} unreadable images were skipped; skipped_images.csv says why.",
            )
        )
    return notices


def _missing_classes(inspection: Inspection, plan: SplitPlan) -> list[Notice]:
    labels = np.array([image.sample.label for image in inspection.images])
    gone: dict[str, set[str]] = {}
    for split in plan.splits.values():
        for part in ("training", "validation", "test"):
            rows = split.train if part == "training" else getattr(split, part)
            gone.setdefault(part, set()).update(set(inspection.classes) - set(labels[rows]))
    return [
        Notice(
            level="serious",
            text=f"Some split has no {part} image of {', '.join(sorted(names))}; too few images or groups of images "
            "share nothing. Add some, or remove the class.",
        )
        for part, names in gone.items()
        if names
    ]


def _shortcut_notice(shortcut: Shortcut) -> Notice:
    facts = f" {' '.join(shortcut.facts)}" if shortcut.facts else ""
    return Notice(
        level="caution",
        text=f"A shortcut: {shortcut.attribute} alone names the class of {shortcut.accuracy:.1%} of the images (the "
        f"largest class: {shortcut.majority:.1%}). A network can learn that instead of the defect.{facts}",
    )


def weights_notices(inputs: RunInputs) -> list[Notice]:
    """Return a notice on each ensemble of which some, but not all, networks have random weights."""
    mixed = [name for name, kind in inputs.weights.items() if kind == "mixed"]
    notices = []
    for experiment in {found.backbone: found for found in inputs.experiments if found.backbone in mixed}.values():
        random = [name for name in experiment.networks if inputs.origins[name].kind == "random"]
        if random:
            text = (
                f"{experiment.backbone}: the weights of {', '.join(random)} are random, so a part of its features was "
                "never trained."
            )
            notices.append(Notice(level="serious", text=text))
    return notices


def unlabelled_notices(inputs: RunInputs) -> list[Notice]:
    """Return notices on pseudo-labels; none without `--unlabelled`."""
    found = inputs.found
    if found is None:
        return []
    text = (
        f"Pseudo-labels: heads trained by this command learn from up to {len(found.images)} images without "
        f"labels, too, named with a probability of {inputs.options.confidence:g} at least. None of them shares "
        "pixels with a validation or test image, as far as the audit can see."
    )
    notices = [Notice(level="note", text=text)]
    if found.skipped:
        path, reason = found.skipped[0]
        text = f"{len(found.skipped)} unreadable images without labels; the first is {path}: {reason}."
        notices.append(Notice(level="caution", text=text))
    return notices


def write_skipped(path: Path, inspection: Inspection) -> None:
    """Write `skipped_images.csv`: path and reason."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "reason"])
        writer.writerows(inspection.skipped)
