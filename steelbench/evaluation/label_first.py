"""The files of images without labels that a label would teach most: a run's candidates, and `label_first.csv`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from steelbench.csv_files import read_csv, write_csv

CANDIDATES_FILE, LABEL_FIRST_FILE = "candidates.csv", "label_first.csv"
# Of a run, and of the list that people work through; the report shows the first with their pictures.
MOST_CANDIDATES, MOST, PICTURES = 2000, 200, 12
# Where the two likeliest classes are nearer than this, the model hesitates between them.
HESITATES = 0.5
# An image farther from the training images than this share of the validation images is unlike them.
UNLIKE = 0.95
COLUMNS = ("path", "predicted", "probability", "unfamiliar", "reason")


@dataclass(frozen=True)
class Candidate:
    """An image without a label, as one model sees it.

    Attributes:
        path: below the folder of images without labels.
        predicted: class that the model names.
        probability: of that class, 0..1.
        second: the class that is next.
        second_probability: of that class.
        unfamiliar: share of the validation images that are nearer to the training images, 0..1.
        group: number; images of one group share pixels.
    """

    path: str
    predicted: str
    probability: float
    second: str
    second_probability: float
    unfamiliar: float
    group: int

    @property
    def reason(self) -> str:
        """Return why a label of this image helps."""
        reasons = []
        if self.probability - self.second_probability < HESITATES:
            reasons.append(f"between {self.predicted} and {self.second}")
        if self.unfamiliar > UNLIKE:
            reasons.append("unlike the training images")
        return "; ".join(reasons) or "less sure or less familiar than the rest"


@dataclass(frozen=True)
class LabelFirst:
    """A line of `label_first.csv`."""

    path: str
    predicted: str
    probability: float
    unfamiliar: float
    reason: str


def choose(candidates: Sequence[Candidate]) -> list[LabelFirst]:
    """Return the lines of `label_first.csv`: of each group the first image only, `MOST` at most."""
    first = {candidate.group: candidate for candidate in reversed(candidates)}
    chosen = [candidate for candidate in candidates if first[candidate.group] is candidate][:MOST]
    return [LabelFirst(own.path, own.predicted, own.probability, own.unfamiliar, own.reason) for own in chosen]


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """Write the candidates of a run as CSV, whole or not at all."""
    _write(path, [field.name for field in fields(Candidate)], [asdict(own) for own in candidates])


def write_label_first(path: Path, lines: Sequence[LabelFirst]) -> None:
    """Write `label_first.csv`, whole or not at all."""
    _write(path, COLUMNS, [asdict(own) for own in lines])


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    write_csv(path, columns, ([_cell(row[name]) for name in columns] for row in rows))


def _cell(value: object) -> object:
    return f"{value:.6f}" if isinstance(value, float) else value


def read_candidates(path: Path) -> list[Candidate] | None:
    """Read the candidates of a run; None if the file is missing or damaged."""
    try:
        return [
            Candidate(
                path=row["path"],
                predicted=row["predicted"],
                probability=_share(row["probability"]),
                second=row["second"],
                second_probability=_share(row["second_probability"]),
                unfamiliar=_share(row["unfamiliar"]),
                group=int(row["group"]),
            )
            for row in read_csv(path)[:MOST_CANDIDATES]
        ]
    except (OSError, KeyError, ValueError, TypeError):
        return None


def read_label_first(path: Path) -> list[LabelFirst] | None:
    """Read `label_first.csv`, `MOST` lines at most; None if it is missing or damaged."""
    try:
        return [
            LabelFirst(
                row["path"], row["predicted"], _share(row["probability"]), _share(row["unfamiliar"]), row["reason"]
            )
            for row in read_csv(path)[:MOST]
        ]
    except (OSError, KeyError, ValueError, TypeError):
        return None


def _share(text: str) -> float:
    """Return a number in 0..1.

    Raises:
        ValueError: if it is none.
    """
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"{text} is no share")
    return value
