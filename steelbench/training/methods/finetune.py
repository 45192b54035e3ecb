"""Methods that change the backbone itself: `finetune`, and `supcon` with a trainable encoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import EpochSettings, Finetune
from steelbench.models.head import Dense, Head
from steelbench.training.loop.embedding_stage import knn_accuracy, refuse_collapse
from steelbench.training.loop.fit import FitContext, FitResult, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import ready
from steelbench.training.methods.image_training import BATCH, ImageTrainingSet, SelectedImages, compute
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan

Array = NDArray[np.float32]
# Training images whose neighbours are looked at after each epoch; all of them would double an epoch's time.
JUDGED = 512


def train_finetune(bench: ImageTrainingSet, split: Split, settings: Finetune, plan: FitContext) -> TrainedHead:
    """Train the backbone, or its last layers, with a softmax layer that learns faster.

    Args:
        bench: the images and the encoder.
        split: which images train and which choose the epoch.
        settings: of the method.
        plan: seed, checkpoint, logs.
    """
    keras.utils.set_random_seed(plan.seed)
    encoder = bench.copy(settings.trainable)
    source, learning = bench.parts(encoder)
    output = layers.Dense(bench.num_classes, activation="softmax", name="probabilities")
    model = keras.Model(learning.input, output(layers.Dropout(settings.dropout)(learning.output)))
    fits: dict[str, FitResult] = {}
    if settings.head_epochs:
        fits["head"] = _head_first(compute(learning, source), output, bench, split, settings, plan)
    steps = -(-len(split.train) // settings.batch_size)
    # The settings' rate is the backbone's; the head's is higher.
    optimizer = adam(settings, steps, {variable.path: settings.head_factor for variable in output.trainable_variables})
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    ready(model)
    x, held_out = bench.samples(source, split.train, plan.seed), bench.samples(source, split.validation)
    validation = held_out, bench.labels[split.validation]
    fits["classifier"] = fit(model, x, bench.labels[split.train], validation, settings, plan.of("classifier"))
    kernel, bias = output.get_weights()
    head = Head((Dense(kernel, bias, "softmax"),))
    return TrainedHead(head, fits, encoder=encoder, features=compute(learning, source))


def _head_first(
    features: Array, output: keras.Layer, bench: ImageTrainingSet, split: Split, settings: Finetune, plan: FitContext
) -> FitResult:
    """Train the softmax layer alone: with random weights its gradients would spoil the backbone."""
    refuse_nan(features, split)
    inputs = keras.Input((features.shape[1],))
    model = keras.Model(inputs, output(layers.Dropout(settings.dropout)(inputs)))
    alone = EpochSettings(
        epochs=settings.head_epochs, batch_size=settings.batch_size,
        learning_rate=settings.learning_rate * settings.head_factor,
    )  # fmt: skip
    steps = -(-len(split.train) // settings.batch_size)
    model.compile(adam(alone, steps), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    ready(model)
    validation = features[split.validation], bench.labels[split.validation]
    return fit(model, features[split.train], bench.labels[split.train], validation, alone, plan.of("head"))


def _judge(
    learning: keras.Model, x: SelectedImages, held_out: SelectedImages, labels: NDArray[np.int64], seed: int
) -> Any:
    """kNN accuracies of the encoder's features, without augmentation, on some training images."""
    chosen = np.sort(np.random.default_rng(seed).permutation(x.rows)[:JUDGED])
    run = tf.function(lambda batch: learning(batch, training=False), jit_compile=False)

    def embed(rows: NDArray[np.int64]) -> Array:
        starts = range(0, len(rows), BATCH)
        parts = [x.source[rows[start : start + BATCH]].astype(np.float32) for start in starts]
        return np.concatenate([run(tf.constant(part)).numpy() for part in parts])

    def judge() -> tuple[float, float]:
        train = embed(chosen)
        refuse_collapse(train)
        return knn_accuracy(train, labels[chosen], embed(held_out.rows), labels[held_out.rows])

    return judge
