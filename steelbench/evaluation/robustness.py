"""From answers to corrupted images to a row's robustness: what is kept, what is lost, which change hurts first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.arrays import Groups, Labels, RowIndices
from steelbench.errors import SteelbenchError
from steelbench.evaluation.statistics.paired import paired_interval
from steelbench.evaluation.statistics.significance import compare_pair
from steelbench.records import CorruptionCell, CorruptionResult, Robustness, RunRecord, read_record

FOLDER = "robustness"
# Test images that are measured at most.
IMAGES = 120
# The probability that some corruption of a row is shown to hurt although none does.
LEVEL = 0.05
# Of the table on the page, and of the example images.
MIDDLE = 3


@dataclass(frozen=True)
class Measured:
    """The answers of one row to the same N images, unchanged and corrupted.

    Attributes:
        labels: int [N], true class numbers.
        groups: int [N]; images of one group share pixels.
        clean: int [N], answers to the unchanged images.
        corrupted: by (corruption, strength), answers int [N].
    """

    labels: Labels
    groups: Groups
    clean: Labels
    corrupted: Mapping[tuple[str, int], Labels]

    @property
    def strengths(self) -> list[int]:
        """Return the strengths that were measured."""
        return sorted({strength for _, strength in self.corrupted})


def choose_images(test: RowIndices, groups: Groups, labels: Labels, most: int = IMAGES) -> RowIndices:
    """Return the rows of the test images to measure, sorted; of each class the same share.

    Drawn one of each group before a second of any: images that share pixels tell little more than one of them.

    Args:
        test: int [T], rows of the test images.
        groups: int [N], of every row.
        labels: int [N], class number of every row.
        most: images.
    """
    drawn = np.random.default_rng(0).permutation(test)
    turns = _counted_before(groups[drawn])
    # Of a class those of the first turn come first; a row's rank is the share of its class that comes before it.
    ordered = drawn[np.argsort(turns, kind="stable")]
    sizes = np.bincount(labels[test], minlength=int(labels.max()) + 1)
    ranks = (_counted_before(labels[ordered]) + 0.5) / sizes[labels[ordered]]
    return np.sort(ordered[np.argsort(ranks, kind="stable")[:most]])


def _counted_before(values: RowIndices) -> RowIndices:
    """Return how often each value stands before its place, int [N]."""
    seen: Counter[int] = Counter()
    found = []
    for value in values.tolist():
        found.append(seen[value])
        seen[value] += 1
    return np.array(found, np.int64)


def describe_robustness(
    measured: Measured, classes: Sequence[str], titles: Mapping[str, str], **fields: Any
) -> Robustness:
    """Return the record of a row.

    Args:
        measured: its answers.
        classes: names.
        titles: of the corruptions that were measured, in their order.
        fields: the fields of `Robustness` that the answers do not tell.
    """
    results = [_describe_one(name, title, measured, classes, LEVEL / len(titles)) for name, title in titles.items()]
    return Robustness(
        images=len(measured.labels),
        groups=int(np.unique(measured.groups).size),
        strengths=measured.strengths,
        clean_accuracy=float(np.mean(measured.clean == measured.labels)),
        level=LEVEL,
        results=results,
        first=first_to_hurt(results),
        **fields,
    )


def first_to_hurt(results: Sequence[CorruptionResult]) -> str | None:
    """Return the corruption that hurts at the lowest strength; of several the one that costs most there."""

    def order(own: CorruptionResult) -> tuple[int, float]:
        strength = own.hurts_from or 0
        cell = own.at(strength)
        return strength, cell.change if cell else 0.0

    hurting = [own for own in results if own.hurts_from is not None]
    return min(hurting, key=order).corruption if hurting else None


def _describe_one(name: str, title: str, measured: Measured, classes: Sequence[str], level: float) -> CorruptionResult:
    """Return the measurements of one corruption.

    Strengths are tested from the strongest down, until one is not shown to hurt. So tested in a fixed order, each may
    use the whole level of its corruption (Maurer, Hothorn and Lehmacher 1995); among corruptions it is divided.
    """
    cells = [
        _cell(strength, measured, measured.corrupted[name, strength], classes)
        for strength in measured.strengths
        if (name, strength) in measured.corrupted
    ]
    hurts_from = None
    for cell in reversed(cells):
        if not (cell.p_value <= level and cell.change < 0):
            break
        hurts_from = cell.strength
    return CorruptionResult(corruption=name, title=title, cells=cells, hurts_from=hurts_from)


def _cell(strength: int, measured: Measured, answers: Labels, classes: Sequence[str]) -> CorruptionCell:
    before, after = measured.clean == measured.labels, answers == measured.labels
    interval = paired_interval(before, after, measured.groups)
    counts = np.bincount(measured.labels, minlength=len(classes))
    right = np.bincount(measured.labels[after], minlength=len(classes))
    recall = np.divide(right, counts, out=np.full(len(classes), np.inf), where=counts > 0)
    worst = int(recall.argmin())
    return CorruptionCell(
        strength=strength,
        accuracy=float(after.mean()),
        change=interval.value,
        change_low=interval.low,
        change_high=interval.high,
        p_value=compare_pair(before, after, measured.groups).p_value,
        worst_class=classes[worst],
        worst_right=int(right[worst]),
        worst_images=int(counts[worst]),
    )


def record_path(results: Path, name: str) -> Path:
    """Return the path of a row's record."""
    return results / FOLDER / f"{name}.json"


def read_robustness(results: Path, records: Sequence[RunRecord]) -> Robustness | None:
    """Return what was measured of a row's present model; None if nothing was.

    Args:
        results: the results folder.
        records: of the row's runs.
    """
    first = next((record for record in records if record.seed == 0 and record.fold == 0), None)
    if first is None or first.model is None:
        return None
    try:
        found = read_record(record_path(results, first.name), Robustness)
    except SteelbenchError:
        # Missing or damaged: it is measured when it is asked for.
        return None
    return found if found.fingerprint == first.fingerprint else None
