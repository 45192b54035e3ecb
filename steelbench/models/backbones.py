"""The backbones: a table that knows no TensorFlow, constructors are named by strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from steelbench.errors import SteelbenchError, choose
from steelbench.models import keras_hub

Preprocessing = Literal["caffe", "tf", "torch", "efficientnet", "inside", "preset"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# RGB means on 0..255 that the Caffe models subtract.
CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights: its name, where from, the md5 its publisher states (or None), megabytes."""

    name: str
    url: str
    md5: str | None
    megabytes: float
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Backbone:
    """A row of `BACKBONES`.

    Attributes:
        constructor: name in `keras.applications`.
        preprocessing: what its ImageNet weights expect; "inside" means the network itself takes 0..255, "efficientnet"
            that it does so through a `Normalization` layer whose numbers come with the weights, "preset" means
            `rescaling`.
        image_size: side of the square that it sees, pixels.
        feature_dim: length of the pooled features.
        params: weights without the top, counted by Keras.
        imagenet: the file of its ImageNet weights.
        noisy_student: the file of its noisy-student weights, where there is one.
        arguments: further arguments of the constructor.
        smallest: side of the smallest image that it takes, pixels.
        rescaling: per channel, what pixels are multiplied by and what is added then, for "preset".
    """

    constructor: str
    preprocessing: Preprocessing
    image_size: int
    feature_dim: int
    params: int
    imagenet: WeightsFile
    noisy_student: WeightsFile | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    smallest: int = 32
    rescaling: tuple[list[float], list[float]] = ([], [])


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_KERAS_EFFICIENTNET = "https://storage.googleapis.com/keras-applications/"
_NOISY = "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/"
_TF = "_weights_tf_dim_ordering_tf_kernels"

BACKBONES = {
    "vgg19": Backbone(
        "VGG19", "caffe", 224, 512, 20_024_384,
        WeightsFile(f"vgg19{_TF}_notop.h5", f"{_KERAS}vgg19/", "253f8cb515780f3b799900260a226db6", 80.1),
    ),
    "efficientnet_b0": Backbone(
        "EfficientNetB0", "efficientnet", 224, 1280, 4_049_571,
        WeightsFile("efficientnetb0_notop.h5", _KERAS_EFFICIENTNET, "50bc09e76180e00e4465e1a485ddc09d", 16.7),
        WeightsFile("efficientnet-b0_noisy-student_notop.h5", _NOISY, "a5b48ae7547fc990c7e4f3951230290d", 16.7),
    ),
    "xception": Backbone(
        "Xception", "tf", 299, 2048, 20_861_480,
        WeightsFile(f"xception{_TF}_notop.h5", f"{_KERAS}xception/", "b0042744bf5b25fce3cb969f33bebb97", 83.7),
        smallest=71,
    ),
    "inception_v3": Backbone(
        "InceptionV3", "tf", 299, 2048, 21_802_784,
        WeightsFile(f"inception_v3{_TF}_notop.h5", f"{_KERAS}inception_v3/", "bcbd6486424b2319ff4ef7d526e38f63", 87.9),
        smallest=75,
    ),
    "resnet50": Backbone(
        "ResNet50", "caffe", 224, 2048, 23_587_712,
        WeightsFile(f"resnet50{_TF}_notop.h5", f"{_KERAS}resnet/", "4d473c1dd8becc155b73f8504c6f6626", 94.8),
    ),
    "efficientnet_b3": Backbone(
        "EfficientNetB3", "efficientnet", 300, 1536, 10_783_535,
        WeightsFile("efficientnetb3_notop.h5", _KERAS_EFFICIENTNET, "af6d107764bb5b1abb91932881670226", 43.9),
        WeightsFile("efficientnet-b3_noisy-student_notop.h5", _NOISY, "47da5b154de1372b557a65795d3e6135", 43.9),
    ),
    "efficientnet_v2_b0": Backbone(
        "EfficientNetV2B0", "inside", 224, 1280, 5_919_312,
        WeightsFile(
            "efficientnetv2-b0_notop.h5", f"{_KERAS}efficientnet_v2/", "893217f2bb855e2983157299931e43ff", 24.3
        ),
    ),
    "mobilenet_v2": Backbone(
        "MobileNetV2", "tf", 224, 1280, 2_257_984,
        WeightsFile(
            f"mobilenet_v2{_TF}_1.0_224_no_top.h5", f"{_KERAS}mobilenet_v2/", None, 9.4,
            also=("mobilenet_v2_1.0_224_no_top.weights.h5",),
        ),
    ),
    "mobilenet_v2_035": Backbone(
        "MobileNetV2", "tf", 224, 1280, 410_208,
        WeightsFile(
            f"mobilenet_v2{_TF}_0.35_224_no_top.h5", f"{_KERAS}mobilenet_v2/", None, 2.0,
            also=("mobilenet_v2_0.35_224_no_top.weights.h5",),
        ),
        arguments={"alpha": 0.35},
    ),
    "densenet121": Backbone(
        "DenseNet121", "torch", 224, 1024, 7_037_504,
        WeightsFile(f"densenet121{_TF}_notop.h5", f"{_KERAS}densenet/", "30ee3e1110167f948a6b9946edeeb738", 29.1),
    ),
}  # fmt: skip


def find_backbone(name: str) -> Backbone:
    """The row of that name; of `hub:PRESET` one that is made from what was fetched.

    Raises:
        SteelbenchError: names the closest one.
    """
    if name.startswith(keras_hub.PREFIX):
        found = keras_hub.describe(name)
        return Backbone(
            "", "preset", found.image_size, found.feature_dim, found.params,
            WeightsFile(keras_hub.network_file(name).name, "", None, 0.0), rescaling=(found.scale, found.offset),
        )  # fmt: skip
    return BACKBONES[choose("backbone", name, BACKBONES)]


def check_networks(networks: Sequence[str]) -> None:
    """Refuse unknown networks, and an ensemble that names one twice.

    Args:
        networks: names of `BACKBONES` or `hub:PRESET`.

    Raises:
        SteelbenchError: names the closest backbone, or the ensemble.
    """
    for name in networks:
        if name.startswith(keras_hub.PREFIX):
            keras_hub.network_file(name)
        else:
            choose("backbone", name, BACKBONES)
        if networks.count(name) > 1:
            ensemble = "+".join(networks)
            raise SteelbenchError(f"the ensemble '{ensemble}' names {name} twice; its parts must differ, as in a+b.")


def check_image_size(name: str, size: int) -> None:
    """Refuse images that the network of that row cannot take.

    Raises:
        SteelbenchError: says the smallest and the usual size.
    """
    row = find_backbone(name)
    if size < row.smallest:
        raise SteelbenchError(
            f"{name} cannot take images of {size} pixels; its smallest are {row.smallest}, usual are "
            f"{row.image_size}. Raise --image-size, or leave the backbone out."
        )
