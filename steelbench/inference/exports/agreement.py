"""Whether an exported file answers as the `.h5` does: largest difference of each class, changed classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from steelbench.arrays import Features, ImageBatch, RGBImage
from steelbench.data.images import read_image
from steelbench.inference.exports.formats import Compute
from steelbench.records import Record

# Largest difference of a probability between an exported file in float32 and the `.h5`.
TOLERANCE = 1e-4
# Images of one size that are computed together: at most so many, and so many pixels.
BATCH, BATCH_PIXELS = 16, 4_000_000
# Images that are compared a second time as a part of them, which has another size and shape.
CROPPED = 4


class Agreement(Record):
    """How an exported file answers in comparison with the `.h5`.

    Attributes:
        images: number of images; `CROPPED` parts of images come on top.
        largest_difference: of a probability, 0..1; None where the file gives something that is no number.
        classes_changed: images whose most probable class differs.
        by_class: largest difference of each class's probability.
    """

    images: int
    largest_difference: float | None
    classes_changed: int
    by_class: dict[str, float | None]

    @property
    def holds(self) -> bool:
        """Whether the file is the same model."""
        known = self.largest_difference is not None and self.largest_difference <= TOLERANCE
        return known and not self.classes_changed


class Images:
    """Image files that are read anew each time they are gone through, so that memory holds one batch.

    Args:
        paths: of readable images.
        bit_depth: used bits of 16-bit files; None for all 16.
    """

    def __init__(self, paths: Sequence[Path], bit_depth: int | None) -> None:
        self.paths, self.bit_depth = paths, bit_depth

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[RGBImage]:
        return (read_image(path, self.bit_depth) for path in self.paths)

    def with_crops(self) -> Iterator[RGBImage]:
        """Yield the images, then parts of the first of them: a file that was fixed to one size shows itself."""
        yield from self
        for path in self.paths[:CROPPED]:
            whole = read_image(path, self.bit_depth)
            height, width = whole.shape[:2]
            yield whole[: max(1, 2 * height // 3), : max(1, width // 2)]


def answers(compute: Compute, images: Iterable[RGBImage]) -> Features:
    """Return probabilities float32 [N, C] of raw images, in order; consecutive ones of one size share a batch."""
    return np.concatenate([np.array(compute(batch)) for batch in _batches(images)])


def _batches(images: Iterable[RGBImage]) -> Iterator[ImageBatch]:
    waiting: list[RGBImage] = []
    for image in images:
        full = len(waiting) == BATCH or sum(one[..., 0].size for one in waiting) > BATCH_PIXELS
        if waiting and (full or image.shape != waiting[0].shape):
            yield np.stack(waiting).astype(np.float32)
            waiting = []
        waiting.append(image)
    if waiting:
        yield np.stack(waiting).astype(np.float32)


def compare(got: Features, wanted: Features, classes: Sequence[str], images: int) -> Agreement:
    """Compare probabilities with those of the `.h5`, both float32 [N, C].

    Args:
        got: of the exported file.
        wanted: of the `.h5`.
        classes: names, in the order of the columns.
        images: number of whole images among the rows.

    Raises:
        ValueError: if the shapes differ.
    """
    if got.shape != wanted.shape:
        raise ValueError(f"it gives probabilities of the shape {got.shape} in place of {wanted.shape}")
    with np.errstate(invalid="ignore"):
        largest = np.abs(got.astype(np.float64) - wanted).max(axis=0)
    by_class = [float(one) if np.isfinite(one) else None for one in largest]
    return Agreement(
        images=images,
        largest_difference=float(largest.max()) if np.isfinite(largest).all() else None,
        classes_changed=int((got.argmax(axis=1) != wanted.argmax(axis=1)).sum()),
        by_class=dict(zip(classes, by_class, strict=True)),
    )
