"""The test of one row with unknown defects: each class left out once, a head trained without it, its images scored."""

from __future__ import annotations

import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np

from steelbench.arrays import Features, Floats, Groups, Labels, RowIndices
from steelbench.data.splits import Split
from steelbench.evaluation.calibration import fit_temperature
from steelbench.evaluation.detection import FLAGGED, Evidence, Scored, measure, threshold_on_known
from steelbench.evaluation.unknown import SCORES, Mahalanobis, Neighbours, energy, max_probability
from steelbench.files import write_json
from steelbench.methods import METHODS
from steelbench.models.head import Head
from steelbench.models.unfamiliar_file import Reference, fits, unfamiliar_file, write_reference
from steelbench.notices import notice
from steelbench.records import Detection, LeftOutClass, ScoreName, Unfamiliar, UnknownRecord, unknown_file
from steelbench.runs.jobs import Event, Job, Task
from steelbench.runs.parent import reason_of
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet


@dataclass(frozen=True, kw_only=True)
class OfferedModel:
    """The saved model of a row.

    Attributes:
        name: of the row.
        fingerprint: of its run of seed 0, fold 0.
        path: of the `.h5`.
        head: with its temperature.
    """

    name: str
    fingerprint: str
    path: Path
    head: Head


@dataclass(frozen=True)
class _Left:
    """The rows of one left-out class: those learned from and tested without it, and those of the class."""

    label: int
    train: RowIndices
    validation: RowIndices
    known: RowIndices
    unknown: RowIndices
    excluded: int


def measure_rows(job: Job, training_set: Callable[[Split], TrainingSet], emit: Callable[[Event], None]) -> None:
    """Test rows of a job with unknown defects. One that fails is a notice, and stops neither the others nor the run.

    Args:
        job: whose `unknown` names the rows.
        training_set: of a split, features and labels of all images.
        emit: called with every event.
    """
    for task in job.unknown:
        data = training_set(job.data.split_of(task.key))
        try:
            _measure_row(job, task, data, emit)
        except Exception as error:
            emit(Event(kind="notice", notice=notice("SB410", row=task.key.name, reason=reason_of(error).rstrip("."))))


def _measure_row(job: Job, task: Task, data: TrainingSet, emit: Callable[[Event], None]) -> None:
    """Test a row and write its record; nothing if its training failed."""
    results, classes = Path(job.results), job.data.classes
    folder = results / "runs" / task.key.run_name
    if not (folder / "result.json").is_file():
        return
    offered = OfferedModel(
        name=task.key.name,
        fingerprint=task.fingerprint,
        path=results / "models" / f"{task.key.name}.h5",
        head=Head.load(folder / "head.npz"),
    )
    method = METHODS[task.key.method]
    fit_head, settings = pkgutil.resolve_name(method.train), method.settings(**task.settings)

    def train(own: TrainingSet) -> Head:
        return cast(Head, fit_head(own, settings, FitContext(seed=task.key.seed * 1000 + task.key.fold)).head)

    def progress(done: int) -> None:
        emit(Event(kind="progress", step="unknown", done=done, total=len(classes)))

    groups = np.array([image.group for image in job.data.images], np.int64)
    record = measure_unknown(offered, data, classes, groups, train, progress)
    write_json(unknown_file(results, record.name), record)


def measure_unknown(
    offered: OfferedModel,
    data: TrainingSet,
    classes: list[str],
    groups: Groups,
    train: Callable[[TrainingSet], Head],
    progress: Callable[[int], None],
) -> UnknownRecord:
    """Measure how well a row tells each class from the others when it was not trained on it.

    Images that the class's own share pixels with are neither trained on nor scored. Images without labels never join:
    the class that is left out may be among them.

    Args:
        offered: the row's saved model, which gets the best score's threshold.
        data: features and labels of all images, and the split of seed 0, fold 0.
        classes: C names.
        groups: int64 [N], of all images; those of one group share pixels.
        train: a head on a set whose labels are 0 to C - 2.
        progress: called with the number of classes done.

    Returns:
        The record; what the threshold compares with lies beside the model.
    """
    start = time.perf_counter()
    evidence, left_out = [], []
    for label, name in enumerate(classes):
        progress(label)
        rows = _rows_without(label, data.labels, groups, data.split)
        measurable = len(rows.unknown) > 0 and len(rows.known) > 0
        if measurable:
            evidence.append(_score(rows, data, train))
        left_out.append((name, rows, measurable))
    found, mean = measure(evidence, groups) if evidence else ([], {})
    each = iter(found)
    return UnknownRecord(
        name=offered.name,
        fingerprint=offered.fingerprint,
        reason="" if mean else "no class has images that share no pixels with those of another class",
        classes=[
            LeftOutClass(
                name=name,
                images=len(rows.unknown),
                excluded=rows.excluded,
                known=len(rows.known),
                scores=next(each) if measurable else {},
            )
            for name, rows, measurable in left_out
        ],
        mean=mean,
        best=next(iter(ranked(mean)), None),
        card=choose_threshold(offered, data, mean),
        seconds=time.perf_counter() - start,
    )


def _rows_without(label: int, labels: Labels, groups: Groups, split: Split) -> _Left:
    train, validation, known = (part[labels[part] != label] for part in (split.train, split.validation, split.test))
    own = np.flatnonzero(labels == label)
    shared = np.isin(groups[own], groups[np.concatenate([train, validation])])
    return _Left(label, train, validation, known, own[~shared], int(shared.sum()))


def _score(rows: _Left, data: TrainingSet, train: Callable[[TrainingSet], Head]) -> Evidence:
    """Train without a class, and score its images and those that are known."""
    reduced = _without(data, rows)
    head = train(reduced)
    features, labels = reduced.validation
    head = head.tempered(fit_temperature(head(features), labels))
    scorers = Scorers.fit(head, *reduced.train)
    validation, known, new = (scorers(x) for x in (features, data.features[rows.known], data.features[rows.unknown]))
    # Without validation images nothing is chosen: every image is flagged.
    limits = {name: threshold_on_known(own) if len(own) else -np.inf for name, own in validation.items()}
    scores = {name: Scored(known[name], new[name], limits[name]) for name in known}
    return Evidence(rows.known, rows.unknown, scores)


def _without(data: TrainingSet, rows: _Left) -> TrainingSet:
    """Return the training and validation images of the other classes, numbered anew: nothing else is within reach."""
    kept = np.concatenate([rows.train, rows.validation])
    labels = data.labels[kept]
    place = np.arange(len(kept))
    return TrainingSet(
        features=data.features[kept],
        labels=labels - (labels > rows.label),
        num_classes=data.num_classes - 1,
        split=Split(place[: len(rows.train)], place[len(rows.train) :], place[:0]),
        views=None if data.views is None else data.views[:, kept],
        groups=None if data.groups is None else data.groups[kept],
    )


@dataclass(frozen=True)
class Scorers:
    """The scores that a head allows; what distances are measured to.

    Attributes:
        head: from features to probabilities.
        neighbours: of the training images' embeddings.
        mahalanobis: of the same.
    """

    head: Head
    neighbours: Neighbours
    mahalanobis: Mahalanobis

    @classmethod
    def fit(cls, head: Head, features: Features, labels: Labels) -> Self:
        """Take training images: features float32 [M, D], labels int [M]."""
        embeddings = head.embed(features)
        return cls(head, Neighbours.fit(embeddings), Mahalanobis.fit(embeddings, labels))

    def __call__(self, features: Features) -> dict[ScoreName, Floats]:
        """Return every score of each image, float64 [N], by its name, of features float32 [N, D]."""
        embeddings, logits = self.head.embed(features), self.head.logits(features)
        return {
            "max_probability": max_probability(self.head(features)),
            **({} if logits is None else {"energy": energy(logits)}),
            "mahalanobis": self.mahalanobis(embeddings),
            "knn": self.neighbours(embeddings),
        }

    def reference(self, score: ScoreName) -> Reference | None:
        """Return what a score compares embeddings with; None for one of the answer alone."""
        if score == "knn":
            return self.neighbours
        return self.mahalanobis if score == "mahalanobis" else None


def choose_threshold(
    offered: OfferedModel, data: TrainingSet, mean: Mapping[ScoreName, Detection]
) -> Unfamiliar | None:
    """Choose the saved model's threshold on its validation images; write what it compares with beside it.

    The threshold is not that of the heads that lack a class: distances and probabilities of the saved model are its
    own. It flags at most one known validation image in twenty, none of which was trained on; how many unknown images
    such a threshold finds is known from the left-out classes.

    Returns:
        The threshold of the best score whose reference is small enough; None without validation images.
    """
    features, _ = data.validation
    if not len(features):
        return None
    scorers, path = Scorers.fit(offered.head, *data.train), unfamiliar_file(offered.path)
    for name in ranked(mean):
        reference = scorers.reference(name)
        if reference is not None and not fits(reference):
            continue
        if reference is None:
            path.unlink(missing_ok=True)
        return Unfamiliar(
            score=name,
            threshold=threshold_on_known(scorers(features)[name]),
            flagged=FLAGGED,
            detected=mean[name].detected,
            neighbours=reference.k if isinstance(reference, Neighbours) else None,
            sha256="" if reference is None else write_reference(path, reference),
        )
    return None


def ranked(mean: Mapping[ScoreName, Detection]) -> list[ScoreName]:
    """Return the scores, the highest mean AUROC first, of equals the simpler one."""
    return sorted(mean, key=lambda name: (-mean[name].auroc, SCORES.index(name)))
