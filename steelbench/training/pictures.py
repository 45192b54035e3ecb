"""The images of a job by row number: raw, or at the size of an encoder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import RGB, read_image, resize


class Pictures:
    """Reads on demand; nothing is kept."""

    def __init__(self, root: Path, paths: Sequence[str], bit_depth: int | None) -> None:
        self.root, self.paths, self.bit_depth = root, paths, bit_depth

    def path(self, row: int) -> Path:
        """The file of a row."""
        return self.root / self.paths[row]

    def raw(self, rows: Iterable[int]) -> Iterator[RGB]:
        """uint8 [H, W, 3] each, one at a time."""
        return (read_image(self.path(row), self.bit_depth) for row in rows)

    def resized(self, rows: Iterable[int], size: int) -> NDArray[np.float32]:
        """float32 [N, size, size, 3], 0..255."""
        return np.stack([resize(image, size) for image in self.raw(rows)])
