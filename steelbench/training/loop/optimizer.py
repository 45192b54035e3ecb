"""Adam and its learning-rate schedule: warm-up by the step, decay by the epoch, cosine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from steelbench.methods import EpochSettings


def schedule(settings: EpochSettings, steps_per_epoch: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate: a number, or a schedule that changes it by the epoch or, warming up, by the step.

    Args:
        settings: of the stage.
        steps_per_epoch: batches in an epoch of this stage.
    """
    schedules = keras.optimizers.schedules
    total, rate = settings.epochs * steps_per_epoch, settings.learning_rate
    if settings.schedule == "exponential":
        # Once per epoch; stepping it every batch, as a copied tutorial does, ends training after one epoch.
        return schedules.ExponentialDecay(rate, steps_per_epoch, settings.decay, staircase=True)
    if settings.schedule == "warmup_cosine":
        warmup = min(settings.warmup_epochs * steps_per_epoch, total - 1)
        return schedules.CosineDecay(
            0.0 if warmup else rate,
            max(total - warmup, 1),
            alpha=1e-3,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    return rate


class FusedAdam(keras.optimizers.Adam):
    """Adam in one pass over each variable, and with a learning rate of its own for some.

    Keras's own goes over gradients and moments a dozen times; on a head of a million weights that took longer than the
    network itself. The formula is the same (Kingma and Ba 2015, the end of section 2).

    Args:
        factors: by a variable's path, positive, multiplies its learning rate; 1 where a path is not named.
        more: as for `keras.optimizers.Adam`; no amsgrad.

    References:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization". https://arxiv.org/abs/1412.6980
    """

    def __init__(self, factors: Mapping[str, float], **more: Any) -> None:
        super().__init__(**more)
        self.factors = dict(factors)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its moments."""
        index = self._get_variable_index(variable)
        factor = self.factors.get(self._trainable_variables[index].path, 1.0)
        step = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32) * factor,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def adam(
    settings: EpochSettings, steps_per_epoch: int, factors: Mapping[str, float] | None = None
) -> keras.optimizers.Adam:
    """Return Adam with the schedule that the settings name.

    Args:
        settings: of the stage.
        steps_per_epoch: batches in an epoch of this stage.
        factors: as for `FusedAdam`.
    """
    return FusedAdam(
        factors or {},
        learning_rate=schedule(settings, steps_per_epoch),
        beta_2=settings.beta_2,
        weight_decay=settings.weight_decay or None,
    )
