"""What differs between two results folders: data, settings, and row by row the answers to the images of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.evaluation.predictions import UNTESTED, RowPredictions, gather, groups_of_paths, read_groups
from steelbench.evaluation.statistics.paired import DifferenceInterval, paired_interval
from steelbench.evaluation.statistics.significance import compare_pair
from steelbench.records import Row, RunRecord, Summary, read_record

# Settings that say where and how a command ran, not what it computed.
PASSED_OVER = frozenset({"command", "data", "data_digest", "results", "weights_dir", "audit", "timing"})


@dataclass(frozen=True)
class Answered:
    """The answers of one model, or of one row's models, to test images.

    Attributes:
        name: for people.
        answers: class names (label, predicted) by image; of several seeds each test, by the image and the seed's place.
    """

    name: str
    answers: Mapping[tuple[str, int], tuple[str, str]]


@dataclass(frozen=True)
class Flip:
    """An image that one side gets right and the other does not: its path, label, and both answers."""

    path: str
    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Paired:
    """The answers of two models to the same images.

    Attributes:
        tests: common ones.
        before: share of right answers of the first, 0..1.
        after: of the second.
        interval: of the difference, 95 %.
        p_value: of the test that both are equally accurate.
        method: of the test.
        gained: images that only the second gets right.
        lost: images that only the first gets right.
        relabelled: images that both tested, under other labels; they are left out.
        only_before: tests that only the first has.
        only_after: tests that only the second has.
    """

    tests: int
    before: float
    after: float
    interval: DifferenceInterval
    p_value: float
    method: str
    gained: list[Flip]
    lost: list[Flip]
    relabelled: int
    only_before: int
    only_after: int


def compare_answers(before: Answered, after: Answered, groups: Mapping[str, str]) -> Paired | None:
    """Compare the answers to the common images; None if there is none.

    Args:
        before: of the first.
        after: of the second.
        groups: by path; images of one group share pixels.
    """
    common = [key for key in before.answers if key in after.answers]
    same = [key for key in common if before.answers[key][0] == after.answers[key][0]]
    if not same:
        return None
    labels = [before.answers[key][0] for key in same]
    first, second = ([side.answers[key][1] for key in same] for side in (before, after))
    right_before, right_after = (np.array(labels, object) == np.array(own, object) for own in (first, second))
    shared = groups_of_paths([path for path, _ in same], groups)
    test = compare_pair(right_after, right_before, shared)

    def flips(chosen: Any) -> list[Flip]:
        rows = np.flatnonzero(chosen)
        return [Flip(same[row][0], labels[row], first[row], second[row]) for row in rows]

    return Paired(
        tests=len(same),
        before=float(right_before.mean()),
        after=float(right_after.mean()),
        interval=paired_interval(right_before, right_after, shared),
        p_value=test.p_value,
        method=test.method,
        gained=flips(right_after & ~right_before),
        lost=flips(right_before & ~right_after),
        relabelled=len(common) - len(same),
        only_before=len(before.answers) - len(common),
        only_after=len(after.answers) - len(common),
    )


def row_answers(results: Path, row: Row) -> tuple[Answered, RunRecord]:
    """Return the answers of a finished row, and the record of its first run.

    Raises:
        SteelbenchError: if a record or a `predictions.csv` is missing or damaged.
    """
    records = [read_record(results / "runs" / name / "result.json", RunRecord) for name in row.runs]
    records.sort(key=lambda record: (record.seed, record.fold))
    gathered, classes = gather(results, records), records[0].classes
    return Answered(row.name, dict(_tests(gathered, classes))), records[0]


def _tests(gathered: RowPredictions, classes: Sequence[str]) -> list[tuple[tuple[str, int], tuple[str, str]]]:
    return [
        ((path, seed), (classes[gathered.y_true[image]], classes[answers[image]]))
        for seed, answers in enumerate(gathered.y_pred)
        for image, path in enumerate(gathered.paths)
        if answers[image] != UNTESTED
    ]


def common_groups(folders: Sequence[Path]) -> dict[str, str]:
    """Return the groups of images that share pixels, by path, as the first of these folders knows them."""
    return next((found for folder in folders if (found := read_groups(folder))), {})


def changed(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str, str]]:
    """Return what differs between two records: its dotted name, and both values as text, `-` where there is none."""
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += changed(old, new, f"{prefix}{name}.")
        elif old != new and not (prefix == "" and name in PASSED_OVER):
            found.append((f"{prefix}{name}", _text(old), _text(new)))
    return found


def _text(value: Any) -> str:
    return "-" if value is None else str(value)


def data_of(summary: Summary) -> dict[str, Any]:
    """Return what decides which images were used, and how they were divided."""
    data, split = summary.dataset, summary.split
    return {
        "images": data.images,
        "classes": data.classes,
        "skipped": data.skipped,
        "left_out": data.left_out,
        "digest": data.digest[:16],
        "split": split.model_dump(include={"kind", "folds", "seeds", "train", "validation", "test"}),
    }


def settings_of(record: RunRecord) -> dict[str, Any]:
    """Return what decides what a run computes, beside its data."""
    fields = {"settings", "image_size", "augment", "homogenize", "engine", "precision", "weights", "params"}
    return record.model_dump(mode="json", include=fields)
