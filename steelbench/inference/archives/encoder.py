"""The actor of `steelbench extract`: reads the images of a shard, embeds them, and returns the bytes of a part file."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features
from steelbench.data.images import UnreadableImageError, decode, resize
from steelbench.data.parallel import ordered_map
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES, ComputeFeatures
from steelbench.features.extraction import batches, checked_engine
from steelbench.inference.archives.archive import Archive, open_archive, printable_path
from steelbench.inference.archives.parts import Row, part_bytes
from steelbench.inference.archives.record import CheckedImage, Embedded
from steelbench.inference.archives.shards import SentFiles, ShardWorker
from steelbench.machine import usable_cores
from steelbench.models.weight_files import Origin

# Resized images that wait for the engine, as batches.
AHEAD_BATCHES = 6


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """What an actor needs to embed images as every other actor does.

    Attributes:
        data: URL of the archive.
        backbone: its name.
        image_size: side of the square that it sees, pixels.
        bit_depth: used bits of 16-bit files; None for all.
        engine: a name of `ENGINES`.
        precision: float32, bfloat16 or float16.
        origin: of `weight_files.resolve`.
        files: the file of the weights, if there is one.
        first: readable images, at least one: the engine is checked on them, and random weights take their BatchNorm
            statistics from them.
    """

    data: str
    backbone: str
    image_size: int
    bit_depth: int | None
    engine: str
    precision: str
    origin: Origin
    files: SentFiles
    first: list[CheckedImage]


@dataclass(frozen=True)
class ReadImage:
    """An image as it comes from a reading thread: float32 [S, S, 3], 0..255, or None and the reason."""

    row: Row
    pixels: NDArray[np.float32] | None


@dataclass(frozen=True)
class LoadedEncoder:
    """An encoder on its engine.

    Attributes:
        compute: of `open_engine`.
        embedded: what its embeddings depend on.
        note: why the engine is not the one that was asked for; "" if it is.
    """

    compute: ComputeFeatures
    embedded: Embedded
    note: str


def read_resized(archive: Archive, path: str, size: int, bit_depth: int | None) -> ReadImage:
    """Read an image of an archive; one that cannot be read gets a reason.

    Args:
        archive: that holds it.
        path: below the archive.
        size: side of the square that it is resized to, pixels.
        bit_depth: used bits of 16-bit files; None for all.

    Raises:
        SteelbenchError: if the storage of the archive does not answer.
    """
    shown, digest = printable_path(path), ""
    try:
        data = archive.read(path)
        digest = hashlib.sha256(data).hexdigest()
        pixels = resize(decode(data, bit_depth).pixels, size)
    except UnreadableImageError as error:
        return ReadImage(Row(shown, digest, str(error)), None)
    return ReadImage(Row(shown, digest, ""), pixels)


class Encoder(ShardWorker):
    """Embeds shards, which are lists of paths.

    Args:
        spec: the same for all actors.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def work(self, items: list[str]) -> bytes:
        """Return the bytes of a part file with a row for each path."""
        loaded, batch = self._loaded, self._loaded.embedded.batch
        rows: list[Row] = []
        counts: list[int] = []
        archive = open_archive(self.spec.data)

        def read(path: str) -> ReadImage:
            return read_resized(archive, path, self.spec.image_size, self.spec.bit_depth)

        def pixels() -> Iterator[NDArray[np.float32]]:
            threads = max(2, usable_cores())
            for found in ordered_map(read, items, threads=threads, ahead=AHEAD_BATCHES * batch):
                rows.append(found.row)
                if found.pixels is not None:
                    yield found.pixels

        def fixed() -> Iterator[NDArray[np.float32]]:
            for stacked, count in batches(pixels(), batch):
                counts.append(count)
                yield stacked

        vectors: list[Features] = [own[: counts.pop(0)] for own in loaded.compute(fixed())]
        embeddings = np.concatenate(vectors) if vectors else np.zeros((0, loaded.embedded.dim), np.float32)
        return part_bytes(rows, embeddings, loaded.embedded, loaded.note)

    @cached_property
    def _loaded(self) -> LoadedEncoder:
        from steelbench.models.tensorflow_startup import start_tensorflow

        start_tensorflow()
        import keras
        import tensorflow as tf

        from steelbench.models.pretrained import digest

        # As in a run's workers: random weights take their statistics from a batch, each time the same ones.
        tf.config.experimental.enable_op_determinism()
        spec, first = self.spec, self._first()
        encoder = self._encoder(first)
        batch = ENGINES[spec.engine].batch
        # As `FrozenEncoder` does: a batch of the first images, repeated where they are fewer.
        compute, check = checked_engine(spec.engine, encoder, spec.precision, first[np.arange(batch) % len(first)])
        weights: dict[str, Any] = {**spec.origin.record, "digest": digest(encoder)}
        if spec.origin.kind == "random":
            weights |= {"seed": 0, "calibration_images": len(first)}
        row = ENGINES[check.engine]
        embedded = Embedded(
            backbone=spec.backbone,
            image_size=spec.image_size,
            bit_depth=spec.bit_depth,
            weights=weights,
            engine=check.engine,
            engine_version=row.version,
            keras=keras.__version__,
            precision=spec.precision,
            batch=row.batch,
            dim=encoder.output_shape[-1],
        )
        return LoadedEncoder(compute, embedded, check.problem)

    def _encoder(self, first: NDArray[np.float32]) -> Any:
        from steelbench.models.pretrained import encoder_with_weights

        spec = self.spec
        random = spec.origin.kind == "random"
        with spec.files.unpacked() as folder:
            origin = spec.origin
            if spec.files.contents:
                origin = dataclasses.replace(origin, path=str(folder / Path(origin.path).name))
            return encoder_with_weights(
                spec.backbone, origin, image_size=spec.image_size, calibration=first if random else None
            )

    def _first(self) -> NDArray[np.float32]:
        """Return the first images, float32 [N, S, S, 3], 0..255."""
        archive, found = open_archive(self.spec.data), []
        for image in self.spec.first:
            read = read_resized(archive, image.path, self.spec.image_size, self.spec.bit_depth)
            if not read.row.sha256:
                # A folder that this node lacks would become rows without an embedding.
                raise SteelbenchError(
                    f"{image.path} below {self.spec.data} was there and is not ({read.row.reason}); every node must "
                    "see the same folder, or a URL."
                )
            if read.pixels is None or read.row.sha256 != image.sha256:
                raise SteelbenchError(
                    f"{image.path} below {self.spec.data} has changed; bring the one from the start of this extraction "
                    "back, or name another folder with --out."
                )
            found.append(read.pixels)
        return np.stack(found)
