"""Small images with labels and an encoder for them, for tests of what trains an encoder."""

import keras
import numpy as np

from steelbench.experiment import Finetune, Supcon

SIZE = 32
# Settings with which a training on such images takes a second.
FINETUNE = Finetune(epochs=2, batch_size=12, learning_rate=1e-3, trainable="last:4")
SUPCON = Supcon(
    epochs=2, batch_size=12, trainable="last:4", projection_dim=8, hidden=16, classifier_epochs=2, learning_rate=1e-3
)


def stripes(labels):
    """Stripes whose direction and width are the class, 0 to 2; uint8 [N, 32, 32, 3]."""
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = np.stack([np.sin(x / 2), np.sin(y / 2), np.sin((x + y) / 4)])[labels]
    noise = 20 * np.random.default_rng(0).standard_normal(waves.shape)
    return np.clip(127 + 90 * waves + noise, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=-1)


def small_encoder():
    """A frozen encoder of three convolutions with normalisation, as `build_encoder` makes them.

    A real network takes ten seconds to trace.
    """
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3))
    x = keras.layers.Resizing(SIZE, SIZE, name="resizing")(images)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for number, filters in enumerate((4, 8, 8)):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(name=f"conv_{number}_bn")(x)
        x = keras.layers.ReLU()(x)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D(name="embedding")(x))
    encoder.trainable = False
    return encoder


def copied(encoder):
    """A copy with the same weights; `rebuild` knows the real networks alone."""
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    return copy


def weights_of(model):
    """Copies of all weights, by the layer's name and their place in it."""
    return {(layer.name, i): w.copy() for layer in model.layers for i, w in enumerate(layer.get_weights())}


def changed(before, after):
    """The names of the layers of which a weight is another, bit for bit."""
    return {name for (name, i), value in before.items() if not np.array_equal(value, after[name, i])}
