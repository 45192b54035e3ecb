"""The array types of the package, each with its shape; a dimension is N images, D features, C classes, B of a batch."""

from __future__ import annotations

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
