"""Encoders with weights: pretrained ones from a file, or fresh ones whose BatchNorm statistics are calibrated."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.models.backbones import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    find_backbone,
)
from steelbench.models.efficientnet_lite import load_published
from steelbench.models.encoder import build_encoder, build_network
from steelbench.models.stored_weights import is_keras_3
from steelbench.models.weight_files import Origin, is_torch_file, noisy_values, stored_values

_STD = np.array(IMAGENET_STD, np.float32)


def encoder_with_weights(
    name: str,
    origin: Origin,
    *,
    image_size: int | None = None,
    seed: int = 0,
    calibration: NDArray[np.float32] | None = None,
    homogenization: str = "none",
    brightness: float = 0.0,
) -> keras.Model:
    """Build an encoder and set its weights.

    Args:
        name: a backbone.
        origin: of `weight_files.resolve`.
        image_size: side of the square that the backbone sees, pixels; None for its usual one.
        seed: of fresh weights.
        calibration: float32 [N, S, S, 3], 0..255, training images at the encoder's size; for fresh weights only.
        homogenization: a key of `homogenize.MODES`.
        brightness: mean of the training images, 0..255, that homogenisation goes by.

    Returns:
        The encoder of `build_encoder`, not trainable.

    Raises:
        SteelbenchError: if the file does not fit.
    """
    keras.utils.set_random_seed(seed)
    encoder = build_encoder(name, image_size, homogenization, brightness)
    path = Path(origin.path)
    if origin.kind == "random":
        if calibration is not None:
            calibrate(encoder, calibration)
    elif is_torch_file(path):
        load_published(encoder, path, str(find_backbone(name).imagenet.sha256))
    elif stored_values(path) == noisy_values(find_backbone(name)):
        _set_noisy_student(encoder, name, origin)
    else:
        _set_keras(encoder, name, origin)
    encoder.trainable = False
    return encoder


@contextmanager
def _named_by_content(path: Path) -> Iterator[Path]:
    """Yield a file of weights under a name by which Keras, which goes by the name alone, reads it as what it is."""
    ending = ".weights.h5" if is_keras_3(path) else ".h5"
    if path.name.endswith(".h5") and path.name.endswith(".weights.h5") == (ending == ".weights.h5"):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        # A copy, as not every system lets every user make links.
        yield Path(shutil.copyfile(path, Path(folder) / f"copy{ending}"))


def _load(network: keras.Model, name: str, origin: Origin) -> keras.Model:
    try:
        with _named_by_content(Path(origin.path)) as path:
            network.load_weights(path)
    except Exception as error:
        # Keras raises half a dozen kinds here, and to the user they mean one thing.
        raise SteelbenchError(
            f"{origin.path} does not fit {name}: {(str(error).splitlines() or [repr(error)])[0][:200]} "
            f"Name a file made with keras.applications.{find_backbone(name).architecture}(include_top=False)."
        ) from None
    return network


def _set_keras(encoder: keras.Model, name: str, origin: Origin) -> None:
    """Set weights from a file of Keras; what a constructor's `weights="imagenet"` does besides loading is done, too."""
    network = _load(build_network(name, size=find_backbone(name).image_size), name, origin)
    encoder.set_weights(network.get_weights())
    preprocessing = find_backbone(name).preprocessing
    if preprocessing == "caffe":
        first = next(layer for layer in encoder.layers if isinstance(layer, layers.Conv2D))
        kernel, *bias = first.get_weights()
        first.set_weights([kernel[:, :, ::-1, :], *bias])
    if preprocessing == "efficientnet":
        # For weights="imagenet", and only then, Keras puts a Rescaling(1 / sqrt(std)) behind the normalization,
        # which the weights were trained with. Dividing by sqrt(variance * std) is the same in one step.
        normalization = _normalization(encoder)
        mean, variance, count = normalization.get_weights()
        _set_normalization(normalization, mean, variance * _STD, count)


def _set_noisy_student(encoder: keras.Model, name: str, origin: Origin) -> None:
    """Set weights from a file of the `efficientnet` package, layer by layer, so that no custom layer is saved."""
    try:
        import efficientnet.tfkeras as package
    except ImportError:
        raise SteelbenchError(
            "noisy-student weights are read through the efficientnet package, which is not installed; "
            "pip install 'steelbench[noisy]'."
        ) from None
    size = find_backbone(name).image_size
    build = getattr(package, find_backbone(name).constructor)
    source = _load(build(include_top=False, weights=None, input_shape=(size, size, 3)), name, origin)
    for layer in source.layers:
        if layer.weights:
            encoder.get_layer(layer.name).set_weights(layer.get_weights())
    # These weights expect pixels standardised as for ImageNet; Keras's network divides by 255 itself.
    normalization = _normalization(encoder)
    _set_normalization(normalization, np.array(IMAGENET_MEAN, np.float32), _STD**2, np.zeros((), np.int32))


def _normalization(encoder: keras.Model) -> layers.Normalization:
    return next(layer for layer in encoder.layers if isinstance(layer, layers.Normalization))


def _set_normalization(layer: layers.Normalization, *values: NDArray[Any]) -> None:
    layer.set_weights(values)
    # The layer computes with copies of its weights; they are renewed only here.
    layer.finalize_state()


def calibrate(encoder: keras.Model, images: NDArray[np.float32]) -> None:
    """Set each BatchNorm's mean and variance once, from one batch.

    With fresh weights and statistics of 0 and 1 activations vanish (features of about 1e-12), so no head can learn.

    Args:
        encoder: with fresh weights; changed in place.
        images: float32 [N, S, S, 3], 0..255, at the encoder's size.
    """
    norms = [layer for layer in encoder.layers if isinstance(layer, layers.BatchNormalization)]
    drops = [layer for layer in encoder.layers if isinstance(layer, layers.Dropout)]
    kept = [layer.momentum for layer in norms], [layer.rate for layer in drops]
    if not norms:
        return
    # In training mode with momentum 0 the moving statistics become the batch's, and each layer gets the output of
    # layers that are normalised already. Dropped connections would make the statistics depend on chance.
    _each(norms, "momentum", [0.0] * len(norms))
    _each(drops, "rate", [0.0] * len(drops))
    # As a graph, which frees each activation after its last use: run eagerly, Xception held 17 GB here.
    tf.function(lambda batch: encoder(batch, training=True), jit_compile=False)(tf.constant(images))
    _each(norms, "momentum", kept[0])
    _each(drops, "rate", kept[1])


def _each(targets: list[keras.Layer], attribute: str, values: list[float]) -> None:
    for layer, value in zip(targets, values, strict=True):
        setattr(layer, attribute, value)


def digest(model: keras.Model) -> str:
    """Return the sha256 over all weights in order: what features depend on beside the architecture.

    Returns:
        Hexadecimal, part of the key of cached features.
    """
    found = hashlib.sha256()
    for weight in model.weights:
        value = weight.numpy()
        found.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    return found.hexdigest()
