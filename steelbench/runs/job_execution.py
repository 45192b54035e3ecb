"""Run one job in the worker process: extract features once, then train, score and save every head on them."""

from __future__ import annotations

import dataclasses
import hashlib
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features
from steelbench.data.images import ImageFiles
from steelbench.data.splits import Split
from steelbench.evaluation.metrics import Metrics, score
from steelbench.features.extraction import feature_health
from steelbench.features.frozen_encoder import ExtractionContext, FrozenEncoder
from steelbench.methods import METHODS, Settings, views_of
from steelbench.models.homogenize import mean_brightness
from steelbench.models.surgery import join
from steelbench.runs.fingerprint import weights_record
from steelbench.runs.finished_run import UsedEncoder, finish_run
from steelbench.runs.jobs import Event, Job, Task
from steelbench.runs.label_efficiency import measure_label_efficiency
from steelbench.runs.parent import reason_of
from steelbench.runs.unknown_classes import measure_rows
from steelbench.runs.unlabelled import usable
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.replicas import seen_gpus
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.pseudo_labels import Pool, train_twice
from steelbench.training.methods.trained_head import TrainedHead


@dataclasses.dataclass(frozen=True)
class JobEncoder:
    """The frozen encoders of a job as one: their features are concatenated.

    Attributes:
        parts: one for each network of the job.
        homogenization: how brightness is homogenised, for the record; empty if it is not.
    """

    parts: Sequence[FrozenEncoder]
    homogenization: dict[str, Any]

    @cached_property
    def model(self) -> keras.Model:
        """Return the model from raw images to features."""
        if len(self.parts) == 1:
            return self.parts[0].encoder
        return join({part.part.backbone: part.encoder for part in self.parts})

    @property
    def weights(self) -> dict[str, Any]:
        """Return where its weights come from, for the record."""
        found = weights_record({part.part.backbone: part.weights for part in self.parts})
        if len(self.parts) > 1:
            digests = "".join(part.weights["digest"] for part in self.parts)
            found["digest"] = hashlib.sha256(digests.encode()).hexdigest()
        return {**found, **self.homogenization}

    def used(self) -> UsedEncoder:
        """Return what the record of a run on cached features says of it; call it after the extraction."""
        checks = {part.part.backbone: part.measurements for part in self.parts}
        return UsedEncoder(
            model=self.model,
            engine="+".join(dict.fromkeys(part.engine for part in self.parts)),
            check=checks if len(checks) > 1 else next(iter(checks.values())),
            weights=self.weights,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extracted:
    """The features of a job's images.

    Attributes:
        features: float32 [N, D], of the labelled images.
        unlabelled: float32 [U, D], of those without labels.
        views: float32 [V, N, D], of augmented views; None if no method wants more than one view.
        health: of `feature_health`.
    """

    features: Features
    unlabelled: Features
    views: Features | None
    health: dict[str, float]


class Worker:
    """Runs one job.

    Args:
        job: the job.
        emit: called with every event.
        wait_for_turn: returns when this process may compute features or train on images.
        made: the encoder of the job, if this process has it already.
    """

    def __init__(
        self,
        job: Job,
        emit: Callable[[Event], None],
        wait_for_turn: Callable[[], object],
        made: FrozenEncoder | None = None,
    ) -> None:
        self.job, self.data, self.emit, self.wait_for_turn = job, job.data, emit, wait_for_turn
        self.labels, self.made = job.data.labels, made
        paths = [image.path for image in job.data.everything]
        self.files = ImageFiles(Path(job.data.root), paths, job.data.bit_depth)
        self.gpus = seen_gpus() if job.gpus else ()
        # The turn is one for the processor. A worker that computes on a GPU of its own disturbs no other.
        self.has_turn = bool(self.gpus) and job.engine != "openvino"

    def run(self) -> None:
        """Run all tasks. One that fails becomes an event and does not stop the others."""
        on_images = [task for task in self.job.tasks if _settings(task).on_images]
        on_features = [task for task in self.job.tasks if not _settings(task).on_images]
        load, features = dict[str, float](), dict[str, float]()
        with _timed(load, "load"):
            encoder = self._load()
        # What a run costs does not depend on the process that it got.
        load["load"] += self.made.load_seconds if self.made else 0
        extracted = None
        # A job with a limit has no tasks: it measures the rate.
        if on_features or self.job.unknown or self.job.limit is not None:
            with _timed(features, "features"):
                extracted = self._extract(encoder)
        if on_images:
            # Training on images keeps every core busy, as extraction does, so it needs the turn, too.
            self._take_turn()
            images = _OnImages(self.job, self.files, encoder)
            self._attempt(on_images, 0, lambda task, folder: self._run_on_images(task, folder, images, load))
        self.emit(Event(kind="extracted"))
        if extracted is not None:
            found, seconds = extracted, {**load, **features}
            self._attempt(
                on_features,
                len(on_images),
                lambda task, folder: self._run_on_features(task, folder, encoder, found, seconds),
            )
            if on_features:
                measure_label_efficiency(self.job, found.features)
            measure_rows(self.job, lambda split: self._training_set(found, split), self.emit)
        self._step("heads", len(self.job.tasks), len(self.job.tasks))

    def _load(self) -> JobEncoder:
        brightness = 0.0
        if self.job.homogenize != "none":
            brightness = mean_brightness(self.files.raw(self.job.own_split.train))
        request = self.job.extraction_request(brightness)
        context = ExtractionContext(
            request=request,
            files=self.files,
            progress=lambda done, total: self._step("features", done, total),
            tell=lambda told: self.emit(Event(kind="notice", notice=told)),
            take_turn=self._take_turn,
        )
        made = [self.made.with_context(context)] if self.made else []
        parts = made or [FrozenEncoder(part, context) for part in self.job.parts]
        return JobEncoder(parts, request.homogenization)

    def _extract(self, encoder: JobEncoder) -> Extracted | None:
        """Extract and return all features; None for a job with a limit, which does not extract all."""
        for part in encoder.parts:
            part.extract_missing()
        if self.job.limit is not None:
            return None
        found = [part.features() for part in encoder.parts]
        joined = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        features, unlabelled = np.split(joined, [len(self.labels)])
        return Extracted(
            features=features,
            unlabelled=unlabelled,
            views=self._views(encoder),
            health=feature_health(features),
        )

    def _views(self, encoder: JobEncoder) -> Features | None:
        """Return as many views as the task that wants most, float32 [V, N, D]; other tasks take the first of them."""
        tasks = [task for task in (*self.job.tasks, *self.job.unknown) if not _settings(task).on_images]
        wanted = [(views_of(_settings(task)), task.augment) for task in tasks]
        most, preset = max(wanted, default=(1, "none"))
        if most == 1:
            return None
        return np.concatenate([part.views(preset, most) for part in encoder.parts], axis=2)

    def _attempt(self, tasks: Sequence[Task], done: int, run: Callable[[Task, Path], None]) -> None:
        for number, task in enumerate(tasks, start=done):
            self._step("heads", number, len(self.job.tasks))
            name = task.key.run_name
            folder = Path(self.job.results) / "unfinished" / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
                run(task, folder)
                self.emit(Event(kind="done", run=name))
            except Exception as error:
                # One method's failure is a row in the report; the others go on.
                self.emit(Event(kind="failed", run=name, text=reason_of(error)))

    def _run_on_features(
        self, task: Task, folder: Path, encoder: JobEncoder, extracted: Extracted, seconds: dict[str, float]
    ) -> None:
        split, start = self.data.split_of(task.key), time.perf_counter()
        context = self._fit_context(task, folder)
        trained = self._train(task, extracted, split, context)
        trained = dataclasses.replace(trained, notes={**trained.notes, "features": extracted.health})
        seconds = {**seconds, "fit": time.perf_counter() - start}
        naive = self._naive_metrics(task, extracted, context)
        finish_run(
            folder,
            job=self.job,
            task=task,
            encoder=encoder.used(),
            trained=trained,
            features=extracted.features,
            unlabelled=extracted.unlabelled,
            split=split,
            seconds=seconds,
            naive=naive,
            step=self._step,
        )

    def _run_on_images(self, task: Task, folder: Path, images: _OnImages, load: dict[str, float]) -> None:
        split, start = self.data.split_of(task.key), time.perf_counter()
        trained = images.train(task, split, self._fit_context(task, folder))
        seconds = {**load, "fit": time.perf_counter() - start}
        if trained.encoder is None or trained.features is None:
            raise ValueError(f"{task.key.method} trained on images, but returned no encoder and features")
        finish_run(
            folder,
            job=self.job,
            task=task,
            encoder=UsedEncoder(trained.encoder, "keras", None, images.encoder.weights),
            trained=trained,
            features=trained.features,
            split=split,
            seconds=seconds,
            naive=None,
            step=self._step,
        )

    def _train(self, task: Task, extracted: Extracted, split: Split, context: FitContext) -> TrainedHead:
        """Train a head on cached features; twice where images without labels may join."""
        train, data = pkgutil.resolve_name(METHODS[task.key.method].train), self._training_set(extracted, split)
        given = self.data.unlabelled
        if given is None:
            return train(data, _settings(task), context)
        pool = Pool(
            features=extracted.unlabelled,
            groups=np.array([image.group for image in given.images], np.int64),
            usable=usable(given, split),
            confidence=given.confidence,
            classes=self.data.classes,
        )
        return train_twice(train, data, _settings(task), context, pool)

    def _training_set(self, extracted: Extracted, split: Split) -> TrainingSet:
        return TrainingSet(
            features=extracted.features,
            labels=self.labels,
            num_classes=len(self.data.classes),
            split=split,
            views=extracted.views,
            groups=self.data.groups,
        )

    def _naive_metrics(self, task: Task, extracted: Extracted, context: FitContext) -> Metrics | None:
        """Return the test metrics of the same head on a random split; None if the run has no such split.

        What it scores above the honest split comes from images that share pixels with training images.
        """
        if self.data.naive is None or not task.offered:
            return None
        split = self.data.naive.split
        alone = dataclasses.replace(context, state=None, tensorboard=None)
        train = pkgutil.resolve_name(METHODS[task.key.method].train)
        trained = train(self._training_set(extracted, split), _settings(task), alone)
        found = score(trained.head(extracted.features[split.test]), self.labels[split.test], len(self.data.classes))
        return {**found, "images": float(len(split.test))}

    def _fit_context(self, task: Task, folder: Path) -> FitContext:
        tensorboard = Path(self.job.results) / "tensorboard" / task.key.run_name if self.job.track else None
        return FitContext(
            seed=task.key.seed * 1000 + task.key.fold, state=folder, tensorboard=tensorboard, devices=self.gpus
        )

    def _step(self, name: str, done: int = 0, total: int = 0) -> None:
        self.emit(Event(kind="progress", step=name, done=done, total=total))

    def _take_turn(self) -> None:
        """Wait for this process's turn, once."""
        if not self.has_turn:
            self.emit(Event(kind="ready"))
            self.wait_for_turn()
            self.has_turn = True


@dataclasses.dataclass(frozen=True)
class _OnImages:
    """Training on the images themselves; they are read when the first task needs them, so its failure is a row."""

    job: Job
    files: ImageFiles
    encoder: JobEncoder

    def train(self, task: Task, split: Split, context: FitContext) -> TrainedHead:
        from steelbench.training.methods.image_training import ImageTrainingSet

        data = self.job.data
        images = ImageTrainingSet(
            encoder=self.encoder.model,
            pretrained=self.job.parts[0].origin["kind"] != "random",
            pixels=self.pixels,
            digest=hashlib.sha256("".join(image.digest for image in data.images).encode()).hexdigest(),
            labels=data.labels,
            num_classes=len(data.classes),
            split=split,
            groups=data.groups,
            preset=task.augment,
        )
        return pkgutil.resolve_name(METHODS[task.key.method].train_images)(images, _settings(task), context)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Return every labelled image at the encoder's size."""
        from steelbench.training.methods.image_training import read_pixels

        return read_pixels(self.files, range(len(self.job.data.images)), self.job.image_size)


def _settings(task: Task) -> Settings:
    return METHODS[task.key.method].settings(**task.settings)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
