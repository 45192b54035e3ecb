"""Read the numbers that others published for a known data set; the report shows them beside ours."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from steelbench.records import Record

FOLDER = Path(__file__).with_name("published_numbers")


class Published(Record):
    """One published number, with its source, its protocol and its faults.

    Attributes:
        dataset: its name.
        source: authors, title, year.
        url: of the source.
        model: as the source names it.
        protocol: how it was trained and measured, as far as the source says.
        split: of the images, as far as the source says.
        accuracy: 0 to 1.
        macro_f1: 0 to 1; None if it is not published.
        leak: what the number means, as test images may share pixels with training images; None if that is not known.
        remark: why it is not to be compared with ours, or what is not known.
    """

    dataset: str
    source: str
    url: str
    model: str
    protocol: str
    split: str
    accuracy: float
    macro_f1: float | None = None
    leak: str | None = None
    remark: str


# File in `FOLDER` -> names of the classes, by which the data set is recognised.
KNOWN = {
    "neu.csv": ("crazing", "inclusion", "patches", "pitted surface", "rolled-in scale", "scratches"),
    "x-sdd.csv": (
        "finishing roll printing",
        "iron sheet ash",
        "oxide scale of plate system",
        "oxide scale of temperature system",
        "red iron",
        "slag inclusion",
        "surface scratch",
    ),
    "severstal.csv": ("defect_1", "defect_2", "defect_3", "defect_4"),
}


def published_for(classes: Sequence[str]) -> list[Published]:
    """Return the published numbers for the data set with these classes.

    Args:
        classes: their names. Case and separators do not matter, nor does a class "none" for images without a defect.

    Returns:
        The numbers, highest accuracy first; empty for an unknown data set.
    """
    asked = {_plain(name) for name in classes} - {"none"}
    file = next((file for file, names in KNOWN.items() if asked == {_plain(name) for name in names}), None)
    if file is None:
        return []
    with (FOLDER / file).open(newline="", encoding="utf-8") as lines:
        rows = [Published(**{key: value or None for key, value in row.items()}) for row in csv.DictReader(lines)]
    return sorted(rows, key=lambda row: -row.accuracy)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())
