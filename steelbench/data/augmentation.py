"""Augmentation of training images before they reach the model, by OpenCV on the CPU; `transforms` has the steps.

The changes of an image are drawn from a seed and its position in the batch, or from a number and its digest, never from
a generator that runs on. So the same numbers give the same pixels whatever the other images are, in a resumed run as in
one that was not interrupted, and the features of a view can be cached. No library at hand draws like this, which is why
Keras's augmentation layers are not used; they would also be saved with the model.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import ImageBatch
from steelbench.data import transforms
from steelbench.errors import choose

# Raise it when a change of this code gives other pixels for the same row and numbers: it is in the cache's keys.
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """A row of `AUGMENTATIONS`: the largest amount of each step, 0 for none; an amount is drawn for each image.

    Lengths are shares of the shorter side, gray levels are shares of 255, so that a row means the same at any size.

    Attributes:
        flips: left and right, up and down, each with a chance of 1/2.
        smallest_crop: share of the area that a random crop keeps at least; 1 does not crop. Always done.
        chance: probability of each of the steps below, for each image.
        rotation: degrees, either way.
        shear: shift of a row for each pixel between it and the centre; the same for columns.
        perspective: shift of each corner.
        elastic: standard deviation of the shift of the points of a coarse grid.
        brightness: added or taken away.
        contrast: c multiplies the differences from the image's mean by 1 - c to 1 + c.
        sharpen: factor of the difference from a blurred copy, which is added.
        blur: standard deviation of a Gaussian.
        motion: length of the path of a motion blur.
        noise: standard deviation of Gaussian noise.
        occlusion: share of the area under a rectangle.
    """

    flips: bool = False
    smallest_crop: float = 1.0
    chance: float = 0.0
    rotation: float = 0.0
    shear: float = 0.0
    perspective: float = 0.0
    elastic: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    sharpen: float = 0.0
    blur: float = 0.0
    motion: float = 0.0
    noise: float = 0.0
    occlusion: float = 0.0


# Hue and saturation are left out: steel images are gray, where they change nothing. A crop stays above half of the
# image, because a small one may miss the defect that the label names.
AUGMENTATIONS = {
    "none": Augmentation(),
    "light": Augmentation(flips=True, smallest_crop=0.6),
    "heavy": Augmentation(
        flips=True,
        smallest_crop=0.5,
        chance=0.3,
        rotation=25,
        shear=0.15,
        perspective=0.1,
        elastic=0.02,
        brightness=0.1,
        contrast=0.3,
        sharpen=1.5,
        blur=0.008,
        motion=0.06,
        noise=0.06,
        occlusion=0.15,
    ),
}


def augment(preset: str, images: ImageBatch, seed: int | tuple[int, ...]) -> ImageBatch:
    """Augment a batch; the changes of image i are drawn from the seed and i.

    Args:
        preset: a row of `AUGMENTATIONS`.
        images: float32 [B, H, W, 3], 0..255.
        seed: a number, or several, such as (seed, epoch, step); the same give the same.

    Returns:
        float32 [B, H, W, 3], 0..255.

    Raises:
        SteelbenchError: for an unknown preset.
        ValueError: for pixels outside 0..255, or none at all.
    """
    row = AUGMENTATIONS[choose("augmentation", preset, AUGMENTATIONS)]
    return np.stack([_augment_one(row, image, [*_numbers(seed), place]) for place, image in enumerate(images)])


def view(preset: str, image: NDArray[Any], number: int, key: str) -> ImageBatch:
    """Return one of an image's numbered views; nothing but the arguments decides its pixels, so it can be cached.

    Args:
        preset: a row of `AUGMENTATIONS`.
        image: uint8 or float32 [H, W, 3], 0..255.
        number: of the view, from 0.
        key: identifies the image, such as its digest.

    Returns:
        float32 [H, W, 3], 0..255.

    Raises:
        SteelbenchError: for an unknown preset.
        ValueError: for pixels outside 0..255.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3.1 (several views of each image).
        https://arxiv.org/abs/2004.11362
    """
    row = AUGMENTATIONS[choose("augmentation", preset, AUGMENTATIONS)]
    return _augment_one(row, image, [number, int.from_bytes(hashlib.sha256(key.encode()).digest())])


def identity(preset: str) -> str:
    """Return a digest that changes if the pixels of a view may change: of the preset and the libraries' versions."""
    inputs = [VERSION, cv2.__version__, np.__version__, asdict(AUGMENTATIONS[preset])]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _numbers(seed: int | tuple[int, ...]) -> tuple[int, ...]:
    return seed if isinstance(seed, tuple) else (seed,)


def _augment_one(row: Augmentation, image: NDArray[Any], seed: list[int]) -> ImageBatch:
    pixels = np.asarray(image, np.float32)
    # As a negation, so that NaN is refused, too.
    if not (pixels.size and pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(f"images must lie in 0..255 to be augmented; these, of shape {pixels.shape}, do not")
    rng = np.random.default_rng(seed)
    if row != AUGMENTATIONS["none"]:
        pixels = _warp(row, pixels, rng)
    for name, step in transforms.STEPS.items():
        if rng.random() < row.chance and (most := getattr(row, name)):
            pixels = step(pixels, most, rng)
    return np.clip(pixels, 0, 255)


def _warp(row: Augmentation, pixels: ImageBatch, rng: np.random.Generator) -> ImageBatch:
    """Flip, turn, shear, tilt, bend and crop, all in one interpolation."""
    side = pixels.shape[0], pixels.shape[1]

    def drawn(most: float, shape: tuple[int, ...] = ()) -> Any:
        return rng.uniform(-most, most, shape) if rng.random() < row.chance else np.zeros(shape)

    corners = transforms.source_corners(
        tuple(rng.choice([-1.0, 1.0], 2)) if row.flips else (1, 1),
        drawn(row.rotation),
        (drawn(row.shear), drawn(row.shear)),
        drawn(row.perspective, (4, 2)),
        side,
    )
    share, centre = transforms.random_crop(row.smallest_crop, rng)
    shifts = transforms.elastic_shifts(side, row.elastic, rng) if rng.random() < row.chance else None
    return transforms.warp(pixels, corners, share, centre, shifts)
