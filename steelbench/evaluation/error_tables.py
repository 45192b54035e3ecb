"""The tables of wrong answers: `errors.csv` of a results folder, `neighbours.csv` of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelbench.csv_files import read_csv, write_csv
from steelbench.files import file_digest

ERRORS_FILE = "errors.csv"
NEIGHBOURS_FILE = "neighbours.csv"
NEIGHBOURS = 3
# Images that the report shows in full, hardest first.
DOSSIERS = 24
COLUMNS = (
    "row",
    "path",
    "label",
    "predicted",
    "probability",
    "label_probability",
    "rows_wrong",
    "rows_tested",
    "shares_pixels",
    *(f"neighbour_{rank}" for rank in range(1, NEIGHBOURS + 1)),
)


@dataclass(frozen=True)
class WrongAnswer:
    """A test image that a row names wrongly.

    Attributes:
        row: name of the row.
        path: of the image.
        label: its class, as the data says.
        predicted: the class that the row names.
        probability: of that class, mean over the seeds that tested the image.
        label_probability: of the class that the data says.
        rows_wrong: number of rows that name the image wrongly.
        rows_tested: number of rows that tested it.
        shares_pixels: whether the audit found an image of another class that shares pixels with it.
        neighbours: training images that lie nearest in the row's embedding, nearest first.
    """

    row: str
    path: str
    label: str
    predicted: str
    probability: float
    label_probability: float
    rows_wrong: int
    rows_tested: int
    shares_pixels: bool
    neighbours: tuple[str, ...]


def read_lines(path: Path, digest: str | None = None) -> list[dict[str, str]]:
    """Return the lines of a table that only adds to what is shown, by column; [] if it is missing or damaged.

    Args:
        path: of the table.
        digest: sha256 that it must have; None where that is not known.
    """
    try:
        return [] if digest is not None and file_digest(path) != digest else read_csv(path)
    except (OSError, ValueError):
        return []


def write_errors(path: Path, errors: Sequence[WrongAnswer]) -> None:
    """Write `errors.csv`, whole or not at all."""
    write_csv(path, COLUMNS, map(_cells, errors))


def _cells(own: WrongAnswer) -> list[object]:
    near = [*own.neighbours, *[""] * NEIGHBOURS][:NEIGHBOURS]
    shares = [f"{own.probability:.6f}", f"{own.label_probability:.6f}"]
    counts = [own.rows_wrong, own.rows_tested, str(own.shares_pixels).lower()]
    return [own.row, own.path, own.label, own.predicted, *shares, *counts, *near]


def read_errors(path: Path) -> list[WrongAnswer] | None:
    """Return what `write_errors` wrote; None if it is missing or damaged."""
    try:
        return [_read_error(line) for line in read_csv(path)]
    except (OSError, ValueError, KeyError):
        return None


def _read_error(line: Mapping[str, str]) -> WrongAnswer:
    return WrongAnswer(
        row=line["row"],
        path=line["path"],
        label=line["label"],
        predicted=line["predicted"],
        probability=float(line["probability"]),
        label_probability=float(line["label_probability"]),
        rows_wrong=int(line["rows_wrong"]),
        rows_tested=int(line["rows_tested"]),
        shares_pixels=line["shares_pixels"] == "true",
        neighbours=tuple(filter(None, (line[f"neighbour_{rank}"] for rank in range(1, NEIGHBOURS + 1)))),
    )


def write_neighbours(path: Path, images: Sequence[str], neighbours: Sequence[Sequence[str]]) -> None:
    """Write the nearest training images of each image, nearest first, whole or not at all."""
    columns = ["path", *(f"neighbour_{rank}" for rank in range(1, NEIGHBOURS + 1))]
    write_csv(path, columns, ([image, *near] for image, near in zip(images, neighbours, strict=True)))
