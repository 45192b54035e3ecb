"""One backbone in a process of its own: features once, then every head on them. Started by the runner.

python -m steelbench.training.worker JOB.json      events as JSON lines on standard output
"""

from __future__ import annotations

import os

# Before TensorFlow is imported: its chatter belongs on nobody's terminal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import importlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import steelbench
from steelbench.data.images import read_image, resize
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import METHODS
from steelbench.models import artifact
from steelbench.models.pour import CALIBRATION_IMAGES, digest, encoder_with_weights
from steelbench.models.weights import Origin
from steelbench.results import RunRecord, StageRecord, Verification, read_record, write_json
from steelbench.training.cache import Space
from steelbench.training.engines import ENGINES, choose_engine
from steelbench.training.features import Source, checked_engine, extract
from steelbench.training.fit import FitPlan, write_history
from steelbench.training.heads import Trained
from steelbench.training.job import Event, Job, SplitRef, Task
from steelbench.training.predictions import score, write_predictions

VERIFY_IMAGES = 64
Emit = Callable[[Event], None]


class Worker:
    """The state that the tasks of one job share: the encoder and every image's features."""

    def __init__(self, job: Job, emit: Emit) -> None:
        self.job, self.emit = job, emit
        self.seconds: dict[str, float] = {}
        self.results, self.root = Path(job.results), Path(job.data_root)
        self.labels = np.array([image.label for image in job.images], np.int64)
        self.splits = {(ref.seed, ref.fold): _split(ref) for ref in job.splits}
        self.weights: dict[str, Any] = Origin(**job.origin).record

    def step(self, name: str, done: int, total: int) -> None:
        """Tell the parent how far a step is."""
        self.emit(Event(kind="progress", step=name, done=done, total=total))

    def run(self) -> None:
        """Everything that the job asks for; a task that fails does not stop the others."""
        self._timed("load", self._load)
        self._timed("features", self._extract)
        for number, task in enumerate(self.job.tasks):
            self.step("heads", number, len(self.job.tasks))
            try:
                self._task(task)
                self.emit(Event(kind="done", text=task.run_name))
            except Exception as error:
                # One method's failure is a row in the report; the others go on.
                self.emit(Event(kind="failed", text=_reason(error), step=task.run_name))
        self.step("heads", len(self.job.tasks), len(self.job.tasks))

    def _timed(self, name: str, action: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = action()
        self.seconds[name] = time.perf_counter() - start
        return result

    def _load(self) -> None:
        job = self.job
        calibration = None
        if job.origin["kind"] == "random":
            chosen = self._calibration_images()
            calibration = np.stack([self._resized(index) for index in chosen])
            self.weights |= {"seed": 0, "calibration_images": len(chosen)}
        self.encoder = encoder_with_weights(
            job.backbone, Origin(**job.origin), image_size=job.image_size, calibration=calibration
        )
        self.weights["digest"] = digest(self.encoder)
        self.engine = choose_engine(job.engine, job.precision, len(tf.config.list_physical_devices("GPU")))

    def _calibration_images(self) -> list[int]:
        train = self.job.splits[0].train
        chosen = np.random.default_rng(0).permutation(len(train))[:CALIBRATION_IMAGES]
        return [train[index] for index in sorted(chosen)]

    def _resized(self, index: int) -> NDArray[np.float32]:
        return resize(self._raw(index), self.job.image_size)

    def _raw(self, index: int) -> NDArray[np.uint8]:
        return read_image(self.root / self.job.images[index].path, self.job.bit_depth)

    def _extract(self) -> None:
        job = self.job
        batch = ENGINES[self.engine].batch
        first = np.stack([self._resized(index % len(job.images)) for index in range(batch)])
        run, check = checked_engine(self.engine, self.encoder, job.precision, first)
        if check.fell_back:
            self.emit(
                Event(
                    kind="note",
                    text=f"{job.backbone}: {self.engine} differs from Keras by {check.difference:.1e} (relative), more "
                    "than 1e-3; its features were computed by Keras instead.",
                )
            )
            batch = ENGINES[check.engine].batch
        self.engine = check.engine
        self.check = {"difference": check.difference, "cosine": check.cosine}
        space = Space(
            Path(job.cache), job.backbone, self.encoder.output_shape[-1],
            {
                "weights": self.weights["digest"], "image_size": job.image_size, "bit_depth": job.bit_depth,
                "output": "embedding", "engine": self.engine, "engine_version": ENGINES[self.engine].version,
                "keras": keras.__version__, "precision": job.precision, "batch": batch,
            },
        )  # fmt: skip
        sources = [Source(self.root / image.path, image.digest) for image in job.images]
        self.features = extract(
            sources, space, self.encoder, run, batch, bit_depth=job.bit_depth,
            progress=lambda done: self.step("features", done, len(sources)),
        )  # fmt: skip

    def _task(self, task: Task) -> None:
        folder = self.results / "unfinished" / task.run_name
        folder.mkdir(parents=True, exist_ok=True)
        split = self.splits[task.seed, task.fold]
        row = METHODS[task.method]
        settings = row.settings(**task.settings)
        module, function = row.train.split(":")
        plan = FitPlan(
            seed=task.seed * 1000 + task.fold,
            state=folder,
            tensorboard=self.results / "tensorboard" / task.run_name if self.job.track else None,
        )
        start = time.perf_counter()
        trained: Trained = getattr(importlib.import_module(module), function)(
            self.features, self.labels, len(self.job.classes), split, settings, plan
        )
        seconds = {**self.seconds, "fit": time.perf_counter() - start}
        # The test images are looked at here, once, with what validation chose.
        probabilities = trained.head(self.features)
        metrics = {
            part: score(probabilities[rows], self.labels[rows], len(self.job.classes))
            for part, rows in (("train", split.train), ("validation", split.validation), ("test", split.test))
        }
        trained.head.save(folder / "head.npz")
        paths = [self.job.images[row].path for row in split.test]
        truth = [self.job.classes[self.labels[row]] for row in split.test]
        write_predictions(folder / "predictions.csv", paths, truth, probabilities[split.test], self.job.classes)
        stages = self._histories(folder, trained)
        record = RunRecord(
            backbone=self.job.backbone, method=task.method, variant=task.variant, seed=task.seed, fold=task.fold,
            settings=settings.model_dump(mode="json"), fingerprint=task.fingerprint, classes=self.job.classes,
            n_train=len(split.train), n_validation=len(split.validation), n_test=len(split.test),
            image_size=self.job.image_size, weights=self.weights, engine=self.engine, precision=self.job.precision,
            params=self.encoder.count_params() + trained.head.params, stages=stages, metrics=metrics,
            notes={**trained.notes, "engine_check": self.check}, seconds=seconds,
        )  # fmt: skip
        if task.offered:
            record = self._offer(task, trained, record, probabilities, split)
        write_json(folder / "result.json", record)
        (folder / "state.npz").unlink(missing_ok=True)
        final = self.results / "runs" / task.run_name
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)

    def _histories(self, folder: Path, trained: Trained) -> list[StageRecord]:
        """The last stage's history is `history.csv`, earlier ones are `history-<stage>.csv`."""
        stages = []
        for number, (name, done) in enumerate(trained.fits.items(), start=1):
            file = "history.csv" if number == len(trained.fits) else f"history-{name}.csv"
            write_history(folder / file, done.history)
            stages.append(StageRecord(name=name, history=file, epochs=len(done.history), best_epoch=done.best.epoch))
        return stages

    def _offer(
        self, task: Task, trained: Trained, record: RunRecord, probabilities: NDArray[np.float32], split: Split
    ) -> RunRecord:
        path = self.results / "models" / f"{task.name}.h5"
        self.step("saving", 0, 0)
        start = time.perf_counter()
        card = {
            "name": task.name,
            **record.model_dump(mode="json", include=_CARD),
            "steelbench": steelbench.__version__,
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
        }
        size = artifact.save(artifact.stitch(self.encoder, trained.head, task.name), path, card)
        saved = time.perf_counter()
        self.step("verifying", 0, 0)
        verification = self._verify(path, probabilities, split)
        seconds = {**record.seconds, "save": saved - start, "verify": time.perf_counter() - saved}
        return record.model_copy(
            update={
                "model": f"models/{path.name}",
                "model_bytes": size,
                "verification": verification,
                "seconds": seconds,
            }
        )

    def _verify(self, path: Path, probabilities: NDArray[np.float32], split: Split) -> Verification:
        rows = split.test
        if self.job.verify == "sample" and len(rows) > VERIFY_IMAGES:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[:VERIFY_IMAGES])
        found = artifact.verify(path, [self._raw(row) for row in rows], probabilities[rows])
        if self.job.precision == "float32" and not found.max_difference <= artifact.TOLERANCE:
            path.unlink()
            path.with_suffix(".json").unlink()
            raise SteelbenchError(
                f"the saved model differs from the run that was scored by {found.max_difference:.1e} in a probability, "
                f"at most {artifact.TOLERANCE:g} may be; it was not kept. Try --engine keras."
            )
        return found


_CARD = {
    "backbone", "method", "variant", "seed", "fold", "settings", "classes", "image_size", "weights", "engine",
    "precision", "params", "metrics", "n_train", "n_validation", "n_test",
}  # fmt: skip


def _split(ref: SplitRef) -> Split:
    return Split(*(np.array(part, np.int64) for part in (ref.train, ref.validation, ref.test)))


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:400]
    return text if isinstance(error, SteelbenchError) else f"{type(error).__name__}: {text}"


def _end_with_parent() -> None:
    """A parent that was killed closes our standard input; nobody would read what we go on to write."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Run the job named on the command line."""
    _end_with_parent()
    # Whatever a library prints goes to the log; standard output is for events alone.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        events.write(event.model_dump_json() + "\n")

    job = read_record(Path(sys.argv[1]), Job)
    try:
        keras.config.disable_traceback_filtering()
        tf.config.experimental.enable_op_determinism()
        Worker(job, emit).run()
    except SteelbenchError as error:
        for task in job.tasks:
            emit(Event(kind="failed", text=str(error), step=task.run_name))


if __name__ == "__main__":
    main()
