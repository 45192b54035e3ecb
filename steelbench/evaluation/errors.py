"""Wrong answers: each with its probabilities, the nearest training images, and who else is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelbench.evaluation.error_tables import NEIGHBOURS, NEIGHBOURS_FILE, WrongAnswer, read_lines
from steelbench.evaluation.predictions import FILE
from steelbench.evaluation.trust import read_probabilities
from steelbench.records import RunRecord


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
            results / "runs" / record.run_name / FILE, record.classes, record.digests.get(FILE)
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
        path = results / "runs" / record.run_name / NEIGHBOURS_FILE
        for line in read_lines(path, record.digests.get(NEIGHBOURS_FILE)):
            near = tuple(filter(None, (line.get(f"neighbour_{rank}") for rank in range(1, NEIGHBOURS + 1))))
            found.setdefault(line.get("path", ""), near)
    return found


def _conflicts(results: Path) -> set[str]:
    """Return the images that share pixels with an image of another class, as the audit found them."""
    pairs = read_lines(results / "audit" / "pairs.csv")
    return {pair.get(side, "") for pair in pairs if pair.get("same_label") == "false" for side in ("file_a", "file_b")}
