"""A frozen encoder with its weights, its engine, and the store that keeps its features."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.data.augmentation import identity, view
from steelbench.data.images import ImageFiles
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import ENGINES, ComputeFeatures, choose_engine
from steelbench.features.extraction import Change, checked_engine, extract, unchanged
from steelbench.features.spec import ExtractionRequest, ImageRef, Part
from steelbench.machine import peak_memory_gib
from steelbench.models.pretrained import digest, encoder_with_weights
from steelbench.models.weight_files import Origin
from steelbench.notices import notice
from steelbench.records import Notice

# Seconds that a process needs before it loads an encoder: Python, TensorFlow, reading its job.
START_SECONDS = 10


@dataclass(frozen=True)
class ExtractionContext:
    """Inputs and callbacks shared by all encoders of a job.

    Attributes:
        request: images and settings.
        files: reads the images of `request`, by row.
        progress: called with images done and the total.
        tell: called with each notice for the reader of the results.
        take_turn: returns when this process may compute features.
    """

    request: ExtractionRequest
    files: ImageFiles
    progress: Callable[[int, int], None]
    tell: Callable[[Notice], None]
    take_turn: Callable[[], None]


class FrozenEncoder:
    """A frozen encoder with its weights, its engine, and the store that keeps its features.

    Attributes:
        part: the network.
        encoder: of `build_encoder`, with its weights, not trainable.
        weights: where they come from, for records and the cache's key.
        engine: computes the features; `keras` where another one failed its check.
    """

    def __init__(self, part: Part, context: ExtractionContext) -> None:
        start = time.perf_counter()
        self.part, self.context, self.request = part, context, context.request
        origin, calibration = Origin(**part.origin), None
        self.weights: dict[str, Any] = origin.record
        if origin.kind == "random":
            calibration = context.files.resized(self.request.calibration_rows, part.image_size)
            self.weights |= {
                "seed": 0,
                "calibration_images": len(calibration),
                "calibration": self.request.calibration_digest,
            }
        self.encoder: keras.Model = encoder_with_weights(
            part.backbone,
            origin,
            image_size=part.image_size,
            calibration=calibration,
            homogenization=self.request.homogenize,
            brightness=self.request.brightness,
        )
        self.weights["digest"] = digest(self.encoder)
        gpus = len(tf.config.list_physical_devices("GPU"))
        self.engine = choose_engine(self.request.engine, self.request.precision, gpus)
        self.store = self._store()
        self.load_seconds = time.perf_counter() - start

    def with_context(self, context: ExtractionContext) -> Self:
        """Return the same encoder for other images or another cache.

        Raises:
            ValueError: if it was made with other settings.
        """
        for name in ("precision", "bit_depth", "homogenize", "brightness", "calibration_digest"):
            if getattr(self.request, name) != getattr(context.request, name):
                raise ValueError(f"the encoder {self.part.backbone} was made with another {name}")
        found = copy.copy(self)
        found.context, found.request = context, context.request
        found.store = found._store()
        return found

    def extract_missing(self) -> None:
        """Compute the features that the store lacks; only of the first images if the request has a limit."""
        self.store.read()
        if all(image.digest in self.store for image in self.request.images):
            return
        compute = self.open_engine()
        self.context.take_turn()
        start = time.perf_counter()
        count = self._extract(self.request.images[: self.request.limit], self.store, compute)
        if count:
            self._write_measurements(count / (time.perf_counter() - start))

    def features(self) -> NDArray[np.float32]:
        """Return the features of all images of the request, float32 [N, D], after `extract_missing`."""
        return self.store.gather([image.digest for image in self.request.images])

    def views(self, preset: str, count: int) -> NDArray[np.float32]:
        """Return features of augmented views of each labelled image; they are cached as those of the images are.

        Args:
            preset: a row of `AUGMENTATIONS`.
            count: V, how many views of each image.

        Returns:
            float32 [V, N, D].
        """
        images = self.request.images[: self.request.labelled]
        digests = [image.digest for image in images]
        stores = self._view_stores(preset, count)
        if not all(digest in store for store in stores for digest in digests):
            compute = self.open_engine()
            # Opening may have replaced the engine, on which the stores depend.
            stores = self._view_stores(preset, count)
            self.context.take_turn()
            for number, store in enumerate(stores):
                self._extract(images, store, compute, partial(_augmented, preset, number))
        return np.stack([store.gather(digests) for store in stores])

    def _view_stores(self, preset: str, count: int) -> list[FeatureStore]:
        stores = [self._store(augment=identity(preset), view=number) for number in range(count)]
        for store in stores:
            store.read()
        return stores

    @property
    def measurements(self) -> dict[str, float]:
        """Return how its engine compared with Keras, how fast it was, and how much memory it took."""
        return self.store.measurements()

    def _store(self, **more: Any) -> FeatureStore:
        """Return the store of these features, the same for every job that has this network."""
        request, row = self.request, ENGINES[self.engine]
        depends_on = {
            "weights": self.weights,
            "image_size": self.part.image_size,
            "bit_depth": request.bit_depth,
            "output": "embedding",
            "engine": self.engine,
            "engine_version": row.version,
            "keras": keras.__version__,
            "precision": request.precision,
            "batch": row.batch,
            **request.homogenization,
            **more,
        }
        return FeatureStore(request.cache, self.part.backbone, self.encoder.output_shape[-1], depends_on)

    def _extract(
        self, images: Sequence[ImageRef], store: FeatureStore, compute: ComputeFeatures, change: Change = unchanged
    ) -> int:
        return extract(
            images,
            store,
            root=self.request.root,
            encoder=self.encoder,
            compute=compute,
            batch=ENGINES[self.engine].batch,
            bit_depth=self.request.bit_depth,
            change=change,
            progress=self.context.progress,
        )

    def _write_measurements(self, images_per_second: float) -> None:
        self.store.write_measurements(
            {
                "images_per_second": images_per_second,
                "load_seconds": self.load_seconds + START_SECONDS,
                "memory_gib": peak_memory_gib(),
            }
        )

    def open_engine(self) -> ComputeFeatures:
        """Open and check the engine; if Keras has to replace it, the store changes, too."""
        precision, backbone = self.request.precision, self.part.backbone
        rows = np.arange(ENGINES[self.engine].batch) % self.request.labelled
        first = self.context.files.resized(rows, self.part.image_size)
        compute, check = checked_engine(self.engine, self.encoder, precision, first)
        if check.fell_back:
            self.context.tell(notice("SB304", name=backbone, problem=check.problem))
        if precision != "float32":
            self.context.tell(notice("SB305", name=backbone, precision=precision, cosine=check.cosine))
        self.engine = check.engine
        self.store = self._store()
        self.store.write_measurements(check.record)
        return compute


def _augmented(preset: str, number: int, pixels: NDArray[np.float32], digest: str) -> NDArray[np.float32]:
    # Bilinear interpolation in float32 may leave 0..255 by a rounding error.
    return view(preset, np.clip(pixels, 0, 255), number, digest)
