"""Numbers that others published for a known data set: shown beside ours, never mixed in."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from steelbench.records import Record

# They belong to the repository; a package that was installed without it shows none.
FOLDER = Path(__file__).resolve().parents[2] / "results" / "reference"


class Published(Record):
    """One published number, with what is known of how it was made and what is wrong with it."""

    dataset: str
    source: str
    url: str
    model: str
    protocol: str
    split: str
    accuracy: float
    macro_f1: float | None = None
    remark: str


# File in `FOLDER`, and the class names that the data set is known by.
KNOWN = {
    "x-sdd.csv": (
        "finishing roll printing", "iron sheet ash", "oxide scale of plate system",
        "oxide scale of temperature system", "red iron", "slag inclusion", "surface scratch",
    ),
    "severstal.csv": ("defect_1", "defect_2", "defect_3", "defect_4"),
}  # fmt: skip


def published_for(classes: Sequence[str]) -> list[Published]:
    """Published numbers for the data set with these class names, best first; none for an unknown one.

    Args:
        classes: their names; case and separators do not matter, nor does a class "none" for images without a defect.
    """
    asked = {_plain(name) for name in classes} - {"none"}
    file = next((file for file, names in KNOWN.items() if asked == {_plain(name) for name in names}), None)
    if file is None or not (FOLDER / file).is_file():
        return []
    with (FOLDER / file).open(newline="", encoding="utf-8") as lines:
        rows = [Published(**{key: value or None for key, value in row.items()}) for row in csv.DictReader(lines)]
    return sorted(rows, key=lambda row: -row.accuracy)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())
