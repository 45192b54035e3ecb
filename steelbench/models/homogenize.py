"""Homogenise the brightness of images inside the model (`--homogenize`), by built-in layers, without their class.

Subtracting each class's own mean, as is sometimes done, needs the class of a test image, which is to be predicted; and
the classes would then differ by what was subtracted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import choose

if TYPE_CHECKING:
    import keras

MODES = {
    "none": "brightness as it is",
    "global": "shifted by one number, so that the training images' mean is mid gray",
    "image": "each image shifted so that its mean is that of the training images, and clipped to 0..255",
}
MID_GRAY = 127.5


def mean_brightness(images: Iterable[NDArray[np.uint8]]) -> float:
    """Return the mean over images of the mean over pixels and channels; to be measured on training images alone.

    Args:
        images: uint8 [H, W, 3] each, of any size; a large image counts as much as a small one.

    Returns:
        Mean brightness, 0..255.

    Raises:
        ValueError: if there are none.
    """
    means = [float(np.mean(image)) for image in images]
    if not means:
        raise ValueError("mean_brightness got no image")
    return float(np.mean(means))


def homogenize(images: keras.KerasTensor, mode: str, mean: float) -> keras.KerasTensor:
    """Homogenise the brightness of images.

    `global` is a constant shift, which keeps the information of brightness about the class; it is not clipped, since
    that would only lose the brightest or the darkest pixels. `image` removes the mean brightness of each image and
    clips, as the audit's table of brightness shows it.

    Args:
        images: float [B, H, W, C], 0..255, of any size.
        mode: a key of `MODES`.
        mean: `mean_brightness` of the training images, 0..255.

    Returns:
        Of the same shape.

    Raises:
        SteelbenchError: for an unknown mode.

    References:
        Both are from the steel surface part of Viek, "Metric learning for steel surface classification", part 2.
    """
    from keras import layers

    if choose("homogenisation", mode, MODES) == "none":
        return images
    if mode == "global":
        return layers.Rescaling(1.0, offset=MID_GRAY - mean, name="homogenize")(images)
    # Over columns and channels, then over rows: equal parts, so the mean of the means is the mean.
    rows = layers.GlobalAveragePooling2D(data_format="channels_first", keepdims=True, name="homogenize_rows")(images)
    own = layers.GlobalAveragePooling2D(data_format="channels_last", keepdims=True, name="homogenize_mean")(rows)
    centred = layers.Subtract(name="homogenize_centre")([images, own])
    shifted = layers.Rescaling(1.0, offset=mean, name="homogenize_shift")(centred)
    return layers.ReLU(max_value=255.0, name="homogenize")(shifted)
