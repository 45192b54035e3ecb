"""Answers to a stream of image files: threads decode ahead of the engine, and memory does not grow with the files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import AnyArray, Mask
from steelbench.data.images import UnreadableImageError, open_image, resize
from steelbench.data.inspection import Inspected, inspected
from steelbench.data.parallel import ordered_map
from steelbench.data.samples import Sample
from steelbench.inference.archives.archive import StoredImage
from steelbench.inference.network import Network, Outputs
from steelbench.machine import usable_cores

# Resized images that wait for the engine, as batches; images of any size, which may be large, wait one by one.
AHEAD_BATCHES, AHEAD_RAW = 6, 2
# A batch of images of any size also ends when it holds more pixels than this: images of a line camera are large.
BATCH_PIXELS = 50_000_000

# A file or a crop on this machine, or an image of an archive behind a URL.
Address = Path | StoredImage


@dataclass(frozen=True)
class Answer:
    """What a model says about one image file.

    Attributes:
        path: as given.
        reason: why it cannot be read; "" if it can.
        probabilities: float32 [C]; empty for an unreadable image.
        unfamiliar: whether the model does not know images of this kind; None where that is not known.
        bits: of a value in the file, 8 or 16; 0 for an unreadable image.
        largest: value in the file.
        seen: what is known of the file, if asked for: its digests and size.
    """

    path: Address
    reason: str
    probabilities: NDArray[np.float32]
    unfamiliar: bool | None = None
    bits: int = 0
    largest: int = 0
    seen: Inspected | None = None


@dataclass(frozen=True)
class _Read:
    """A file as it comes from a decoding thread."""

    path: Address
    pixels: AnyArray | None
    reason: str = ""
    bits: int = 0
    largest: int = 0
    seen: Inspected | None = None


def answers(
    network: Network,
    paths: Iterable[Address],
    bit_depth: int | None = None,
    *,
    judge: Callable[[Outputs], Mask] | None = None,
    inspect: bool = False,
) -> Iterator[Answer]:
    """Yield the answer to each file, in order.

    Args:
        network: opened on an engine.
        paths: of images, crops or images of archives; read one by one, as answers are taken.
        bit_depth: used bits of 16-bit files; None means all 16.
        judge: says which images are unfamiliar.
        inspect: whether the answers carry what is known of the files.
    """
    # Of each batch that the engine has not answered: its files, unreadable ones among them.
    waiting: deque[list[_Read]] = deque()
    read = partial(_read, size=network.lengths.size, bit_depth=bit_depth, inspect=inspect)
    ahead = AHEAD_RAW if network.lengths.size is None else AHEAD_BATCHES * network.batch
    decoded = ordered_map(read, paths, threads=max(2, usable_cores()), ahead=ahead)
    for vectors in network.run(_batches(decoded, network, waiting)):
        yield from _answered(network, waiting.popleft(), vectors, judge)
    for files in waiting:
        yield from _answered(network, files, np.zeros((0, 1), np.float32), None)


def _read(path: Address, *, size: int | None, bit_depth: int | None, inspect: bool) -> _Read:
    try:
        opened = path.open(bit_depth) if isinstance(path, StoredImage) else open_image(path, bit_depth)
    except UnreadableImageError as error:
        return _Read(path, None, str(error))
    image = opened.image
    pixels = image.pixels if size is None else resize(image.pixels, size)
    seen = inspected(Sample(str(path), ""), opened.digest, image) if inspect else None
    return _Read(path, pixels, "", image.bits, image.largest, seen)


def _batches(decoded: Iterable[_Read], network: Network, waiting: deque[list[_Read]]) -> Iterator[NDArray[np.float32]]:
    """Yield batches for the engine, and append the files of each to `waiting`, without their pixels."""
    files: list[_Read] = []
    images: list[AnyArray] = []

    def batch() -> NDArray[np.float32]:
        waiting.append(files.copy())
        stacked = np.stack(images).astype(np.float32, copy=False)
        files.clear()
        images.clear()
        missing = network.batch - len(stacked) if network.lengths.size is not None else 0
        return np.concatenate([stacked, np.zeros((missing, *stacked.shape[1:]), np.float32)]) if missing else stacked

    for found in decoded:
        if images and found.pixels is not None and not _fits(found.pixels, images, network.batch):
            yield batch()
        files.append(_Read(found.path, None, found.reason, found.bits, found.largest, found.seen))
        if found.pixels is not None:
            images.append(found.pixels)
        if len(images) == network.batch:
            yield batch()
    if images:
        yield batch()
    elif files:
        waiting.append(files)


def _fits(image: AnyArray, images: list[AnyArray], batch: int) -> bool:
    pixels = image.shape[0] * image.shape[1]
    return len(images) < batch and image.shape == images[0].shape and (len(images) + 1) * pixels <= BATCH_PIXELS


def _answered(
    network: Network, files: list[_Read], vectors: NDArray[np.float32], judge: Callable[[Outputs], Mask] | None
) -> Iterator[Answer]:
    readable = sum(not own.reason for own in files)
    outputs = network.split(vectors[:readable]) if readable else None
    unfamiliar = iter(judge(outputs)) if judge and outputs else None
    rows = iter(outputs.probabilities if outputs else ())
    for own in files:
        if own.reason:
            yield Answer(own.path, own.reason, np.zeros(0, np.float32))
            continue
        new = None if unfamiliar is None else bool(next(unfamiliar))
        yield Answer(own.path, "", next(rows), new, own.bits, own.largest, own.seen)
