"""What one backbone's process does: features once, then every head on them."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import resource
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.methods import METHODS, Checked
from steelbench.models.homogenize import mean_brightness
from steelbench.models.pour import digest, encoder_with_weights
from steelbench.models.weights import Origin
from steelbench.training.cache import Space
from steelbench.training.engines import ENGINES, Run, choose_engine
from steelbench.training.features import Source, checked_engine, extract
from steelbench.training.finish import Finisher
from steelbench.training.fit import FitPlan
from steelbench.training.heads import Trained
from steelbench.training.health import feature_health
from steelbench.training.job import Event, Job, SplitRef, Task
from steelbench.training.pictures import Pictures
from steelbench.training.predictions import Metrics, score

if TYPE_CHECKING:
    from steelbench.training.bench import Bench


class Worker:
    """What the tasks of one job share: the encoder and every image's features."""

    def __init__(self, job: Job, emit: Callable[[Event], None], wait_for_turn: Callable[[], None]) -> None:
        self.job, self.emit, self.wait_for_turn = job, emit, wait_for_turn
        self.seconds: dict[str, float] = {}
        self.results = Path(job.results)
        self.labels = np.array([image.label for image in job.images], np.int64)
        self.weights: dict[str, Any] = Origin(**job.origin).record
        self.in_turn = False
        self.even: dict[str, Any] = {}
        self.pictures = Pictures(Path(job.data_root), [image.path for image in job.images], job.bit_depth)

    def step(self, name: str, done: int = 0, total: int = 0) -> None:
        """Tell the parent how far a step is."""
        self.emit(Event(kind="progress", step=name, done=done, total=total))

    def run(self) -> None:
        """Everything that the job asks for; a task that fails does not stop the others."""
        self._timed("load", self._load)
        on_images = [task for task in self.job.tasks if _settings(task).on_images]
        on_features = [task for task in self.job.tasks if not _settings(task).on_images]
        if on_features or self.job.limit is not None:
            self._timed("features", self._extract)
        if on_images and self.job.limit is None:
            # Training on images keeps every core busy, as seeing them does: it is done in turn.
            self._take_turn()
            self._attempt(on_images, 0)
        self.emit(Event(kind="extracted"))
        self._attempt(on_features, len(on_images))
        self.step("heads", len(self.job.tasks), len(self.job.tasks))

    def _attempt(self, tasks: Sequence[Task], done: int) -> None:
        for number, task in enumerate(tasks, start=done):
            self.step("heads", number, len(self.job.tasks))
            try:
                self._task(task)
                self.emit(Event(kind="done", text=task.run_name))
            except Exception as error:
                # One method's failure is a row in the report; the others go on.
                self.emit(Event(kind="failed", text=_reason(error), step=task.run_name))

    def _take_turn(self) -> None:
        if not self.in_turn:
            self.emit(Event(kind="ready"))
            self.wait_for_turn()
            self.in_turn = True

    def _timed(self, name: str, action: Callable[[], None]) -> None:
        start = time.perf_counter()
        action()
        self.seconds[name] = time.perf_counter() - start

    def _load(self) -> None:
        job, calibration, brightness = self.job, None, 0.0
        if job.homogenize != "none":
            brightness = mean_brightness(self.pictures.raw(job.own_split.train))
            self.even = {"homogenize": job.homogenize, "brightness": brightness}
        if job.origin["kind"] == "random":
            calibration = self.pictures.resized(job.calibration_rows, job.image_size)
            self.weights |= {"seed": 0, "calibration_images": len(calibration), "calibration": job.calibration_digest}
        self.encoder = encoder_with_weights(
            job.backbone, Origin(**job.origin), image_size=job.image_size, calibration=calibration,
            homogenization=job.homogenize, brightness=brightness,
        )  # fmt: skip
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
                **self.even,
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
            self._take_turn()
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
        self.health = feature_health(self.features)

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
        split = _find(self.job.splits, task).split
        settings = _settings(task)
        plan = FitPlan(
            seed=task.seed * 1000 + task.fold,
            state=folder,
            tensorboard=self.results / "tensorboard" / task.run_name if self.job.track else None,
        )
        start = time.perf_counter()
        row, naive = METHODS[task.method], None
        if settings.on_images:
            bench = dataclasses.replace(self.bench, preset=task.augment)
            trained = _function(row.train_images)(bench, split, settings, plan)
            seconds = {"load": self.seconds["load"], "fit": time.perf_counter() - start}
        else:
            train = _function(row.train)
            trained = train(self.features, self.labels, len(self.job.classes), split, settings, plan)
            trained.notes["features"] = self.health
            seconds = {**self.seconds, "fit": time.perf_counter() - start}
            if task.offered and self.job.naive:
                naive = self._naive(self.job.naive.split, train, settings, plan)
        Finisher(
            job=self.job, task=task, encoder=trained.encoder or self.encoder, trained=trained, split=split,
            labels=self.labels, pictures=self.pictures, engine="keras" if trained.encoder else self.engine,
            check=None if trained.encoder else self.check, weights={**self.weights, **self.even}, naive=naive,
            step=self.step,
        ).finish(folder, self.features if trained.features is None else trained.features, seconds)  # fmt: skip

    @cached_property
    def bench(self) -> Bench:
        """For methods that train on images: every image at the encoder's size, and the encoder to copy."""
        from steelbench.training.bench import Bench, read_pixels

        job = self.job
        digest = hashlib.sha256("".join(image.digest for image in job.images).encode()).hexdigest()
        return Bench(
            encoder=self.encoder, pretrained=job.origin["kind"] != "random", digest=digest, labels=self.labels,
            pixels=read_pixels(self.pictures, range(len(job.images)), job.image_size),
            num_classes=len(job.classes),
        )  # fmt: skip

    def _naive(self, split: Split, train: Callable[..., Trained], settings: Checked, plan: FitPlan) -> Metrics:
        """The same head on a random split that ignores shared pixels: what it scores above the honest one is memory."""
        alone = dataclasses.replace(plan, state=None, tensorboard=None)
        trained = train(self.features, self.labels, len(self.job.classes), split, settings, alone)
        found = score(trained.head(self.features[split.test]), self.labels[split.test], len(self.job.classes))
        return {**found, "images": float(len(split.test))}


def _settings(task: Task) -> Checked:
    return METHODS[task.method].settings(**task.settings)


def _function(name: str) -> Callable[..., Trained]:
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def _find(refs: Sequence[SplitRef], task: Task) -> SplitRef:
    return next(ref for ref in refs if (ref.seed, ref.fold) == (task.seed, task.fold))


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:400]
    return text if isinstance(error, SteelbenchError) else f"{type(error).__name__}: {text}"
