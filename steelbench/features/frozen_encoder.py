"""One frozen network of a job: its encoder with weights, its engine, and the features that it leaves in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.data.augmentation import identity, view
from steelbench.data.images import ImageFiles
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import ENGINES, Run, choose_engine
from steelbench.features.extraction import Source, checked_engine, extract
from steelbench.features.spec import Part
from steelbench.machine import peak_memory_gib
from steelbench.models.pretrained import digest, encoder_with_weights
from steelbench.models.weight_files import Origin
from steelbench.runs.jobs import Event, Job


@dataclass(frozen=True)
class ExtractionContext:
    """What the networks of one job share.

    Attributes:
        pictures: of all images, those without labels last.
        even: how brightness is homogenised, as it stands in records; empty if it is not.
        emit: takes events.
        take_turn: returns when this process may see images.
    """

    pictures: ImageFiles
    even: dict[str, Any]
    emit: Callable[[Event], None]
    take_turn: Callable[[], None]


class FrozenEncoder:
    """Built when it is made.

    Attributes:
        encoder: of `build_encoder`, with its weights, not trainable.
        weights: where they come from, for records and the cache's key.
        engine: what computes the features; `keras` where another one failed its check.
    """

    def __init__(self, job: Job, part: Part, around: ExtractionContext) -> None:
        start = time.perf_counter()
        self.job, self.part, self.around = job, part, around
        origin, calibration = Origin(**part.origin), None
        self.weights: dict[str, Any] = origin.record
        if origin.kind == "random":
            calibration = around.pictures.resized(job.calibration_rows, part.image_size)
            self.weights |= {"seed": 0, "calibration_images": len(calibration), "calibration": job.calibration_digest}
        self.encoder: keras.Model = encoder_with_weights(
            part.backbone, origin, image_size=part.image_size, calibration=calibration,
            homogenization=job.homogenize, brightness=around.even.get("brightness", 0.0),
        )  # fmt: skip
        self.weights["digest"] = digest(self.encoder)
        self.engine = choose_engine(job.engine, job.precision, len(tf.config.list_physical_devices("GPU")))
        self.space = self._own_space()
        self.load_seconds = time.perf_counter() - start

    def see(self) -> None:
        """Compute the features that the cache lacks, of the job's first images only if it has a limit."""
        sources = self._sources()
        self.space.read()
        if all(source.digest in self.space for source in sources):
            return
        run = self._open_engine()
        self.around.take_turn()
        start = time.perf_counter()
        count = extract(
            sources[: self.job.limit], self.space, self.encoder, run, ENGINES[self.engine].batch,
            bit_depth=self.job.bit_depth, progress=self._progress,
        )  # fmt: skip
        if count:
            self._measured(count / (time.perf_counter() - start))

    def features(self) -> NDArray[np.float32]:
        """float32 [N, D], of all images that `see` saw."""
        return self.space.gather([source.digest for source in self._sources()])

    def views(self, preset: str, count: int) -> NDArray[np.float32]:
        """Features of augmented views of each labelled image, kept by content as those of the images themselves.

        Args:
            preset: a row of `AUGMENTATIONS`.
            count: V, how many.

        Returns:
            float32 [V, N, D].
        """
        sources = self._sources()[: len(self.job.images)]
        spaces = [self._own_space(augment=identity(preset), view=number) for number in range(count)]
        run = None
        for number, space in enumerate(spaces):
            space.read()
            if all(source.digest in space for source in sources):
                continue
            run = run or self._open_engine()
            self.around.take_turn()
            extract(
                sources, space, self.encoder, run, ENGINES[self.engine].batch, bit_depth=self.job.bit_depth,
                change=partial(_changed, preset, number), progress=self._progress,
            )  # fmt: skip
        return np.stack([space.gather([source.digest for source in sources]) for space in spaces])

    @property
    def check(self) -> dict[str, float]:
        """How its engine compared with Keras, and how fast it was."""
        return self.space.check()

    def _own_space(self, **more: Any) -> FeatureStore:
        """Where the features are kept, the same for every job that has this network."""
        job, row = self.job, ENGINES[self.engine]
        return FeatureStore(
            Path(job.cache), self.part.backbone, self.encoder.output_shape[-1],
            {
                "weights": self.weights, "image_size": self.part.image_size, "bit_depth": job.bit_depth,
                "output": "embedding", "engine": self.engine, "engine_version": row.version,
                "keras": keras.__version__, "precision": job.precision, "batch": row.batch,
                **self.around.even, **more,
            },
        )  # fmt: skip

    def _sources(self) -> Sequence[Source]:
        return [Source(self.around.pictures.path(row), image.digest) for row, image in enumerate(self.job.everything)]

    def _progress(self, done: int, total: int) -> None:
        self.around.emit(Event(kind="progress", step="features", done=done, total=total))

    def _measured(self, rate: float) -> None:
        """What a forecast goes by."""
        memory = peak_memory_gib()
        found = {"images_per_second": rate, "load_seconds": self.load_seconds + 10, "memory_gib": memory}
        self.space.write_check({**self.space.check(), **found})

    def _open_engine(self) -> Run:
        job, part, emit = self.job, self.part, self.around.emit
        rows = np.arange(ENGINES[self.engine].batch) % len(job.images)
        first = self.around.pictures.resized(rows, part.image_size)
        run, check = checked_engine(self.engine, self.encoder, job.precision, first)
        if check.fell_back:
            text = f"{part.backbone}: {check.problem}; its features were computed by Keras instead."
            emit(Event(kind="note", text=text))
        if job.precision != "float32":
            text = f"{part.backbone}: {job.precision} features have cosine {check.cosine:.5f} to float32 (first batch)."
            emit(Event(kind="note", text=text))
        self.engine = check.engine
        self.space = self._own_space()
        # Another process may have left its rate here.
        self.space.write_check({**self.space.check(), **check.record})
        return run


def _changed(preset: str, number: int, pixels: NDArray[np.float32], digest: str) -> NDArray[np.float32]:
    return view(preset, np.clip(pixels, 0, 255), number, digest)
