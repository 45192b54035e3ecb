"""A network's answers to fixed images, on its card: whoever computes the network without Keras is held against them."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from steelbench.records import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from steelbench.arrays import Features

# Images that are compared, and their sides where a network takes any size.
CHECKED, SIDES = 4, (180, 200)
# Largest difference of a probability; of embeddings and logits, relative to their length.
TOLERANCE, RELATIVE = 1e-4, 1e-3
# Sums of an embedding's numbers with random signs that stand for it.
SUMS = 8
# Name of these images and signs; a probe of others says nothing here.
IMAGES = "noise of 4 to 256 cells"
MAX_CLASSES, MAX_LENGTH = 1000, 65_536


@dataclass(frozen=True)
class Lengths:
    """What a network computes for an image, side by side in one vector.

    Attributes:
        classes: C, the number of probabilities.
        embedding: E; 0 for a network without a layer `embedding` of one vector per image.
        logits: C, or 0 where the probabilities are not the softmax of a dense layer.
        size: side of the square that images are resized to before the network; None for one that takes any size.
    """

    classes: int
    embedding: int
    logits: int
    size: int | None


class Probe(Record):
    """What Keras computed of `check_images` when the model was saved.

    Of an embedding E numbers long, and of logits, it has the length and `SUMS` sums with random signs: the mean square
    difference of the sums is, in expectation, that of the vectors themselves, at a hundredth of the place.

    Attributes:
        images: name of the images.
        size: side of the images, pixels.
        embedding: E, or 0.
        logits: C, or 0.
        answers: base64 of float32 [CHECKED, K], little-endian: C probabilities, then of the embedding and of the
            logits, where there are some, length and sums.
    """

    images: Annotated[str, Field(max_length=100)] = IMAGES
    size: Annotated[int, Field(ge=1, le=2048)]
    embedding: Annotated[int, Field(ge=0, le=MAX_LENGTH)]
    logits: Annotated[int, Field(ge=0, le=MAX_CLASSES)]
    answers: Annotated[str, Field(max_length=4 * CHECKED * (MAX_CLASSES + 2 * (SUMS + 1)) * 2)]

    @classmethod
    def of(cls, lengths: Lengths, vectors: Features) -> Self | None:
        """Return the probe of a network; None for one that takes images of any size, or has too many numbers.

        Args:
            lengths: of the network.
            vectors: float32 [CHECKED, C + E + C], its answers to `check_images`.
        """
        if lengths.size is None or lengths.classes > MAX_CLASSES or lengths.embedding > MAX_LENGTH:
            return None
        import numpy as np

        numbers = _shortened(lengths, vectors)
        if not np.isfinite(numbers).all():
            return None
        text = base64.b64encode(numbers.astype("<f4").tobytes()).decode("ascii")
        return cls(size=lengths.size, embedding=lengths.embedding, logits=lengths.logits, answers=text)

    @model_validator(mode="after")
    def _check_answers(self) -> Self:
        if self.images != IMAGES:
            return self
        import numpy as np

        numbers = self.numbers()
        classes = numbers.shape[1] - (SUMS + 1) * (bool(self.embedding) + bool(self.logits))
        if not 1 <= classes <= MAX_CLASSES or self.logits not in (0, classes):
            raise ValueError(f"answers hold {numbers.shape[1]} numbers for each image, other than its lengths say")
        shares = numbers[:, :classes]
        if not np.isfinite(numbers).all() or shares.min() < 0 or shares.max() > 1 + 1e-5:
            raise ValueError("answers hold what is no probability")
        return self

    def numbers(self) -> NDArray[np.float32]:
        """Return the answers, float32 [CHECKED, K].

        Raises:
            ValueError: if they are none.
        """
        import numpy as np

        try:
            data = base64.b64decode(self.answers, validate=True)
            return np.frombuffer(data, "<f4").reshape(CHECKED, -1)
        except (binascii.Error, ValueError):
            raise ValueError(f"answers are not base64 of float32 numbers for {CHECKED} images") from None

    def agrees(self, lengths: Lengths, vectors: Features) -> float | None:
        """Return the largest difference of a probability; None where anything differs by more than it may.

        Args:
            lengths: of another implementation of the network.
            vectors: float32 [CHECKED, C + E + C], its answers to `check_images`.
        """
        import numpy as np

        known = self.size, self.embedding, self.logits
        if self.images != IMAGES or known != (lengths.size, lengths.embedding, lengths.logits):
            return None
        found, expected = _shortened(lengths, vectors), self.numbers()
        if found.shape != expected.shape or not np.isfinite(found).all():
            return None
        count = lengths.classes
        difference = float(np.abs(found[:, :count] - expected[:, :count]).max())
        ours, theirs = (numbers[:, count:].reshape(CHECKED, -1, SUMS + 1) for numbers in (found, expected))
        apart = np.sqrt(np.square(ours - theirs)[..., 1:].mean(axis=2)) / (theirs[..., 0] + 1e-6)
        return difference if difference <= TOLERANCE and (apart <= RELATIVE).all() else None


def check_images(size: int | None) -> NDArray[np.float32]:
    """Return images to compare engines on, float32 [`CHECKED`, H, W, 3], 0..255: noise from coarse to fine."""
    import cv2
    import numpy as np

    height, width = (size, size) if size else SIDES
    random = np.random.default_rng(0)
    images = [
        cv2.resize(random.uniform(0, 255, (cells, cells, 3)).astype(np.float32), (width, height))
        for cells in 4 ** np.arange(1, CHECKED + 1)
    ]
    return np.stack(images)


def _shortened(lengths: Lengths, vectors: Features) -> NDArray[np.float32]:
    """Return the probabilities as they are, and of embedding and logits length and sums, float32 [N, K]."""
    import numpy as np

    ends = np.cumsum([lengths.classes, lengths.embedding])
    probabilities, *others = np.split(vectors.astype(np.float64), ends, axis=1)
    parts = [probabilities]
    for other in others:
        if other.shape[1]:
            signs = np.random.default_rng(0).integers(0, 2, (other.shape[1], SUMS)) * 2 - 1
            parts += [np.linalg.norm(other, axis=1, keepdims=True), other @ signs]
    return np.concatenate(parts, axis=1).astype(np.float32)
