"""What the process of one backbone, or one ensemble, does: features once, then every head on them."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import ImageFiles
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.evaluation.metrics import Metrics, score
from steelbench.features.extraction import feature_health
from steelbench.features.frozen_encoder import ExtractionContext, FrozenEncoder
from steelbench.methods import METHODS, Settings, views_of
from steelbench.models.homogenize import mean_brightness
from steelbench.models.surgery import join
from steelbench.runs.fingerprint import weights_record
from steelbench.runs.finished_run import Finisher
from steelbench.runs.jobs import Event, Job, SplitRef, Task
from steelbench.runs.unlabelled import usable
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.pseudo_labels import Pool, train_twice
from steelbench.training.methods.trained_head import TrainedHead

if TYPE_CHECKING:
    from steelbench.training.methods.image_training import ImageTrainingSet


class Worker:
    """What the tasks of one job share: the encoder and every image's features."""

    def __init__(self, job: Job, emit: Callable[[Event], None], wait_for_turn: Callable[[], None]) -> None:
        self.job, self.emit, self.wait_for_turn = job, emit, wait_for_turn
        self.seconds: dict[str, float] = {}
        self.results = Path(job.results)
        self.labels = np.array([image.label for image in job.images], np.int64)
        self.in_turn = False
        self.even: dict[str, Any] = {}
        self.trunks: list[FrozenEncoder] = []
        self.pictures = ImageFiles(Path(job.data_root), [image.path for image in job.everything], job.bit_depth)

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
        job = self.job
        if job.homogenize != "none":
            brightness = mean_brightness(self.pictures.raw(job.own_split.train))
            self.even = {"homogenize": job.homogenize, "brightness": brightness}
        around = ExtractionContext(self.pictures, self.even, self.emit, self._take_turn)
        self.trunks = [FrozenEncoder(job, part, around) for part in job.parts]

    def _extract(self) -> None:
        for trunk in self.trunks:
            trunk.see()
        if self.job.limit is not None:
            return
        found = [trunk.features() for trunk in self.trunks]
        features = found[0] if len(found) == 1 else np.concatenate(found, axis=1)
        self.features, self.unlabelled = np.split(features, [len(self.labels)])
        self.views = self._see_views()
        self.health = feature_health(self.features)

    def _see_views(self) -> NDArray[np.float32] | None:
        """Of every image as many as the task that wants most, float32 [V, N, D]; they are the same for all tasks."""
        wanted = [(views_of(_settings(task)), task.augment) for task in self.job.tasks if not _settings(task).on_images]
        most, preset = max(wanted, default=(1, "none"))
        if most == 1:
            return None
        return np.concatenate([trunk.views(preset, most) for trunk in self.trunks], axis=2)

    @cached_property
    def encoder(self) -> keras.Model:
        """Raw images to features."""
        if len(self.trunks) == 1:
            return self.trunks[0].encoder
        return join({trunk.part.backbone: trunk.encoder for trunk in self.trunks})

    @property
    def weights(self) -> dict[str, Any]:
        """Where they come from, for the record."""
        found = weights_record({trunk.part.backbone: trunk.weights for trunk in self.trunks})
        if len(self.trunks) > 1:
            digests = "".join(trunk.weights["digest"] for trunk in self.trunks)
            found["digest"] = hashlib.sha256(digests.encode()).hexdigest()
        return {**found, **self.even}

    @property
    def engine(self) -> str:
        """What computes the features; of an ensemble whose parts have several, all."""
        return "+".join(dict.fromkeys(trunk.engine for trunk in self.trunks))

    @property
    def check(self) -> dict[str, Any]:
        """How the engine compared with Keras; of an ensemble by its parts' names."""
        if len(self.trunks) == 1:
            return self.trunks[0].check
        return {trunk.part.backbone: trunk.check for trunk in self.trunks}

    def _task(self, task: Task) -> None:
        folder = self.results / "unfinished" / task.run_name
        folder.mkdir(parents=True, exist_ok=True)
        split = _find(self.job.splits, task).split
        settings = _settings(task)
        context = FitContext(
            seed=task.seed * 1000 + task.fold,
            state=folder,
            tensorboard=self.results / "tensorboard" / task.run_name if self.job.track else None,
        )
        start = time.perf_counter()
        row, naive = METHODS[task.method], None
        if settings.on_images:
            trained = resolve_name(row.train_images)(self._image_set(task, split), settings, context)
            seconds = {"load": self.seconds["load"], "fit": time.perf_counter() - start}
        else:
            train, data = resolve_name(row.train), self._training_set(split)
            trained = self._train(train, data, settings, context)
            trained.notes["features"] = self.health
            seconds = {**self.seconds, "fit": time.perf_counter() - start}
            if task.offered and self.job.naive:
                naive = self._naive(train, self._training_set(self.job.naive.split), settings, context)
        Finisher(
            job=self.job, task=task, encoder=trained.encoder or self.encoder, trained=trained, split=split,
            labels=self.labels, pictures=self.pictures, engine="keras" if trained.encoder else self.engine,
            check=None if trained.encoder else self.check, weights=self.weights, naive=naive, step=self.step,
        ).finish(folder, self.features if trained.features is None else trained.features, seconds)  # fmt: skip

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return the group of each labelled image; if there are unlabelled ones, numbered together with theirs."""
        given = self.job.unlabelled
        return np.array([image.group for image in self.job.images] if given is None else given.ties, np.int64)

    def _training_set(self, split: Split) -> TrainingSet:
        return TrainingSet(
            features=self.features, labels=self.labels, num_classes=len(self.job.classes), split=split,
            views=self.views, groups=self.groups,
        )  # fmt: skip

    def _train(
        self, train: Callable[..., TrainedHead], data: TrainingSet, settings: Settings, context: FitContext
    ) -> TrainedHead:
        """Train on cached features; twice if images without labels may join."""
        given = self.job.unlabelled
        if given is None:
            return train(data, settings, context)
        pool = Pool(
            features=self.unlabelled, groups=np.array([image.group for image in given.images], np.int64),
            usable=usable(given, data.split), confidence=given.confidence, classes=self.job.classes,
        )  # fmt: skip
        return train_twice(train, data, settings, context, pool)

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Every labelled image at the encoder's size, for methods that train on images."""
        from steelbench.training.methods.image_training import read_pixels

        return read_pixels(self.pictures, range(len(self.job.images)), self.job.image_size)

    def _image_set(self, task: Task, split: Split) -> ImageTrainingSet:
        from steelbench.training.methods.image_training import ImageTrainingSet

        job = self.job
        digest = hashlib.sha256("".join(image.digest for image in job.images).encode()).hexdigest()
        return ImageTrainingSet(
            encoder=self.encoder, pretrained=job.origin["kind"] != "random", pixels=self.pixels, digest=digest,
            labels=self.labels, num_classes=len(job.classes), split=split, groups=self.groups, preset=task.augment,
        )  # fmt: skip

    def _naive(
        self, train: Callable[..., TrainedHead], data: TrainingSet, settings: Settings, context: FitContext
    ) -> Metrics:
        """The same head on a random split that ignores shared pixels: what it scores above the honest one is memory."""
        trained = train(data, settings, dataclasses.replace(context, state=None, tensorboard=None))
        test = data.split.test
        found = score(trained.head(self.features[test]), self.labels[test], len(self.job.classes))
        return {**found, "images": float(len(test))}


def _settings(task: Task) -> Settings:
    return METHODS[task.method].settings(**task.settings)


def _find(refs: Sequence[SplitRef], task: Task) -> SplitRef:
    return next(ref for ref in refs if (ref.seed, ref.fold) == (task.seed, task.fold))


def _reason(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:400]
    return text if isinstance(error, SteelbenchError) else f"{type(error).__name__}: {text}"
