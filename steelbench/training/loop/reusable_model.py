"""Compiled models that are trained many times, each time from a fresh start: compiling costs more than training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import keras
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.training.loop.checkpoint import restore

# Samples and labels to the loss and the accuracy of a classifier, both scalars.
Validate = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# Compiled models that a method keeps. Each has its graph and its weights in memory, and there is one for each number of
# features, classes and steps and for each settings: a suite of hundreds of variants would hold hundreds. Experiments
# are run one after the other with all their seeds and folds, whose numbers of steps differ little, so few are enough.
KEPT_MODELS = 8


@dataclass(frozen=True)
class ReusableModel:
    """A compiled model and what a fresh start of it needs.

    Attributes:
        model: compiled, with a built optimizer.
        initial_optimizer: the values of the optimizer's variables before its first step.
        validate: of `whole_validation`.
    """

    model: keras.Model
    initial_optimizer: list[NDArray[Any]]
    validate: Validate

    @classmethod
    def of(cls, model: keras.Model) -> Self:
        """Make a model of `compile_model` reusable; its optimizer has made no step yet."""
        initial = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]
        return cls(model, initial, whole_validation(model))

    def restart(self, seed: int) -> keras.Model:
        """Return the model in the state that a new one made with this seed would have."""
        keras.utils.set_random_seed(seed)
        # Not `clone_model`: it would compile the copy, too.
        fresh = type(self.model).from_config(self.model.get_config())
        restore(self.model, [*map(keras.ops.convert_to_numpy, fresh.variables), *self.initial_optimizer])
        return self.model


def compile_model(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    loss: str | keras.losses.Loss,
    *,
    classifies: bool,
    steps_per_call: int = 1,
) -> keras.Model:
    """Compile a model and build its optimizer, whose variables a checkpoint then finds.

    Args:
        model: changed in place.
        optimizer: of `adam`.
        loss: a name that Keras knows, or a loss.
        classifies: whether the output has a column for each class, so that there is an accuracy.
        steps_per_call: batches that one call of the compiled function takes. All of an epoch for a head: between steps
            of a few milliseconds Python would take as long again.

    Returns:
        The model.
    """
    model.compile(
        optimizer,
        loss=loss,
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")] if classifies else None,
        # XLA compiles for longer than a head trains, and a backbone was slower with it.
        jit_compile=False,
        steps_per_execution=steps_per_call,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def whole_validation(model: keras.Model) -> Validate:
    """Return a function that gives a classifier's loss and accuracy on all validation samples in one call.

    For a head, Keras's own way around its batches takes several times as long as the numbers do.
    """

    @tf.function(jit_compile=False, reduce_retracing=True)
    def validate(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = model(x, training=False)
        loss = model.compute_loss(x=x, y=y, y_pred=probabilities, training=False)
        return loss, tf.reduce_mean(keras.metrics.sparse_categorical_accuracy(y, probabilities))

    return validate
