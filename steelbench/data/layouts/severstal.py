"""Severstal's competition: `train.csv` beside `train_images/`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.data.layouts.csv_rows import csv_rows
from steelbench.data.samples import Dataset, make_sample
from steelbench.experiment import DataOptions


def is_severstal(path: Path) -> bool:
    """Return whether a folder holds `train.csv` and `train_images/`."""
    return (path / "train.csv").is_file() and (path / "train_images").is_dir()


def read_severstal(root: Path, options: DataOptions) -> Dataset:
    """Return the images with one class; those without a defect become `none` with `--include-none`."""
    labels: dict[str, set[str]] = {}
    for _, row in csv_rows(root / "train.csv", {"ImageId", "ClassId"}, {"EncodedPixels"}):
        if row["ClassId"] and row.get("EncodedPixels", "1"):
            labels.setdefault(row["ImageId"], set()).add(row["ClassId"])
    samples, left_out = [], Counter[str]()
    folder = root / "train_images"
    for path in sorted(path for path in folder.iterdir() if is_image(path) and not path.is_dir()):
        classes = labels.pop(path.name, set())
        if len(classes) > 1:
            left_out["several classes in one image"] += 1
        elif classes or options.include_none:
            samples.append(make_sample(root, path, f"defect_{classes.pop()}" if classes else "none"))
        else:
            left_out["no defect marked (--include-none uses them)"] += 1
    if labels:
        left_out["in train.csv, but no such file"] += len(labels)
    return Dataset(root, tuple(samples), dict(left_out))
