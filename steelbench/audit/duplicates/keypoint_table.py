"""The keypoints of many images in common arrays, which grow in place as images are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from steelbench.audit.duplicates.keypoints import Keypoints

# Rows of a new array, about 4 MB of descriptions; a full array grows by half.
_FIRST_ROWS = 1 << 16


class KeypointTable:
    """Keypoints of images, those of one image after those of the one before.

    100,000 images of 64 x 64 pixels have 9 million keypoints, which take 0.6 GB here; as arrays of each image they
    took as much and, while they were put together, twice as much.

    Attributes:
        image: int32 [T], number of each keypoint's image.
        places: int32 [T, 2], (y, x).
        turns: int8 [T], index into `TURNS`.
        scales: int8 [T], index into the scales.
        descriptions: float16 [T, D], unit norm.
        shapes: height and width of each image.
    """

    def __init__(self) -> None:
        self.image: NDArray[np.int32] = np.empty(0, np.int32)
        self.places: NDArray[np.int32] = np.empty((0, 2), np.int32)
        self.turns: NDArray[np.int8] = np.empty(0, np.int8)
        self.scales: NDArray[np.int8] = np.empty(0, np.int8)
        self.descriptions: NDArray[np.float16] = np.empty((0, 0), np.float16)
        self.shapes: list[tuple[int, int]] = []

    @classmethod
    def of(cls, keypoints: Iterable[Keypoints]) -> Self:
        """Return the keypoints of images, each of which may be forgotten once it was taken."""
        table, rows = cls(), 0
        for number, own in enumerate(keypoints):
            values: dict[str, NDArray[Any]] = {
                "image": np.full(len(own.places), number, np.int32),
                "places": own.places,
                "turns": own.turns,
                "scales": own.scales,
                "descriptions": own.descriptions,
            }
            table._write(rows, values)
            rows += len(own.places)
            table.shapes.append(own.shape)
        table._resize(rows)
        return table

    def __len__(self) -> int:
        return len(self.image)

    def _write(self, start: int, values: dict[str, NDArray[Any]]) -> None:
        end = start + len(values["image"])
        if not start:
            self.descriptions = np.empty((len(self), values["descriptions"].shape[1]), np.float16)
        if end > len(self):
            self._resize(max(end, _FIRST_ROWS, len(self) + len(self) // 2))
        for name, own in values.items():
            getattr(self, name)[start:end] = own

    def _resize(self, rows: int) -> None:
        for name in ("image", "places", "turns", "scales", "descriptions"):
            array = getattr(self, name)
            # The system moves the pages of a large array; `concatenate` would hold both for a while.
            array.resize((rows, *array.shape[1:]), refcheck=False)
