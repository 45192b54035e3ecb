"""Compiled models that are used for one fit after the other."""

from __future__ import annotations

import keras
import tensorflow as tf

from steelbench.training.loop.checkpoint import restore


def ready(model: keras.Model) -> keras.Model:
    """Build the optimizer of a compiled model, and keep how it starts, for `start`; give it `validate`.

    `validate` takes samples and labels to loss and accuracy in one call: for a head, Keras's own way around it takes
    several times as long as the numbers.
    """
    model.optimizer.build(model.trainable_variables)
    model.blank_optimizer = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]

    @tf.function(jit_compile=False, reduce_retracing=True)
    def validate(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        guess = model(x, training=False)
        loss = model.compute_loss(x=x, y=y, y_pred=guess, training=False)
        return loss, tf.reduce_mean(keras.metrics.sparse_categorical_accuracy(y, guess))

    model.validate = validate
    return model


def start(model: keras.Model, seed: int) -> None:
    """Give a model of `ready` that was used before the start that a new one with this seed would have."""
    keras.utils.set_random_seed(seed)
    # Not `clone_model`: it would compile the copy, too.
    fresh = type(model).from_config(model.get_config())
    restore(model, [*map(keras.ops.convert_to_numpy, fresh.variables), *model.blank_optimizer])
