"""Wrong answers: each with its probabilities, the nearest training images, and who else is wrong; `errors.csv`."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelbench.evaluation.trust import read_probabilities
from steelbench.files import whole_file
from steelbench.records import RunRecord

ERRORS_FILE = "errors.csv"
NEIGHBOURS_FILE = "neighbours.csv"
NEIGHBOURS = 3
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


@dataclass(frozen=True)
class _Answer:
    label: int
    predicted: int
    probability: float
    label_probability: float


def find_errors(results: Path, runs: Mapping[str, Sequence[RunRecord]]) -> list[WrongAnswer]:
    """Return every wrong answer, images that most rows fail on first.

    Args:
        results: the results folder.
        runs: of each row that is compared, the records of its runs.

    Raises:
        SteelbenchError: if a `predictions.csv` is missing or damaged.
    """
    answers = {row: _answers(results, records) for row, records in runs.items()}
    tested, wrong = defaultdict[str, int](int), defaultdict[str, int](int)
    for own in answers.values():
        for path, answer in own.items():
            tested[path] += 1
            wrong[path] += answer.predicted != answer.label
    conflicts = _conflicts(results)
    found = []
    for row, own in answers.items():
        classes, near = runs[row][0].classes, _neighbours(results, runs[row])
        found += [
            WrongAnswer(
                row=row,
                path=path,
                label=classes[answer.label],
                predicted=classes[answer.predicted],
                probability=answer.probability,
                label_probability=answer.label_probability,
                rows_wrong=wrong[path],
                rows_tested=tested[path],
                shares_pixels=path in conflicts,
                neighbours=near.get(path, ()),
            )
            for path, answer in own.items()
            if answer.predicted != answer.label
        ]
    place = {row: number for number, row in enumerate(runs)}
    return sorted(found, key=lambda own: (-own.rows_wrong / own.rows_tested, own.path, place[own.row]))


def _answers(results: Path, records: Sequence[RunRecord]) -> dict[str, _Answer]:
    """Return the row's answer to each image; probabilities are means over the seeds that tested it."""
    shares: dict[str, list[np.ndarray]] = defaultdict(list)
    truth: dict[str, int] = {}
    for record in records:
        paths, labels, probabilities = read_probabilities(
            results / "runs" / record.run_name / "predictions.csv", record.classes
        )
        for path, label, own in zip(paths, labels.tolist(), probabilities, strict=True):
            shares[path].append(own)
            truth[path] = label
    found = {}
    for path, own in shares.items():
        mean, label = np.mean(own, axis=0), truth[path]
        predicted = int(mean.argmax())
        found[path] = _Answer(label, predicted, float(mean[predicted]), float(mean[label]))
    return found


def _neighbours(results: Path, records: Sequence[RunRecord]) -> dict[str, tuple[str, ...]]:
    """Return the nearest training images of wrong answers; of the first seed that has them."""
    found: dict[str, tuple[str, ...]] = {}
    for record in sorted(records, key=lambda record: (record.seed, record.fold)):
        for line in _read_csv(results / "runs" / record.run_name / NEIGHBOURS_FILE):
            near = tuple(filter(None, (line.get(f"neighbour_{rank}") for rank in range(1, NEIGHBOURS + 1))))
            found.setdefault(line.get("path", ""), near)
    return found


def _conflicts(results: Path) -> set[str]:
    """Return the images that share pixels with an image of another class, as the audit found them."""
    pairs = _read_csv(results / "audit" / "pairs.csv")
    return {pair.get(side, "") for pair in pairs if pair.get("same_label") == "false" for side in ("file_a", "file_b")}


def _read_csv(path: Path) -> list[dict[str, str]]:
    """Return the lines of a table that only adds to what is shown; [] if it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, restval=""))
    except (OSError, ValueError, csv.Error):
        return []


def write_errors(path: Path, errors: Sequence[WrongAnswer]) -> None:
    """Write `errors.csv`, whole or not at all."""
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for own in errors:
            near = [*own.neighbours, *[""] * NEIGHBOURS][:NEIGHBOURS]
            shares = [f"{own.probability:.6f}", f"{own.label_probability:.6f}"]
            counts = [own.rows_wrong, own.rows_tested, str(own.shares_pixels).lower()]
            writer.writerow([own.row, own.path, own.label, own.predicted, *shares, *counts, *near])


def read_errors(path: Path) -> list[WrongAnswer] | None:
    """Return what `write_errors` wrote; None if it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_read_error(line) for line in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
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
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", *(f"neighbour_{rank}" for rank in range(1, NEIGHBOURS + 1))])
        writer.writerows([image, *near] for image, near in zip(images, neighbours, strict=True))
