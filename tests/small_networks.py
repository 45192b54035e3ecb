"""The MobileNets of the table with three blocks instead of seventeen, for tests of what happens around a network.

They have what decides how a network is handled: BatchNorm, depthwise convolutions, a shortcut, an activation with a
bound. Building, tracing, saving and loading them takes a tenth of the time, which is most of what a short run takes.
`install` changes the table of the process that calls it; workers call it where `VARIABLE` is set (`warm_workers.py`).
"""

import dataclasses

from steelbench.models.backbones import BACKBONES

VARIABLE = "STEELBENCH_TESTS_SMALL_NETWORKS"
# Width of the blocks, and of the features.
WIDTHS = {"mobilenet_v2_035": (8, 48), "mobilenet_v2": (12, 64)}


def small_mobilenet(images, width, features, **_):
    """Preprocessed images to a feature map, as `steelbench.models.encoder.build_network` wants it."""
    import keras
    from keras import layers

    def normed(tensor, name):
        return layers.ReLU(6.0, name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_bn")(tensor))

    x = normed(layers.Conv2D(width, 3, 2, "same", use_bias=False, name="first")(images), "first")
    y = normed(layers.DepthwiseConv2D(3, 1, "same", use_bias=False, name="depthwise")(x), "depthwise")
    y = layers.Conv2D(width, 1, use_bias=False, name="project")(y)
    x = layers.Add(name="shortcut")([x, layers.BatchNormalization(name="project_bn")(y)])
    x = normed(layers.DepthwiseConv2D(3, 2, "same", use_bias=False, name="smaller")(x), "smaller")
    x = normed(layers.Conv2D(features, 3, 2, "same", use_bias=False, name="last")(x), "last")
    return keras.Model(keras.utils.get_source_inputs(images), x)


def _params(width, features):
    norms = 4 * (width + width + width + width + features)
    return 27 * width + 9 * width + width * width + 9 * width + 9 * width * features + norms


def rows():
    """The rows of the table that are replaced, by name."""
    return {
        name: dataclasses.replace(
            BACKBONES[name],
            constructor="small_networks:small_mobilenet",
            feature_dim=features,
            params=_params(width, features),
            arguments={"width": width, "features": features},
        )
        for name, (width, features) in WIDTHS.items()
    }


def install():
    """Replace the rows for good."""
    BACKBONES.update(rows())
