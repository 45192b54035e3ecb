"""Fine-tuning on two devices beside the same on one, in a process of its own: devices come before TensorFlow starts.

`two_devices.py FOLDER` trains small encoders on two halves of the processor, and prints what was found as JSON.
"""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from image_sets import changed, copied, small_encoder, stripes, weights_of

from steelbench.data.splits import Split
from steelbench.experiment import Finetune
from steelbench.models.pretrained import calibrate
from steelbench.training.loop.checkpoint import fit_digest
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.replicas import strategy_for
from steelbench.training.methods import image_training
from steelbench.training.methods.finetune import train_finetune
from steelbench.training.methods.image_training import ImageTrainingSet

TWO = ("/device:CPU:0", "/device:CPU:1")
# Batches of 12, 12, 12 and 1: odd ones, and one with fewer images than there are devices.
SETTINGS = Finetune(epochs=2, batch_size=12, learning_rate=1e-3, head_epochs=1)
NO_HEAD = SETTINGS.model_copy(update={"head_epochs": 0})


def make_images():
    labels = np.arange(60) % 3
    pixels, encoder = stripes(labels), small_encoder()
    calibrate(encoder, pixels[:32].astype(np.float32))
    encoder.trainable = False
    split = Split(np.arange(37), np.arange(37, 48), np.arange(48, 60))
    return ImageTrainingSet(
        encoder=encoder, pretrained=True, pixels=pixels, digest="d", labels=labels, num_classes=3, split=split
    )


def train(images, devices, settings=SETTINGS, **more):
    return train_finetune(images, settings, FitContext(seed=1, devices=devices, **more))


def compare(images, one, two):
    """How far two devices are from one."""
    before, own, other = (weights_of(encoder) for encoder in (images.encoder, one.encoder, two.encoder))
    return {
        "probabilities": difference(one.head(one.features), two.head(two.features)),
        "weights": max(difference(own[key], other[key]) for key in own),
        "moved": max(difference(before[key], own[key]) for key in own),
        "learned": sorted(changed(before, own)) == sorted(changed(before, other)),
        "histories": [
            [dataclasses.astuple(line) for fit in each.fits.values() for line in fit.history] for each in (one, two)
        ],
        "notes": [one.notes, two.notes],
        "plain": plain(two.encoder),
        "trainable": [[layer.trainable for layer in each.encoder.layers] for each in (one, two)],
    }


def difference(a, b):
    return float(np.max(np.abs(np.subtract(a, b))))


def plain(encoder):
    """Whether nothing of an encoder tells that it was trained on several devices."""
    spread = any(isinstance(variable.value, tf.distribute.DistributedValues) for variable in encoder.variables)
    return not spread and not any(layer.get_config().get("synchronized") for layer in encoder.layers)


def killed_and_continued(images, state):
    def kill(done):
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        train(images, TWO, NO_HEAD, state=state, save_seconds=0, progress=kill)
    return train(images, TWO, NO_HEAD, state=state, save_seconds=0)


def digests_differ():
    """Whether a checkpoint of one device is not taken for one of two."""
    found = []
    for devices in (TWO[:1], TWO):
        with strategy_for(devices).scope():
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
            model.compile("adam", "mse")
        found.append(fit_digest(model, SETTINGS, 0))
    return found[0] != found[1]


def main():
    processor = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)
    tf.config.experimental.enable_op_determinism()
    # `rebuild` knows the real networks alone.
    image_training.rebuild = copied
    images = make_images()
    fresh = dataclasses.replace(images, pretrained=False, preset="light")
    one, two = train(images, ()), train(images, TWO)
    fresh_one, fresh_two = (train(fresh, devices, NO_HEAD) for devices in ((), TWO))
    again = killed_and_continued(fresh, Path(sys.argv[1]))
    found = {
        "frozen": compare(images, one, two),
        "learning": compare(fresh, fresh_one, fresh_two),
        "continued": again.fits == fresh_two.fits and bool(np.array_equal(again.features, fresh_two.features)),
        "digests differ": digests_differ(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
