"""The encoder around a backbone: raw pixels -> resizing -> preprocessing -> backbone -> pooled features."""

from __future__ import annotations

import pkgutil

import keras
from keras import layers

from steelbench.models import keras_hub
from steelbench.models.backbones import (
    CAFFE_MEAN,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Backbone,
    check_image_size,
    find_backbone,
)
from steelbench.models.homogenize import homogenize
from steelbench.models.surgery import clone_onto, network_name


def build_network(name: str, images: keras.KerasTensor | None = None, size: int | None = None) -> keras.Model:
    """Build the network without its top, exactly as its publisher does, with fresh weights.

    Args:
        name: a backbone.
        images: float32 [B, S, S, 3], preprocessed, to build on so that the graph stays flat; None for an own input.
        size: side of that input, pixels; None for any.

    Returns:
        A model to a feature map [B, h, w, D].
    """
    row = find_backbone(name)
    if row.preprocessing == "preset":
        source = keras.models.load_model(keras_hub.network_file(name), compile=False)
        return clone_onto(source, keras.Input((size, size, 3)) if images is None else images)
    if ":" in row.constructor:
        build = pkgutil.resolve_name(row.constructor)
        return build(keras.Input((size, size, 3)) if images is None else images, **row.arguments)
    shape = None if images is not None else (size, size, 3)
    return getattr(keras.applications, row.constructor)(
        include_top=False, weights=None, input_tensor=images, input_shape=shape, **row.arguments
    )


def preprocess(images: keras.KerasTensor, row: Backbone) -> keras.KerasTensor:
    """Change RGB on 0..255 to what the weights expect, by built-in layers only, so that a saved file loads anywhere.

    The Caffe models take BGR; the channels of their first kernel are reversed instead (`encoder_with_weights`), so the
    images stay RGB.

    Args:
        images: float32 [B, S, S, 3].
        row: of the backbone.

    Returns:
        float32 [B, S, S, 3].
    """
    if row.preprocessing == "caffe":
        return layers.Rescaling(1.0, offset=[-mean for mean in CAFFE_MEAN], name="preprocessing")(images)
    if row.preprocessing == "tf":
        return layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(images)
    if row.preprocessing == "lite":
        # (x - 127) / 128, as the networks were trained. With it the first BatchNorm sees .83 of the variance that it
        # has stored; with ImageNet's mean and deviation, which the PyTorch port's README names, 4.1 times that.
        return layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocessing")(images)
    if row.preprocessing == "torch":
        scale = [1 / (255 * std) for std in IMAGENET_STD]
        offset = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
        return layers.Rescaling(scale, offset=offset, name="preprocessing")(images)
    if row.preprocessing == "preset":
        scale, offset = row.rescaling
        return layers.Rescaling(scale, offset=offset, name="preprocessing")(images)
    return images


def build_encoder(
    name: str, image_size: int | None = None, homogenization: str = "none", brightness: float = 0.0
) -> keras.Model:
    """Build raw images to features: resizing, homogenisation, preprocessing, backbone, global average pooling, flat.

    Args:
        name: a backbone.
        image_size: side of the square that the backbone sees, pixels; None for its usual one.
        homogenization: a key of `homogenize.MODES`.
        brightness: mean of the training images, 0..255, that homogenisation goes by.

    Returns:
        A model from float32 [B, H, W, 3] (RGB, 0..255, any H and W) to float32 [B, feature_dim]; its last layer is
        called `embedding`, its resizing layer `resizing`.

    Raises:
        SteelbenchError: if the network does not take so small an image.
    """
    row = find_backbone(name)
    size = image_size or row.image_size
    check_image_size(name, size)
    images = keras.Input((None, None, 3), name="image")
    resized = layers.Resizing(size, size, name="resizing")(images)
    even = homogenize(resized, homogenization, brightness)
    network = build_network(name, preprocess(even, row))
    pooled = layers.GlobalAveragePooling2D(name="embedding")(network.output)
    # The name becomes a TensorFlow scope as soon as the model is traced; `hub:` may not stand in one.
    return keras.Model(images, pooled, name=network_name(name))


def rebuild(encoder: keras.Model) -> keras.Model:
    """Build an encoder again from its layers' configurations, with the same weights, under the present dtype policy.

    Args:
        encoder: flat, of any built-in layers.

    Returns:
        A model that shares nothing with the given one; every layer of it is trainable.
    """
    policy = keras.dtype_policies.serialize(keras.config.dtype_policy())

    def build(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": policy, "trainable": True})

    again = keras.models.clone_model(encoder, clone_function=build)
    again.set_weights(encoder.get_weights())
    for layer in again.layers:
        if isinstance(layer, layers.Normalization) and layer.weights:
            # It computes with values derived from its weights when they were last finalised.
            layer.finalize_state()
    return again
