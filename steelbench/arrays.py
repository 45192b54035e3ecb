"""The array types of the package, each with its shape; a dimension is N images, D features, C classes, B of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# float32 [N, D], a row for each image; or a vector of them.
Features = NDArray[np.float32]
# int64 [N], class numbers 0 to C - 1.
Labels = NDArray[np.int64]
# int64 [N], numbers of groups of images that share pixels; only their equality counts.
Groups = NDArray[np.int64]
# int64 [M], places in an array of images.
RowIndices = NDArray[np.int64]
# uint8 [H, W, 3], 0 to 255.
RGBImage = NDArray[np.uint8]
# uint8 [H, W], 0 to 255.
Gray8Image = NDArray[np.uint8]
# float32 [H, W].
GrayImage = NDArray[np.float32]
# float32 [H, W, 3], 0 to 255, as networks and augmentation take it.
FloatImage = NDArray[np.float32]
# float32 [B, H, W, 3], 0 to 255.
ImageBatch = NDArray[np.float32]
# float64 [..., 2], coordinates x and y in pixels.
Points = NDArray[np.float64]
# float64, any shape, as statistics compute.
Floats = NDArray[np.float64]
# bool [N].
Mask = NDArray[np.bool_]
# Any type and shape.
AnyArray = NDArray[Any]

# Of a block of columns as float64.
BLOCK_BYTES = 128 * 1024 * 1024


def column_blocks(features: Features, most_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Yield blocks of columns, so that a copy of one in float64 stays small; a small array is one block.

    A mean or a deviation of each column is the same, bit for bit, as of the whole array.

    Args:
        features: [N, D].
        most_bytes: of a block as float64; the last may be twice as large, and one has 8 columns at least: NumPy adds
            up a single column in another order.
    """
    columns, width = features.shape[1], max(8, most_bytes // (8 * max(1, len(features))))
    starts = range(0, max(1, columns - width + 1), width)
    for start in starts:
        yield slice(start, columns if start == starts[-1] else start + width)
