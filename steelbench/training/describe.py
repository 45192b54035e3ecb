"""What the summary says of the data, the split and the doubts that are known before training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from steelbench.data.inspection import Inspection
from steelbench.data.samples import Dataset
from steelbench.experiment import RunOptions
from steelbench.results import Notice, whole_file
from steelbench.training.division import Division


def describe_data(
    options: RunOptions, dataset: Dataset, inspection: Inspection, config: dict[str, Any]
) -> dict[str, Any]:
    """`Summary.dataset`."""
    return {
        "name": "demo" if options.data == "demo" else dataset.root.name,
        "reader": config["reader"],
        "images": len(inspection.images),
        "classes": inspection.counts,
        "skipped": len(inspection.skipped),
        "left_out": dataset.left_out,
        "digest": inspection.digest,
    }


def describe_split(options: RunOptions, division: Division) -> dict[str, Any]:
    """`Summary.split`; the numbers of images are those of seed 0, fold 0."""
    first = division.splits[0, 0]
    return {
        "kind": options.split,
        "folds": options.folds,
        "seeds": options.seeds,
        "groups": division.groups,
        "leaking": division.leaking,
        "train": len(first.train),
        "validation": len(first.validation),
        "test": len(first.test),
    }


def first_notices(inspection: Inspection, division: Division) -> list[Notice]:
    """What must be said of the images and the splits."""
    notices = [Notice(level="caution", text=text) for text in inspection.warnings]
    if division.leaking:
        notices.append(
            Notice(
                level="serious",
                text=f"The test set leaks: {division.leaking:.1%} of the test images have a copy, or an image of their "
                "group, among the training images. The accuracies below are too high; use --split grouped, or mend "
                "the split that the data brings.",
            )
        )
    if inspection.skipped:
        notices.append(
            Notice(
                level="caution",
                text=f"{len(inspection.skipped)} unreadable images were skipped; skipped_images.csv says why.",
            )
        )
    return notices


def write_skipped(path: Path, inspection: Inspection) -> None:
    """Write `skipped_images.csv`: path and reason."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "reason"])
        writer.writerows(inspection.skipped)
