"""Read and write `predictions.csv`, and put those of one leaderboard row together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups, Labels, RowIndices
from steelbench.csv_files import iterate_csv, write_csv
from steelbench.errors import SteelbenchError
from steelbench.files import open_file
from steelbench.records import RunRecord

UNTESTED = -1
FILE = "predictions.csv"
# Of one file: 100,000 images of 1000 classes.
MAX_BYTES = 1200 * 1024 * 1024
# Accuracies of a file and of its record differ by rounding at most.
ROUNDING = 1e-6


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


def iterate_lines(path: Path, digest: str | None = None) -> Iterator[dict[str, str]]:
    """Yield the lines of a `predictions.csv` by column; it is read in blocks.

    Args:
        path: of the file.
        digest: sha256 that the file must have; None for a run of a version that wrote none.

    Raises:
        SteelbenchError: if it is missing, no such table, other than when it was written, or names an image twice.
    """
    seen: set[str] = set()
    try:
        if digest is not None:
            _refuse_other(path, digest)
        for line in iterate_csv(path, most_bytes=MAX_BYTES):
            if line["path"] in seen:
                raise ValueError("it names an image twice")
            seen.add(line["path"])
            yield line
    except (OSError, KeyError, ValueError) as error:
        raise damaged(path, error) from None


def _refuse_other(path: Path, digest: str) -> None:
    with open_file(path, MAX_BYTES) as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise ValueError("it is not the file that the run wrote")


def damaged(path: Path, error: Exception) -> SteelbenchError:
    """Return the refusal of a run's table, with the way to make it anew."""
    return SteelbenchError(
        f"{path} is missing or damaged ({error}); run the same command with --force to make it anew."
    )


def read_predictions(path: Path, classes: Sequence[str], digest: str | None = None) -> tuple[list[str], Labels, Labels]:
    """Read a `predictions.csv`: paths, true and predicted class numbers (int [N] each).

    Args:
        path: of the file.
        classes: their names; the place of a name is its number.
        digest: as for `iterate_lines`.

    Raises:
        SteelbenchError: as `iterate_lines`, or if it names unknown classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    paths, truth, predicted = list[str](), list[int](), list[int]()
    try:
        for row in iterate_lines(path, digest):
            paths.append(row["path"])
            truth.append(number[row["label"]])
            predicted.append(number[row["predicted"]])
    except KeyError as error:
        raise damaged(path, error) from None
    return paths, np.array(truth, np.int64), np.array(predicted, np.int64)


def gather(results: Path, records: Sequence[RunRecord]) -> RowPredictions:
    """Put the predictions of a row's finished runs together.

    Args:
        results: the results folder.
        records: of every run of the row.

    Raises:
        SteelbenchError: if a `predictions.csv` is missing, damaged or shorter than its record says.
    """
    records = sorted(records, key=lambda record: (record.seed, record.fold))
    found = [read_run(results, record) for record in records]
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


def read_run(results: Path, record: RunRecord) -> tuple[list[str], Labels, Labels]:
    """Read the `predictions.csv` of a run as `read_predictions`, and hold it against the run's record.

    Raises:
        SteelbenchError: also if it is not the file that the run wrote, or has another number of images or accuracy.
    """
    path = results / "runs" / record.run_name / FILE
    paths, truth, predicted = read_predictions(path, record.classes, record.digests.get(FILE))
    if len(paths) != record.n_test:
        raise damaged(path, ValueError(f"it has {len(paths)} lines, its record says {record.n_test} test images"))
    told = record.metrics.get("test", {}).get("accuracy")
    found = float(np.mean(truth == predicted)) if paths else 0.0
    # A changed answer never becomes an accuracy, also in a folder from before there were digests.
    if told is not None and abs(told - found) > ROUNDING:
        raise damaged(path, ValueError(f"its accuracy is {found:.6f}, its record says {told:.6f}"))
    return paths, truth, predicted


def read_groups(results: Path) -> dict[str, str]:
    """Read the group of each file from `audit/groups.csv`; empty if there is none.

    Raises:
        SteelbenchError: if it lacks the columns `file` and `group`, or is no text.
    """
    path = results / "audit" / "groups.csv"
    try:
        return {row["file"]: row["group"] for row in iterate_csv(path)}
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, ValueError) as error:
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
    rows = (
        [name, label, classes[int(row.argmax())], *(f"{value:.8f}" for value in row)]
        for name, label, row in zip(paths, labels, probabilities, strict=True)
    )
    write_csv(path, ["path", "label", "predicted", *(f"p_{name}" for name in classes)], rows)
