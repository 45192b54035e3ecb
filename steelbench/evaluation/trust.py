"""What a row's confidence is worth: reliability before and after calibration, referrals against escapes, promises."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Labels
from steelbench.evaluation.calibration import calibration_error, reliability, temper
from steelbench.evaluation.decision import THRESHOLDS, promises, referral_curve
from steelbench.evaluation.predictions import FILE, damaged, groups_of_paths, iterate_lines
from steelbench.records import PromiseRecord, ReliabilityBin, RunRecord, Trust


@dataclass(frozen=True)
class Answers:
    """The answers to the test images of one or more runs.

    Attributes:
        paths: N; an image that several seeds tested comes several times.
        labels: int [N], true class numbers.
        probabilities: float64 [N, C], as `predictions.csv` has them.
        raw: float64 [N, C], before calibration.
    """

    paths: list[str]
    labels: Labels
    probabilities: NDArray[np.float64]
    raw: NDArray[np.float64]


def describe_trust(
    results: Path,
    records: Sequence[RunRecord],
    classes: Sequence[str],
    groups: Mapping[str, str],
    none_class: str = "",
) -> Trust:
    """Describe what the confidence of a row's models is worth, from all of its test images.

    Args:
        results: the results folder.
        records: of every run of the row.
        classes: C names.
        groups: by path; images of one group share pixels.
        none_class: the class of sound material; "" for none.

    Raises:
        SteelbenchError: if a `predictions.csv` is missing or damaged.
    """
    answers = _gather(results, sorted(records, key=lambda record: (record.seed, record.fold)), classes)
    confidence, correct = _confidence(answers.probabilities, answers.labels)
    raw_bins = reliability(*_confidence(answers.raw, answers.labels))
    bins = reliability(confidence, correct)
    of_class = [answers.labels == label for label in range(len(classes))]
    sound = of_class[list(classes).index(none_class)] if none_class in classes else None
    # Of sound material any wrong answer counts, of a defect only the one that it is sound.
    harmless = correct if sound is None else _harmless(answers, sound, list(classes).index(none_class))
    defects = np.ones(len(correct), bool) if sound is None else ~sound

    def decided_wrongly(own: NDArray[np.bool_]) -> list[float]:
        return referral_curve(confidence[own], harmless[own], THRESHOLDS)[1].tolist() if own.any() else []

    temperatures = [record.notes.calibration_temperature for record in records]
    known = [value for value in temperatures if value is not None]
    return Trust(
        temperature=float(np.exp(np.mean(np.log(known)))) if known else None,
        calibration_error=calibration_error(bins),
        calibration_error_raw=calibration_error(raw_bins),
        bins=[ReliabilityBin(**asdict(own)) for own in bins],
        raw_bins=[ReliabilityBin(**asdict(own)) for own in raw_bins],
        thresholds=THRESHOLDS.tolist(),
        referred=referral_curve(confidence, correct, THRESHOLDS)[0].tolist(),
        # Without an image with a defect nothing can escape.
        escaped=decided_wrongly(defects) or [0.0] * len(THRESHOLDS),
        escaped_by_class=[decided_wrongly(own) for own in of_class],
        none_class=none_class if sound is not None else "",
        overkilled=decided_wrongly(sound) if sound is not None else [],
        class_shares=[float(own.mean()) for own in of_class],
        promises=[
            PromiseRecord(**asdict(own))
            for own in promises(confidence, harmless, groups_of_paths(answers.paths, groups), among=defects)
        ],
    )


def _harmless(answers: Answers, sound: NDArray[np.bool_], number: int) -> NDArray[np.bool_]:
    """Return whether each answer neither calls a defect sound nor sound material a defect, bool [N]."""
    return (answers.probabilities.argmax(axis=1) == number) == sound


def _confidence(probabilities: NDArray[np.float64], labels: Labels) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def _gather(results: Path, records: Sequence[RunRecord], classes: Sequence[str]) -> Answers:
    paths: list[str] = []
    parts = []
    for record in records:
        names, labels, shares = read_probabilities(
            results / "runs" / record.run_name / FILE, record.classes, record.digests.get(FILE)
        )
        paths += names
        temperature = record.notes.calibration_temperature
        parts.append((labels, shares, temper(shares, 1 / temperature) if temperature else shares))
    labels, shares, raw = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Answers(paths, labels, shares.reshape(-1, len(classes)), raw.reshape(-1, len(classes)))


def read_probabilities(
    path: Path, classes: Sequence[str], digest: str | None = None
) -> tuple[list[str], Labels, NDArray[np.float64]]:
    """Read paths, true class numbers int [N], and probabilities float64 [N, C] of a `predictions.csv`.

    Args:
        path: of the file.
        classes: their names; the place of a name is its number.
        digest: sha256 that the file must have; None for a run of a version that wrote none.

    Raises:
        SteelbenchError: if it is missing, damaged, lacks a class, or holds what is no probability.
    """
    number = {name: index for index, name in enumerate(classes)}
    paths, labels, flat = list[str](), list[int](), array("d")
    try:
        for line in iterate_lines(path, digest):
            paths.append(line["path"])
            labels.append(number[line["label"]])
            flat.extend([float(line[f"p_{name}"]) for name in classes])
        shares = np.array(flat, np.float64)
        # The votes of knn sum up to a little more than 1 in float32.
        if not np.all((shares >= 0) & (shares <= 1 + 1e-5)):
            raise ValueError("a probability outside 0..1")
    except (KeyError, ValueError) as error:
        raise damaged(path, error) from None
    return paths, np.array(labels, np.int64), np.minimum(shares, 1.0).reshape(-1, len(classes))
