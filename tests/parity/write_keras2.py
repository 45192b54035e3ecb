"""Write whole models as TensorFlow 2.15 (Keras 2) saves them, with random weights, and what it says on images.

Run by an interpreter that has `requirements-keras2.txt`:

    python tests/parity/write_keras2.py tests/parity/fixtures     two small networks, for tests/models/test_keras2.py
    python tests/parity/write_keras2.py DIR --published            the published recipe on VGG19 and MobileNetV2

Beside each NAME.h5 lies NAME.npz: `images` uint8 [N, S, S, 3] and `probabilities` float32 [N, C].
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.keras import Model, Sequential, layers

RNG = np.random.default_rng(0)


def flat():
    """Every kind of layer that the published recipes hold, on a fixed input; pixels 0..1."""
    images = layers.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(images)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = layers.DepthwiseConv2D(3, strides=2, use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([x, layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x)])
    x = layers.Concatenate()([layers.LeakyReLU(0.2)(x), layers.Conv2DTranspose(4, 1)(x)])
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D((4, 4))(x))
    x = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(x))
    return Model(images, layers.Dense(3, activation="softmax")(x)), 255.0


def nested():
    """A network called by another, with its last layers in a Sequential and layers that are random only in training."""
    images = layers.Input((None, None, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="swish")(images)
    base = Model(images, layers.DepthwiseConv2D(3, padding="same")(layers.BatchNormalization()(x)), name="base")
    base.trainable = False
    top = Sequential([layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(5, "relu")], name="top")
    images = layers.Input((24, 24, 3))
    x = layers.Rescaling(1 / 127.5, -1)(layers.RandomFlip()(images))
    x = layers.Dense(3)(top(base(x, training=False)))
    return Model(images, layers.Activation("softmax", dtype="float32")(x)), 1.0


def published(name, size):
    """The network without its top, AveragePooling2D, Flatten, Dense 512, Dropout, softmax; pixels 0..1."""
    base = getattr(tf.keras.applications, name)(weights=None, include_top=False, input_shape=(size, size, 3))
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(pool_size=(4, 4))(base.output))
    x = layers.Dropout(0.5)(layers.Dense(512, activation="relu")(x))
    return Model(base.input, layers.Dense(6, activation="softmax")(x)), 255.0


def write(folder, name, made, deviation):
    """Give the network weights that make its answers differ, save it, and ask it.

    `deviation` of the logits over the images: in a deep network of random weights the features of images are much
    alike, and a last layer that tells them apart enlarges the rounding errors of the layers before it as well.
    """
    model, divisor = made
    for layer in model.layers:
        for part in layer.layers if isinstance(layer, Model) else [layer]:
            if isinstance(part, layers.BatchNormalization):
                size = part.gamma.shape[0]
                scale, shift, mean = RNG.uniform(0.8, 1.2, size), *RNG.normal(0, 0.1, (2, size))
                part.set_weights([scale, shift, mean, RNG.uniform(0.1, 0.5, size)])
            elif part.weights and not isinstance(part, (layers.Dense, layers.SeparableConv2D)):
                # Keras's own start fades in twenty layers of ReLU.
                kernel, *bias = part.get_weights()
                part.set_weights([kernel * np.float32(2**0.5), *bias])
    side = model.input_shape[1]
    coarse = RNG.integers(0, 256, (6, 4, 4, 3)).astype(np.float32)
    images = np.asarray(tf.image.resize(coarse, (side, side), "nearest")).astype(np.uint8)
    # Answers that are all alike would hide an error.
    last = [layer for layer in model.layers if layer.weights][-1]
    before = Model(model.input, last.input).predict(images.astype(np.float32) / divisor, verbose=0)
    kernel = last.get_weights()[0]
    logits = before @ kernel
    kernel = kernel * deviation / logits.std(axis=0)
    last.set_weights([kernel, -(before @ kernel).mean(axis=0)])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.save(folder / f"{name}.h5")
    answers = model.predict(images.astype(np.float32) / divisor, verbose=0)
    np.savez_compressed(folder / f"{name}.npz", images=images, probabilities=answers)
    print(name, (folder / f"{name}.h5").stat().st_size, answers.max(axis=1), answers.argmax(axis=1))


if __name__ == "__main__":
    tf.keras.utils.set_random_seed(0)
    target = Path(sys.argv[1])
    if "--published" in sys.argv:
        write(target, "keras2_mobilenet_v2", published("MobileNetV2", 224), 0.5)
        write(target, "keras2_vgg19", published("VGG19", 224), 0.5)
    else:
        write(target, "keras2_flat", flat(), 2)
        write(target, "keras2_nested", nested(), 2)
