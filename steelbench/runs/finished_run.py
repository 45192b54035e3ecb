"""From a trained head to a finished run: test images scored, model saved and verified, the record written."""

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
from steelbench.data.images import ImageFiles
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedding_file import write_embeddings
from steelbench.evaluation.embeddings.retrieval import Embedded, evaluate_embeddings
from steelbench.evaluation.metrics import Metrics, score
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.methods import METHODS
from steelbench.models import saved_model
from steelbench.models.model_card import card_fields
from steelbench.models.surgery import network_name
from steelbench.records import RunRecord, StageRecord, Verification
from steelbench.runs.jobs import Job, Task
from steelbench.training.loop.fit import write_history
from steelbench.training.methods.trained_head import TrainedHead

VERIFY_IMAGES = 32
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """What finishing a task needs.

    Attributes:
        check: how the engine compared with Keras; None where Keras itself computed.
        weights: where the backbone's came from, for the record.
        naive: what the same head scores on a random split.
    """

    job: Job
    task: Task
    encoder: keras.Model
    trained: TrainedHead
    split: Split
    labels: NDArray[np.int64]
    pictures: ImageFiles
    engine: str
    check: dict[str, Any] | None
    weights: dict[str, Any]
    step: Callable[[str], None]
    naive: Metrics | None = None

    def finish(self, folder: Path, features: Array, seconds: dict[str, float]) -> None:
        """Write the run's files into `folder`, the record last, and move it to `runs/`.

        Args:
            folder: of the unfinished run.
            features: float32 [N, D], of all images.
            seconds: by step, so far.
        """
        # The test images are looked at here, once, with what validation chose.
        probabilities = self.trained.head(features)
        self.trained.head.save(folder / "head.npz")
        stages, notes = self._histories(folder), dict(self.trained.notes)
        if self.check is not None:
            notes["engine_check"] = self.check
        saved: dict[str, Any] = {}
        if self.task.offered:
            path, start = self._save(), time.perf_counter()
            self.step("verifying")
            verification = self._verify(path, probabilities)
            if self.job.precision == "float32" and verification.max_difference > saved_model.TOLERANCE:
                probabilities[self.split.test] = self._by_keras()
                notes["scored_by"] = f"keras, because {self.engine} differed by {verification.max_difference:.1e}"
                verification = self._verify(path, probabilities)
            seconds = {**seconds, "verify": time.perf_counter() - start}
            self._refuse_difference(path, verification)
            saved = {"model": f"models/{path.name}", "model_bytes": path.stat().st_size, "verification": verification}
        self._write_predictions(folder, probabilities)
        if self.task.offered:
            notes["embedding"] = self._look_at_embedding(folder, features)
        record = self._record(probabilities, stages=stages, notes=notes, seconds=seconds, **saved)
        if self.task.offered:
            start = time.perf_counter()
            saved_model.write_card(path, self._card(record))
            record = record.model_copy(update={"seconds": {**seconds, "save": time.perf_counter() - start}})
        write_json(folder / "result.json", record)
        for state in folder.glob("state*"):
            shutil.rmtree(state) if state.is_dir() else state.unlink()
        final = Path(self.job.results) / "runs" / self.task.run_name
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)

    def _record(self, probabilities: Array, **more: Any) -> RunRecord:
        job, task, split = self.job, self.task, self.split
        parts = {"train": split.train, "validation": split.validation, "test": split.test}
        metrics = {
            name: score(probabilities[rows], self.labels[rows], len(job.classes)) for name, rows in parts.items()
        }
        if self.naive:
            metrics["naive"] = self.naive
        return RunRecord(
            backbone=job.backbone, method=task.method, variant=task.variant, seed=task.seed, fold=task.fold,
            settings=task.settings, fingerprint=task.fingerprint, classes=job.classes, n_train=len(split.train),
            n_validation=len(split.validation), n_test=len(split.test), image_size=job.image_size,
            augment=task.augment, homogenize=job.homogenize,
            weights=self.weights, engine=self.engine, precision=job.precision,
            params=self.encoder.count_params() + self.trained.head.params,
            metrics=metrics,
            **more,
        )  # fmt: skip

    def _histories(self, folder: Path) -> list[StageRecord]:
        """The last stage's history is `history.csv`, earlier ones are `history-<stage>.csv`."""
        stages = []
        for number, (name, done) in enumerate(self.trained.fits.items(), start=1):
            file = "history.csv" if number == len(self.trained.fits) else f"history-{name}.csv"
            write_history(folder / file, done.history)
            stages.append(StageRecord(name=name, history=file, epochs=len(done.history), best_epoch=done.best.epoch))
        return stages

    def _write_predictions(self, folder: Path, probabilities: Array) -> None:
        test, classes = self.split.test, self.job.classes
        paths = [self.job.images[row].path for row in test]
        truth = [classes[self.labels[row]] for row in test]
        write_predictions(folder / "predictions.csv", paths, truth, probabilities[test], classes)

    def _look_at_embedding(self, folder: Path, features: Array) -> dict[str, float | None]:
        """How well classes lie apart in the embedding; the test images' embeddings are kept for the report."""
        vectors = self.trained.head.embed(features)
        groups = np.array([image.group for image in self.job.images], np.int64)
        test, train = (Embedded(vectors[r], self.labels[r], groups[r]) for r in (self.split.test, self.split.train))
        # The report maps the rows of a backbone of which one learns an embedding.
        mapped = any(METHODS[task.method].learns_embedding for task in self.job.tasks)
        write_embeddings(folder, test, with_projection=mapped)
        return evaluate_embeddings(test, train)

    def _save(self) -> Path:
        path = Path(self.job.results) / "models" / f"{self.task.name}.h5"
        self.step("saving")
        saved_model.save(self._stitched(), path)
        return path

    def _card(self, record: RunRecord) -> dict[str, Any]:
        versions = {"steelbench": steelbench.__version__, "keras": keras.__version__, "tensorflow": tf.__version__}
        return {
            "name": self.task.name,
            **card_fields(record),
            "bit_depth": self.job.bit_depth,
            "verification": record.verification.model_dump() if record.verification else None,
            "versions": versions,
        }

    def _verify(self, path: Path, probabilities: Array) -> Verification:
        rows = self.split.test
        if self.job.verify == "sample" and len(rows) > VERIFY_IMAGES:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:VERIFY_IMAGES])
        return saved_model.verify(path, self.pictures.raw(rows), probabilities[rows])

    def _by_keras(self) -> Array:
        """The test images' probabilities by the whole model before it is saved, from raw pixels.

        In a head that is sure of itself, behind a deep network with fresh weights, an engine's last digits can grow
        to more than the tolerance; the score must be that of the saved file.
        """
        return saved_model.probabilities(self._stitched(), self.pictures.raw(self.split.test))

    def _stitched(self) -> keras.Model:
        return saved_model.stitch(self.encoder, self.trained.head, network_name(self.task.name))

    def _refuse_difference(self, path: Path, found: Verification) -> None:
        if self.job.precision == "float32" and not found.max_difference <= saved_model.TOLERANCE:
            path.unlink()
            raise SteelbenchError(
                f"the saved model differs from the run that was scored by {found.max_difference:.1e} in a probability, "
                f"at most {saved_model.TOLERANCE:g} may be; it was not kept."
            )
