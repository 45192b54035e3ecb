"""Read and write `predictions.csv`, and put those of one leaderboard row together."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups, Labels, RowIndices
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file
from steelbench.records import RunRecord

UNTESTED = -1


@dataclass(frozen=True)
class RunScore:
    """Test accuracy (0..1) of one seed and fold, and the numbers of images that it was trained and tested on."""

    seed: int
    fold: int
    accuracy: float
    n_train: int
    n_test: int


@dataclass(frozen=True)
class RowPredictions:
    """Answers of a row's models to N distinct test images, under each of S seeds.

    Attributes:
        paths: N, sorted.
        y_true: int [N], class numbers.
        y_pred: int [S, N]; -1 where a seed did not test the image. With `--folds 1` each seed tests another fifth of
            the images, so there are such holes; with cross-validation, and with a fixed split, there are none.
        runs: in the order of seed and fold.
    """

    paths: list[str]
    y_true: Labels
    y_pred: Labels
    runs: list[RunScore]

    @property
    def complete(self) -> bool:
        """Return whether every seed tested every image."""
        return bool((self.y_pred != UNTESTED).all())

    def flat(self) -> tuple[Labels, Labels, RowIndices]:
        """Return every test, seed by seed: true class, answer, the image's place in `paths`; int [T] each."""
        seed, image = np.nonzero(self.y_pred != UNTESTED)
        return self.y_true[image], self.y_pred[seed, image], image

    def table(self) -> tuple[Labels, Labels, RowIndices]:
        """Return the answers as `statistics` takes them: true class [M], answers [S, M], places in `paths` [M].

        Without holes M = N. With holes the seeds are laid end to end (S = 1, M = T) and the tests of one image must
        be taken for one group, together with the images that share its pixels.
        """
        if self.complete:
            return self.y_true, self.y_pred, np.arange(len(self.paths))
        y_true, y_pred, image = self.flat()
        return y_true, y_pred[None], image

    def by_seed(self) -> list[tuple[Labels, Labels]]:
        """Return true classes and answers of the images that each seed tested."""
        return [(self.y_true[seed != UNTESTED], seed[seed != UNTESTED]) for seed in self.y_pred]

    def tests(self) -> tuple[Any, ...]:
        """Return a value that is equal for rows whose seeds and folds tested the same images."""
        runs = tuple((run.seed, run.fold, run.n_test) for run in self.runs)
        return tuple(self.paths), (self.y_pred != UNTESTED).tobytes(), runs


def read_predictions(path: Path, classes: Sequence[str]) -> tuple[list[str], Labels, Labels]:
    """Read a `predictions.csv`: paths, true and predicted class numbers (int [N] each).

    Args:
        path: of the file.
        classes: their names; the place of a name is its number.

    Raises:
        SteelbenchError: if it is missing or names unknown classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(row["path"], number[row["label"]], number[row["predicted"]]) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise SteelbenchError(
            f"{path} is missing or damaged ({error}); run the same command with --force to make it anew."
        ) from None
    paths, truth, predicted = zip(*rows, strict=True) if rows else ((), (), ())
    return list(paths), np.array(truth, np.int64), np.array(predicted, np.int64)


def gather(results: Path, records: Sequence[RunRecord]) -> RowPredictions:
    """Put the predictions of a row's finished runs together.

    Args:
        results: the results folder.
        records: of every run of the row.

    Raises:
        SteelbenchError: if a `predictions.csv` is missing, damaged or shorter than its record says.
    """
    records = sorted(records, key=lambda record: (record.seed, record.fold))
    found = [_predictions(results, record) for record in records]
    paths = sorted({path for names, _, _ in found for path in names})
    place = {path: index for index, path in enumerate(paths)}
    seeds = {seed: row for row, seed in enumerate(sorted({record.seed for record in records}))}
    y_true = np.zeros(len(paths), np.int64)
    y_pred = np.full((len(seeds), len(paths)), UNTESTED, np.int64)
    runs = []
    for record, (names, truth, predicted) in zip(records, found, strict=True):
        images = [place[name] for name in names]
        y_true[images] = truth
        y_pred[seeds[record.seed], images] = predicted
        accuracy = float(np.mean(truth == predicted))
        runs.append(RunScore(record.seed, record.fold, accuracy, record.n_train, record.n_test))
    return RowPredictions(paths, y_true, y_pred, runs)


def _predictions(results: Path, record: RunRecord) -> tuple[list[str], Labels, Labels]:
    path = results / "runs" / record.run_name / "predictions.csv"
    found = read_predictions(path, record.classes)
    if len(found[0]) != record.n_test:
        raise SteelbenchError(
            f"{path} has {len(found[0])} lines, its record says {record.n_test} test images; run the same command with "
            "--force to make it anew."
        )
    return found


def read_groups(results: Path) -> dict[str, str]:
    """Read the group of each file from `audit/groups.csv`; empty if there is none.

    Raises:
        SteelbenchError: if it lacks the columns `file` and `group`, or is no text.
    """
    path = results / "audit" / "groups.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return {row["file"]: row["group"] for row in csv.DictReader(file)}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise SteelbenchError(
            f"{path} is damaged ({error}); expected the columns file and group. Delete it and run the same command "
            "again with --force to make it anew."
        ) from None


def groups_of_paths(paths: Sequence[str], groups: Mapping[str, str]) -> Groups:
    """Return a number for each path, int [N]: equal for files of one group; a file that `groups` lacks is alone."""
    names = [("group", groups[path]) if path in groups else ("file", path) for path in paths]
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], np.int64)


def write_predictions(
    path: Path,
    paths: Sequence[str],
    labels: Sequence[str],
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
) -> None:
    """Write path, label, predicted, then `p_<class>` for each class; whole or not at all.

    Args:
        path: of the file.
        paths: N, of the images.
        labels: N, true classes' names.
        probabilities: float32 [N, C].
        classes: C names.
    """
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "label", "predicted", *(f"p_{name}" for name in classes)])
        for name, label, row in zip(paths, labels, probabilities, strict=True):
            writer.writerow([name, label, classes[int(row.argmax())], *(f"{value:.8f}" for value in row)])
