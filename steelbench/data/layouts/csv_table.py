"""A CSV of `path,label` with optional `split,group`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from steelbench.data.layouts.csv_rows import csv_rows
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.samples import Dataset, Sample, clean_text
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def read_csv_table(path: Path, _options: DataOptions) -> Dataset:
    """Return the images that a table lists, paths relative to its folder.

    Raises:
        SteelbenchError: with the number of the line, for a path outside, an unknown split, or a path given twice.
    """
    root, samples, seen = path.parent, [], Counter[str]()
    rows = csv_rows(path, {"path", "label"})
    parts = split_parts({row.get("split", "").lower() for _, row in rows})
    for number, row in rows:
        name, label, split = row["path"], row["label"], row.get("split", "").lower()
        if not name or not label:
            raise SteelbenchError(f"{path}, line {number}: path or label is empty; fill both or delete the line.")
        target = _target(root, name)
        if target is None or not target.is_relative_to(root):
            raise SteelbenchError(f"{path}, line {number}: {name!r} leaves the CSV's folder; move the images below it.")
        if split and split not in parts:
            raise SteelbenchError(f"{path}, line {number}: split '{split}'; expected train, val, test or nothing.")
        relative = target.relative_to(root).as_posix()
        seen[relative] += 1
        if seen[relative] > 1:
            raise SteelbenchError(f"{path}, line {number}: {name} is listed twice; keep one line for each image.")
        samples.append(Sample(relative, clean_text(label, "label"), parts.get(split, ""), row.get("group", "")))
    return Dataset(root, tuple(samples))


def _target(root: Path, name: str) -> Path | None:
    try:
        return (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL character
        return None
