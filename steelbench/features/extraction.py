"""Features of a frozen encoder, computed once for each image: extraction, and the check of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import read_image, resize
from steelbench.data.parallel import ordered_map
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import Run, open_engine

# Largest relative difference from plain Keras that float32 features may have; usual are 1e-6 to 1e-4.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Source:
    """An image to be seen: its file, and the digest of its bytes, which its features are kept under."""

    path: Path
    digest: str


@dataclass(frozen=True)
class EngineCheck:
    """The engine that computes, and how its first batch compares with plain Keras in float32.

    `problem` says why the engine that was asked for is not the one that computes.
    """

    engine: str
    difference: float
    cosine: float
    problem: str = ""

    @property
    def record(self) -> dict[str, float | None]:
        """Difference and cosine for a record; None where they are no numbers."""
        found = {"difference": self.difference, "cosine": self.cosine}
        return {key: value if np.isfinite(value) else None for key, value in found.items()}

    @property
    def fell_back(self) -> bool:
        """Whether Keras took over."""
        return bool(self.problem)


def checked_engine(name: str, encoder: Any, precision: str, first: NDArray[np.float32]) -> tuple[Run, EngineCheck]:
    """Open an engine and compare its first batch with plain Keras.

    Args:
        name: a row of `ENGINES`.
        encoder: of `build_encoder`.
        precision: float32, bfloat16 or float16.
        first: float32 [B, S, S, 3], real images at the encoder's size.

    Returns:
        The engine to use, which is `keras` where float32 features differ by more than `TOLERANCE`, and the check.
    """
    from steelbench.models.surgery import before_pooling

    expected = np.asarray(before_pooling(encoder)(first, training=False))
    try:
        run = open_engine(name, encoder, precision)
        got = next(iter(run([first])))
    except Exception as error:
        # Whatever a conversion stumbles over, plain Keras can run what Keras built.
        if name == "keras":
            raise
        problem = f"{name} cannot run it ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]})"
        return open_engine("keras", encoder, precision), EngineCheck("keras", 0.0, 1.0, problem)
    difference, cosine = compare(got, expected)
    if name != "keras" and precision == "float32" and not difference <= TOLERANCE:
        problem = f"{name} differs from Keras by {difference:.1e} (relative), more than {TOLERANCE:g}"
        return open_engine("keras", encoder, precision), EngineCheck("keras", difference, cosine, problem)
    return run, EngineCheck(name, difference, cosine)


def compare(got: NDArray[np.float32], expected: NDArray[np.float32]) -> tuple[float, float]:
    """Largest relative difference (by norm) and smallest cosine over the images of a batch."""
    norms = np.linalg.norm(expected, axis=1) + 1e-30
    difference = np.linalg.norm(got - expected, axis=1) / norms
    cosine = np.sum(got * expected, axis=1) / (norms * (np.linalg.norm(got, axis=1) + 1e-30))
    return float(difference.max()), float(cosine.min())


def batches(images: Iterable[NDArray[np.float32]], size: int) -> Iterator[tuple[NDArray[np.float32], int]]:
    """Batches of one fixed size, the last one padded with its last image; with the number of real ones."""
    waiting: list[NDArray[np.float32]] = []
    for image in images:
        waiting.append(image)
        if len(waiting) == size:
            yield np.stack(waiting), size
            waiting = []
    if waiting:
        real = len(waiting)
        yield np.stack(waiting + waiting[-1:] * (size - real)), real


def extract(
    sources: Sequence[Source],
    space: FeatureStore,
    encoder: Any,
    run: Run,
    batch: int,
    *,
    bit_depth: int | None = None,
    change: Callable[[NDArray[np.float32], str], NDArray[np.float32]] = lambda pixels, digest: pixels,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Compute the features that the space lacks.

    Each missing image is decoded and computed exactly once, whatever else asks for the same space at the same time.

    Args:
        sources: the images.
        space: where their features are kept.
        encoder: of `build_encoder`.
        run: the engine.
        batch: images that it takes at once.
        bit_depth: used bits of 16-bit files.
        change: from pixels float32 [S, S, 3], 0..255, and the image's digest to what is seen in their place.
        progress: called with images done and the total.

    Returns:
        The number of images that were computed.
    """
    size = encoder.get_layer("resizing").height
    with space.locked():
        missing = {source.digest: source for source in sources if source.digest not in space}
        todo = list(missing.values())

        def decode(source: Source) -> NDArray[np.float32]:
            return change(resize(read_image(source.path, bit_depth), size), source.digest)

        decoded = ordered_map(decode, todo)
        real: list[int] = []

        def fixed() -> Iterator[NDArray[np.float32]]:
            for images, count in batches(decoded, batch):
                real.append(count)
                yield images

        done = 0
        with space.writer() as write:
            for features in run(fixed()):
                count = real.pop(0)
                write([source.digest for source in todo[done : done + count]], features[:count])
                done += count
                progress(done, len(todo))
    return done


def feature_health(features: NDArray[np.float32]) -> dict[str, float]:
    """How much the features differ between images; a wrong pixel range leaves them all but constant.

    Measured on NEU and X-SDD: pretrained and fresh backbones have a spread of .40 to .95, the same ones on pixels that
    were divided by 255 before a network that rescales them itself .0005 to .21.

    Args:
        features: float32 [N, D], of different images.

    Returns:
        spread: standard deviation over images relative to the root mean square, both over all features, 0..1.
        constant: share of the features that do not change at all, 0..1.
    """
    values = features.astype(np.float64)
    squares = float(np.mean(values**2))
    return {
        "spread": float(np.sqrt(values.var(axis=0).mean() / squares)) if squares else 0.0,
        "constant": float(np.mean(values.std(axis=0) <= 1e-6 * np.sqrt(squares))),
    }
