"""A CSV of `path,label` with optional `split,group`."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from steelbench.data.layouts.csv_rows import csv_rows, other_delimiter
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.quoting import MOST_OF_PATH, cut
from steelbench.data.samples import Dataset, Sample, clean_text
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def read_csv_table(path: Path, _options: DataOptions) -> Dataset:
    """Return the images that a table lists, paths relative to its folder.

    Paths of Windows (`img\\1.png`) are read where the file is found that way.

    Raises:
        SteelbenchError: with the number of the line, for a path outside, an unknown split, or a path given twice.
    """
    root, samples, seen = path.parent, [], Counter[str]()
    rows = csv_rows(path, {"path", "label"}, {"split", "group"})
    _refuse_backslashes(path, rows)
    parts = split_parts({row.get("split", "").lower() for _, row in rows})
    for number, row in rows:
        name, label, split = row["path"], row["label"], row.get("split", "").lower()
        if not name or not label:
            raise SteelbenchError(
                f"{path}, line {number}: path or label is empty; {_hint(name)}fill both or delete the line."
            )
        told = repr(cut(name, MOST_OF_PATH))
        if "\0" in name:
            raise SteelbenchError(
                f"{path}, line {number}: {told} holds a NUL character, which no path can; correct it."
            )
        target = _target(root, _with_slashes(root, name))
        if target is None or not target.is_relative_to(root):
            raise SteelbenchError(f"{path}, line {number}: {told} leaves the CSV's folder; move the images below it.")
        if split and split not in parts:
            raise SteelbenchError(f"{path}, line {number}: split '{cut(split)}'; expected train, val, test or nothing.")
        relative = target.relative_to(root).as_posix()
        seen[relative] += 1
        if seen[relative] > 1:
            raise SteelbenchError(
                f"{path}, line {number}: {cut(name, MOST_OF_PATH)} is listed twice; keep one line for each image."
            )
        samples.append(Sample(relative, clean_text(label, "label"), parts.get(split, ""), row.get("group", "")))
    return Dataset(root, tuple(samples))


def _hint(name: str) -> str:
    words = other_delimiter(name)
    return (
        f"the line has {words} where the first line has another delimiter; write one everywhere, or " if words else ""
    )


def _refuse_backslashes(path: Path, rows: list[tuple[int, dict[str, str]]]) -> None:
    """Refuse a table with paths of Windows none of which leads to a file."""
    given = [(number, row["path"]) for number, row in rows if "\\" in row["path"]]
    if not given or any(_exists(path.parent, name) for _, name in given):
        return
    number, name = given[0]
    below = "below the CSV's folder" if re.match(r"[A-Za-z]:|\\\\", name) else "relative to the CSV's folder"
    raise SteelbenchError(
        f"{path}, line {number}: {cut(name, MOST_OF_PATH)!r} has backslashes, and no such file is there; write paths "
        f"{below} with / between the folders."
    )


def _exists(root: Path, name: str) -> bool:
    target = _target(root, _with_slashes(root, name))
    try:
        return target is not None and target.is_file()
    except OSError:  # too long a name
        return False


def _with_slashes(root: Path, name: str) -> str:
    """Return a name with `/` for each backslash, unless a file is called so."""
    if "\\" not in name:
        return name
    try:
        return name if (root / name).is_file() else name.replace("\\", "/")
    except (OSError, ValueError):
        return name


def _target(root: Path, name: str) -> Path | None:
    try:
        return (root / name).resolve()
    except (OSError, RuntimeError, ValueError):  # links in a circle, a NUL character
        return None
