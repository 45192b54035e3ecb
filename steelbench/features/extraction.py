"""Extraction: compute the features that a store lacks, check the engine that computes them, measure their spread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, column_blocks
from steelbench.data.images import read_image, resize
from steelbench.data.parallel import ordered_map
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import ComputeFeatures, open_engine
from steelbench.features.spec import ImageRef

# Largest relative difference from plain Keras that float32 features may have; usual are 1e-6 to 1e-4.
TOLERANCE = 1e-3
# From pixels float32 [S, S, 3], 0..255, and the image's digest to pixels of the same shape.
Change = Callable[[NDArray[np.float32], str], NDArray[np.float32]]


@dataclass(frozen=True)
class EngineCheck:
    """The comparison of an engine's first batch with plain Keras in float32.

    Attributes:
        engine: the engine to use, `keras` where another one failed.
        difference: largest relative difference of a feature vector, by norm.
        cosine: smallest cosine of a feature vector to that of Keras.
        problem: why the engine that was asked for is not used; "" if it is.
    """

    engine: str
    difference: float
    cosine: float
    problem: str = ""

    @property
    def record(self) -> dict[str, float | None]:
        """Return difference and cosine for a record; None where they are not finite."""
        found = {"difference": self.difference, "cosine": self.cosine}
        return {key: value if np.isfinite(value) else None for key, value in found.items()}

    @property
    def fell_back(self) -> bool:
        """Return whether Keras replaces the engine that was asked for."""
        return bool(self.problem)


def checked_engine(
    name: str, encoder: Any, precision: str, first: NDArray[np.float32]
) -> tuple[ComputeFeatures, EngineCheck]:
    """Open an engine and compare its first batch with plain Keras.

    Args:
        name: a row of `ENGINES`.
        encoder: of `build_encoder`.
        precision: float32, bfloat16 or float16.
        first: float32 [B, S, S, 3], 0..255, real images at the encoder's size.

    Returns:
        The engine to use, which is `keras` where float32 features differ by more than `TOLERANCE`, and the check.
    """
    from steelbench.models.surgery import before_pooling

    expected = np.asarray(before_pooling(encoder)(first, training=False))
    try:
        compute = open_engine(name, encoder, precision)
        got = next(iter(compute([first])))
    except Exception as error:
        # A conversion may raise anything; plain Keras can run every model that Keras built.
        if name == "keras":
            raise
        problem = f"{name} cannot run it ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]})"
        return open_engine("keras", encoder, precision), EngineCheck("keras", 0.0, 1.0, problem)
    difference, cosine = compare(got, expected)
    if name != "keras" and precision == "float32" and not difference <= TOLERANCE:
        problem = f"{name} differs from Keras by {difference:.1e} (relative), more than {TOLERANCE:g}"
        return open_engine("keras", encoder, precision), EngineCheck("keras", difference, cosine, problem)
    return compute, EngineCheck(name, difference, cosine)


def compare(got: NDArray[np.float32], expected: NDArray[np.float32]) -> tuple[float, float]:
    """Return the largest relative difference (by norm) and the smallest cosine over the images of a batch.

    Args:
        got: float32 [B, D], features of the engine.
        expected: float32 [B, D], features of plain Keras.
    """
    norms = np.linalg.norm(expected, axis=1) + 1e-30
    difference = np.linalg.norm(got - expected, axis=1) / norms
    cosine = np.sum(got * expected, axis=1) / (norms * (np.linalg.norm(got, axis=1) + 1e-30))
    return float(difference.max()), float(cosine.min())


def batches(images: Iterable[NDArray[np.float32]], size: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Yield batches of one fixed size, the last one padded with its last image, each with its number of real images.

    One size, because a network is compiled anew for every other one.

    Args:
        images: arrays of one shape.
        size: images per batch.
    """
    waiting: list[NDArray[np.float32]] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield np.stack(waiting), size
            waiting = []
    if waiting:
        real = len(waiting)
        yield np.stack(waiting + waiting[-1:] * (size - real)), real


def unchanged(pixels: NDArray[np.float32], digest: str) -> NDArray[np.float32]:  # noqa: ARG001 - a `Change`
    """Return the pixels."""
    return pixels


def extract(
    images: Sequence[ImageRef],
    store: FeatureStore,
    *,
    root: Path,
    encoder: Any,
    compute: ComputeFeatures,
    batch: int,
    bit_depth: int | None = None,
    change: Change = unchanged,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Compute the features that a store lacks.

    Each missing image is decoded and computed exactly once, whatever other process extracts into the same store.

    Args:
        images: may hold copies, which are computed once.
        store: where their features are kept.
        root: the folder that the images' paths are relative to.
        encoder: of `build_encoder`; it says the size S that images are resized to.
        compute: of `open_engine`.
        batch: images per batch.
        bit_depth: used bits of 16-bit files; None for all.
        change: applied to the pixels of each image after resizing.
        progress: called with images done and the total.

    Returns:
        The number of images that were computed.

    Raises:
        UnreadableImageError: for a file that was readable before; what was computed until then is kept.
    """
    size = encoder.get_layer("resizing").height
    with store.locked():
        missing = {image.digest: image for image in images if image.digest not in store}
        todo = list(missing.values())

        def decode(image: ImageRef) -> NDArray[np.float32]:
            return change(resize(read_image(root / image.path, bit_depth), size), image.digest)

        decoded = ordered_map(decode, todo)
        real: list[int] = []

        def fixed() -> Iterator[NDArray[np.float32]]:
            for pixels, count in batches(decoded, batch):
                real.append(count)
                yield pixels

        done = 0
        with store.writer() as write:
            for features in compute(fixed()):
                count = real.pop(0)
                write([image.digest for image in todo[done : done + count]], features[:count])
                done += count
                progress(done, len(todo))
    return done


def feature_health(features: Features) -> dict[str, float]:
    """Return how much the features differ between images.

    A wrong pixel range leaves them almost constant. Measured on NEU and X-SDD: backbones with pretrained and with
    random weights have a spread of .40 to .95; with pixels divided by 255 in front of a network that rescales them
    itself, .0005 to .21.

    Args:
        features: float32 [N, D], of different images.

    Returns:
        spread: standard deviation over images relative to the root mean square, both over all features, 0..1.
        constant: share of the features that do not change at all, 0..1.
    """
    parts = []
    # All in float64 with its square are 3 GB of 100,000 images.
    for own in column_blocks(features):
        values = features[:, own].astype(np.float64)
        parts.append((values.shape[1], float(np.mean(values**2)), values.var(axis=0), values.std(axis=0)))
    widths, means, variances, deviations = zip(*parts, strict=True)
    squares = float(np.average(means, weights=widths)) if len(means) > 1 else means[0]
    return {
        "spread": float(np.sqrt(np.concatenate(variances).mean() / squares)) if squares else 0.0,
        "constant": float(np.mean(np.concatenate(deviations) <= 1e-6 * np.sqrt(squares))),
    }
