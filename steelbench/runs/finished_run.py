"""From a trained head to a finished run: score the test images, save the model, verify it on some, write."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import steelbench
from steelbench.arrays import Features, Labels
from steelbench.data.images import ImageFiles
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.evaluation.calibration import fit_temperature
from steelbench.evaluation.embeddings.embedding_file import write_embeddings
from steelbench.evaluation.embeddings.nearest import nearest_rows
from steelbench.evaluation.embeddings.retrieval import Embedded, evaluate_embeddings
from steelbench.evaluation.error_tables import NEIGHBOURS, NEIGHBOURS_FILE, write_neighbours
from steelbench.evaluation.metrics import Metrics
from steelbench.files import file_digest
from steelbench.methods import METHODS
from steelbench.models import saved_model
from steelbench.models.head import Head
from steelbench.models.model_card import card_fields
from steelbench.models.probe import Probe
from steelbench.models.surgery import network_name
from steelbench.models.training_digests import training_digests
from steelbench.records import RunRecord, StageRecord, Verification
from steelbench.runs.jobs import Job, Task
from steelbench.runs.label_first import write_run_candidates
from steelbench.runs.run_record import describe_run, write_run
from steelbench.training.loop.fit import write_history
from steelbench.training.methods.trained_head import TrainedHead

# Wrong answers whose nearest training images are sought; the report shows 24 of them in full.
MOST_SOUGHT = 5_000
# Test images that `--verify sample` compares.
VERIFY_IMAGES = 32


@dataclass(frozen=True)
class UsedEncoder:
    """The encoder of a run, and what its record says of it.

    Attributes:
        model: raw images to features.
        engine: what computed the features that were scored.
        check: how the engine compared with Keras; None where Keras itself computed.
        weights: where the weights come from.
    """

    model: keras.Model
    engine: str
    check: dict[str, Any] | None
    weights: dict[str, Any]


@dataclass(frozen=True)
class SavedModel:
    """A saved and verified model.

    Attributes:
        path: of the `.h5`.
        probabilities: float32 [N, C], of all images; those of test images may come from Keras.
        verification: of the file against the test images' probabilities.
        notes: for the record; `scored_by` where Keras had to score.
        probe: for the card.
        seconds: of saving and of verifying.
    """

    path: Path
    probabilities: Features
    verification: Verification
    notes: dict[str, Any]
    probe: Probe | None
    seconds: dict[str, float]

    @property
    def fields(self) -> dict[str, Any]:
        """Return its fields of a `RunRecord`."""
        name = f"models/{self.path.name}"
        return {
            "model": name,
            "model_bytes": self.path.stat().st_size,
            "verification": self.verification,
            "digests": {name: file_digest(self.path)},
        }


def finish_run(
    folder: Path,
    *,
    job: Job,
    task: Task,
    encoder: UsedEncoder,
    trained: TrainedHead,
    features: Features,
    unlabelled: Features | None = None,
    split: Split,
    seconds: dict[str, float],
    naive: Metrics | None,
    step: Callable[[str], None],
) -> None:
    """Write a run's files into its unfinished folder, the record last, and move the folder to `runs/`.

    Args:
        folder: of the unfinished run.
        job: that the run belongs to.
        task: the run.
        encoder: that the features come from.
        trained: the head.
        features: float32 [N, D], of all labelled images.
        unlabelled: float32 [U, D], of those without labels; None where the run does not use them.
        split: of the run's seed and fold.
        seconds: by step, so far.
        naive: metrics of the same head on a random split, if that was trained.
        step: called with the name of a step that begins.

    Raises:
        SteelbenchError: if the saved model differs from what was scored.
    """
    # The only place where test images are scored: validation has chosen everything by now.
    head, temperature = _calibrated(trained.head, features[split.validation], job.data.labels[split.validation])
    probabilities = head(features)
    head.save(folder / "head.npz")
    stages = _write_histories(folder, trained)
    notes = {**trained.notes, "calibration_temperature": temperature}
    if encoder.check is not None:
        notes["engine_check"] = encoder.check
    saved = None
    if task.offered:
        saved = _save_model(job, task, encoder, head, split, probabilities, step)
        probabilities, seconds = saved.probabilities, {**seconds, **saved.seconds}
        notes |= saved.notes
        if unlabelled is not None:
            write_run_candidates(folder, head, features, unlabelled, job.data, split)
        notes["embedding"] = _write_embeddings(folder, head.embed(features), job, split)
    _write_neighbours(folder, head.embed(features), probabilities, job, split)
    record = describe_run(
        task.key,
        job.data,
        split,
        probabilities,
        naive=naive,
        settings=task.settings,
        fingerprint=task.fingerprint,
        image_size=job.image_size,
        augment=task.augment,
        homogenize=job.homogenize,
        weights=encoder.weights,
        engine=encoder.engine,
        precision=job.precision,
        params=encoder.model.count_params() + head.params,
        stages=stages,
        notes=notes,
        seconds=seconds,
        **(saved.fields if saved else {}),
    )
    if saved:
        saved_model.write_card(saved.path, _card(record, job, split), saved.probe)
    write_run(folder, record, job.data, split, probabilities)
    _move_to_runs(folder, Path(job.results) / "runs" / task.key.run_name)


def _calibrated(head: Head, features: Features, labels: Labels) -> tuple[Head, float | None]:
    """Return the head with its temperature, fitted on validation images; None where its last layer has none.

    Args:
        head: as it was trained.
        features: float32 [V, D], of validation images.
        labels: int [V].
    """
    temperature = fit_temperature(head(features), labels)
    tempered = head.tempered(temperature)
    return tempered, None if tempered is head else temperature


def _write_histories(folder: Path, trained: TrainedHead) -> list[StageRecord]:
    """Write each fit's history: the last one's is `history.csv`, earlier ones are `history-<stage>.csv`."""
    stages = []
    for number, (name, done) in enumerate(trained.fits.items(), start=1):
        file = "history.csv" if number == len(trained.fits) else f"history-{name}.csv"
        write_history(folder / file, done.history)
        stages.append(StageRecord(name=name, history=file, epochs=len(done.history), best_epoch=done.best.epoch))
    return stages


def _save_model(
    job: Job,
    task: Task,
    encoder: UsedEncoder,
    head: Head,
    split: Split,
    probabilities: Features,
    step: Callable[[str], None],
) -> SavedModel:
    """Save encoder and head as one model, load it again, and compare its test probabilities with those scored.

    With a confident head behind a deep network of random weights, an engine's rounding errors can grow beyond the
    tolerance. Then the score must be that of the saved file, so Keras computes it anew from raw pixels.
    """
    step("saving")
    start = time.perf_counter()
    model = saved_model.stitch(encoder.model, head, network_name(task.key.name))
    path = Path(job.results) / "models" / f"{task.key.name}.h5"
    saved_model.save(model, path)
    seconds = {"save": time.perf_counter() - start}
    step("verifying")
    start = time.perf_counter()
    files = ImageFiles(Path(job.data.root), [image.path for image in job.data.images], job.data.bit_depth)
    rows, reloaded = _rows_to_verify(job, split), saved_model.Reloaded(path)

    def verified(probabilities: Features) -> Verification:
        return reloaded.verify(files.raw(rows), probabilities[rows])

    verification, notes = verified(probabilities), {}
    if job.precision == "float32" and verification.max_difference > saved_model.TOLERANCE:
        notes["scored_by"] = f"keras, because {encoder.engine} differed by {verification.max_difference:.1e}"
        probabilities = probabilities.copy()
        probabilities[split.test] = saved_model.probabilities(model, files.raw(split.test))
        verification = verified(probabilities)
    # `not <=`, because a difference that is NaN must be refused, too.
    if job.precision == "float32" and not verification.max_difference <= saved_model.TOLERANCE:
        path.unlink()
        raise SteelbenchError(
            f"the saved model differs from the run that was scored by {verification.max_difference:.1e} in a "
            f"probability, at most {saved_model.TOLERANCE:g} may be; it was not kept."
        )
    probe = reloaded.probe()
    seconds["verify"] = time.perf_counter() - start
    return SavedModel(path, probabilities, verification, notes, probe, seconds)


def _rows_to_verify(job: Job, split: Split) -> NDArray[np.int64]:
    if job.verify == "full" or len(split.test) <= VERIFY_IMAGES:
        return split.test
    return np.sort(np.random.default_rng(0).permutation(split.test)[:VERIFY_IMAGES])


def _write_embeddings(folder: Path, vectors: Features, job: Job, split: Split) -> dict[str, float | None]:
    """Write the test images' embeddings for the report; return how well classes lie apart in the embedding."""
    labels, groups = job.data.labels, np.array([image.group for image in job.data.images], np.int64)
    test, train = (Embedded(vectors[rows], labels[rows], groups[rows]) for rows in (split.test, split.train))
    # The report maps the rows of a backbone of which one learns an embedding.
    mapped = any(METHODS[task.key.method].learns_embedding for task in (*job.tasks, *job.beside))
    write_embeddings(folder, test, with_projection=mapped)
    return evaluate_embeddings(test, train)


def _write_neighbours(folder: Path, vectors: Features, probabilities: Features, job: Job, split: Split) -> None:
    """Write the training images nearest to each wrongly named test image, by the cosine of their embeddings.

    Of more than `MOST_SOUGHT` wrong answers those are sought that the model is surest of.
    """
    shares = probabilities[split.test]
    wrong = np.flatnonzero(shares.argmax(axis=1) != job.data.labels[split.test])
    sure = np.argsort(-shares[wrong].max(axis=1), kind="stable")[:MOST_SOUGHT]
    sought = split.test[wrong[np.sort(sure)]]
    nearest = split.train[nearest_rows(vectors[sought], vectors[split.train], NEIGHBOURS)]
    images = job.data.images
    write_neighbours(
        folder / NEIGHBOURS_FILE,
        [images[row].path for row in sought],
        [[images[row].path for row in rows] for rows in nearest],
    )


def _card(record: RunRecord, job: Job, split: Split) -> dict[str, Any]:
    # Validation images chose the model, so they are no unseen ones, either.
    learned = [job.data.images[row].pixels_digest for row in np.concatenate([split.train, split.validation])]
    return {
        "name": record.name,
        **card_fields(record),
        "bit_depth": job.data.bit_depth,
        "training_digests": training_digests(learned),
        "verification": record.verification.model_dump() if record.verification else None,
        "versions": {
            "steelbench": steelbench.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        },
    }


def _move_to_runs(folder: Path, final: Path) -> None:
    """Delete the checkpoints, and rename the folder: from then on the run is there as a whole."""
    for state in folder.glob("state*"):
        shutil.rmtree(state) if state.is_dir() else state.unlink()
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(final, ignore_errors=True)
    folder.rename(final)
