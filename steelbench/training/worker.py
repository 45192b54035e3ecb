"""One backbone in a process of its own: features once, then every head on them. Started by the runner.

python -m steelbench.training.worker JOB.json      events as JSON lines on standard output
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# TensorFlow's chatter belongs on nobody's terminal.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import METHODS
from steelbench.models.pour import digest, encoder_with_weights
from steelbench.models.weights import Origin
from steelbench.results import read_record
from steelbench.training.cache import Space
from steelbench.training.engines import ENGINES, Run, choose_engine
from steelbench.training.features import Source, checked_engine, extract
from steelbench.training.finish import Finisher
from steelbench.training.fit import FitPlan
from steelbench.training.job import Event, Job, Task
from steelbench.training.pictures import Pictures


class Worker:
    """What the tasks of one job share: the encoder and every image's features."""

    def __init__(self, job: Job, emit: Callable[[Event], None], wait_for_turn: Callable[[], None]) -> None:
        self.job, self.emit, self.wait_for_turn = job, emit, wait_for_turn
        self.seconds: dict[str, float] = {}
        self.results = Path(job.results)
        self.labels = np.array([image.label for image in job.images], np.int64)
        self.weights: dict[str, Any] = Origin(**job.origin).record
        self.pictures = Pictures(Path(job.data_root), [image.path for image in job.images], job.bit_depth)

    def step(self, name: str, done: int = 0, total: int = 0) -> None:
        """Tell the parent how far a step is."""
        self.emit(Event(kind="progress", step=name, done=done, total=total))

    def run(self) -> None:
        """Everything that the job asks for; a task that fails does not stop the others."""
        self._timed("load", self._load)
        self._timed("features", self._extract)
        self.emit(Event(kind="extracted"))
        for number, task in enumerate(self.job.tasks):
            self.step("heads", number, len(self.job.tasks))
            try:
                self._task(task)
                self.emit(Event(kind="done", text=task.run_name))
            except Exception as error:
                # One method's failure is a row in the report; the others go on.
                self.emit(Event(kind="failed", text=_reason(error), step=task.run_name))
        self.step("heads", len(self.job.tasks), len(self.job.tasks))

    def _timed(self, name: str, action: Callable[[], None]) -> None:
        start = time.perf_counter()
        action()
        self.seconds[name] = time.perf_counter() - start

    def _load(self) -> None:
        job, calibration = self.job, None
        if job.origin["kind"] == "random":
            calibration = self.pictures.resized(job.calibration_rows, job.image_size)
            self.weights |= {"seed": 0, "calibration_images": len(calibration), "calibration": job.calibration_digest}
        self.encoder = encoder_with_weights(
            job.backbone, Origin(**job.origin), image_size=job.image_size, calibration=calibration
        )
        self.weights["digest"] = digest(self.encoder)
        self.engine = choose_engine(job.engine, job.precision, len(tf.config.list_physical_devices("GPU")))

    def _space(self) -> Space:
        job, row = self.job, ENGINES[self.engine]
        return Space(
            Path(job.cache), job.backbone, self.encoder.output_shape[-1],
            {
                "weights": self.weights, "image_size": job.image_size, "bit_depth": job.bit_depth,
                "output": "embedding", "engine": self.engine, "engine_version": row.version,
                "keras": keras.__version__, "precision": job.precision, "batch": row.batch,
            },
        )  # fmt: skip

    def _extract(self) -> None:
        sources = [Source(self.pictures.path(row), image.digest) for row, image in enumerate(self.job.images)]
        digests = [source.digest for source in sources]
        space = self._space()
        space.read()
        if any(digest not in space for digest in digests):
            run = self._open_engine()
            space = self._space()
            self.emit(Event(kind="ready"))
            self.wait_for_turn()
            start = time.perf_counter()
            count = extract(
                sources[: self.job.limit], space, self.encoder, run, ENGINES[self.engine].batch,
                bit_depth=self.job.bit_depth, progress=lambda done, total: self.step("features", done, total),
            )  # fmt: skip
            self._measured(space, count / (time.perf_counter() - start))
        self.check = space.check()
        if self.job.limit is not None:
            return
        self.features = space.gather(digests)

    def _measured(self, space: Space, rate: float) -> None:
        """What a forecast goes by."""
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        found = {"images_per_second": rate, "load_seconds": self.seconds["load"] + 10, "memory_gib": memory}
        space.write_check({**space.check(), **found})

    def _open_engine(self) -> Run:
        job = self.job
        first = self.pictures.resized(np.arange(ENGINES[self.engine].batch) % len(job.images), job.image_size)
        run, check = checked_engine(self.engine, self.encoder, job.precision, first)
        if check.fell_back:
            text = f"{job.backbone}: {check.problem}; its features were computed by Keras instead."
            self.emit(Event(kind="note", text=text))
        if job.precision != "float32":
            text = f"{job.backbone}: {job.precision} features have cosine {check.cosine:.5f} to float32 (first batch)."
            self.emit(Event(kind="note", text=text))
        self.engine = check.engine
        self._space().write_check(check.record)
        return run

    def _task(self, task: Task) -> None:
        folder = self.results / "unfinished" / task.run_name
        folder.mkdir(parents=True, exist_ok=True)
        ref = next(ref for ref in self.job.splits if (ref.seed, ref.fold) == (task.seed, task.fold))
        split = Split(*(np.array(part, np.int64) for part in (ref.train, ref.validation, ref.test)))
        row = METHODS[task.method]
        settings = row.settings(**task.settings)
        module, function = row.train.split(":")
        plan = FitPlan(
            seed=task.seed * 1000 + task.fold,
            state=folder,
            tensorboard=self.results / "tensorboard" / task.run_name if self.job.track else None,
        )
        start = time.perf_counter()
        train = getattr(importlib.import_module(module), function)
        trained = train(self.features, self.labels, len(self.job.classes), split, settings, plan)
        seconds = {**self.seconds, "fit": time.perf_counter() - start}
        Finisher(
            job=self.job, task=task, encoder=self.encoder, trained=trained, split=split, labels=self.labels,
            pictures=self.pictures, engine=self.engine, check=self.check, weights=self.weights, step=self.step,
        ).finish(folder, self.features, seconds)  # fmt: skip


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:400]
    return text if isinstance(error, SteelbenchError) else f"{type(error).__name__}: {text}"


def _listen_to_parent() -> threading.Event:
    """The parent's word that it is our turn; its end, which closes our standard input, is ours, too."""
    turn = threading.Event()

    def watch() -> None:
        # Not `sys.stdin`: its lock, held by a thread, would abort the interpreter at the end of a good run.
        while os.read(0, 64):
            turn.set()
        # Nobody would read what we go on to write.
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    return turn


def _wait(turn: threading.Event) -> None:
    turn.wait()


def main() -> None:
    """Run the job named on the command line."""
    turn = _listen_to_parent()
    # Whatever a library prints goes to the log; standard output is for events alone.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(event: Event) -> None:
        events.write(event.model_dump_json() + "\n")

    job = read_record(Path(sys.argv[1]), Job)
    tf.config.experimental.enable_op_determinism()
    try:
        Worker(job, emit, lambda: _wait(turn)).run()
    except SteelbenchError as error:
        for task in job.tasks:
            emit(Event(kind="failed", text=str(error), step=task.run_name))


if __name__ == "__main__":
    main()
