"""Rank images without labels by what a label would teach: the least sure and least familiar first, one of a group."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from steelbench.arrays import Features, Floats
from steelbench.evaluation.unknown import Neighbours, max_probability
from steelbench.files import whole_file

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


def rank_candidates(
    paths: Sequence[str],
    groups: Sequence[int],
    probabilities: Features,
    distances: Floats,
    familiar: Floats,
    classes: Sequence[str],
) -> list[Candidate]:
    """Return the `MOST_CANDIDATES` images of which a label teaches most, the first one first.

    An image's place is the mean of its ranks by uncertainty and by distance, so that neither scale counts more.

    Args:
        paths: U, of the images.
        groups: U, their numbers.
        probabilities: float32 [U, C].
        distances: float64 [U], from the training images.
        familiar: float64 [V], the same of validation images.
        classes: C names, at least two.
    """
    if not len(paths):
        return []
    uncertain = max_probability(probabilities)
    places = _ranks(uncertain) + _ranks(distances)
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    nearer = np.searchsorted(np.sort(familiar), distances) / max(1, len(familiar))
    return [
        Candidate(
            path=paths[row],
            predicted=classes[top[row, 0]],
            probability=float(probabilities[row, top[row, 0]]),
            second=classes[top[row, -1]],
            second_probability=float(probabilities[row, top[row, -1]]) if len(classes) > 1 else 0.0,
            unfamiliar=float(nearer[row]),
            group=groups[row],
        )
        for row in np.argsort(-places, kind="stable")[:MOST_CANDIDATES].tolist()
    ]


def distances_from(train: Features, *others: Features) -> list[Floats]:
    """Return the distances of embeddings from the 10th nearest training image, for each array of `others`."""
    neighbours = Neighbours.fit(train)
    return [neighbours(own) for own in others]


def choose(candidates: Sequence[Candidate]) -> list[LabelFirst]:
    """Return the lines of `label_first.csv`: of each group the first image only, `MOST` at most."""
    first = {candidate.group: candidate for candidate in reversed(candidates)}
    chosen = [candidate for candidate in candidates if first[candidate.group] is candidate][:MOST]
    return [LabelFirst(own.path, own.predicted, own.probability, own.unfamiliar, own.reason) for own in chosen]


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value, 0 to 1; equal values share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) / len(values))


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """Write the candidates of a run as CSV, whole or not at all."""
    _write(path, [field.name for field in fields(Candidate)], [asdict(own) for own in candidates])


def write_label_first(path: Path, lines: Sequence[LabelFirst]) -> None:
    """Write `label_first.csv`, whole or not at all."""
    _write(path, COLUMNS, [asdict(own) for own in lines])


def _write(path: Path, columns: Sequence[str], rows: Sequence[dict[str, object]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(
                {name: f"{value:.6f}" if isinstance(value, float) else value for name, value in row.items()}
            )


def read_candidates(path: Path) -> list[Candidate] | None:
    """Read the candidates of a run; None if the file is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
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
                for row, _ in zip(csv.DictReader(file), range(MOST_CANDIDATES), strict=False)
            ]
    except (OSError, KeyError, ValueError, TypeError, csv.Error):
        return None


def read_label_first(path: Path) -> list[LabelFirst] | None:
    """Read `label_first.csv`, `MOST` lines at most; None if it is missing or damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [
                LabelFirst(
                    row["path"], row["predicted"], _share(row["probability"]), _share(row["unfamiliar"]), row["reason"]
                )
                for row, _ in zip(csv.DictReader(file), range(MOST), strict=False)
            ]
    except (OSError, KeyError, ValueError, TypeError, csv.Error):
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
