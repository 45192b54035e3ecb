"""Methods that change the backbone itself: `finetune`, and `supcon` with a trainable encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Finetune, Fitted, Softmax, Supcon
from steelbench.models.head import Dense, Head
from steelbench.training.loop.embedding_stage import knn_accuracy, refuse_collapse, refuse_lonely
from steelbench.training.loop.fit import Fit, FitPlan, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.methods.image_training import BATCH, Bench, Picked, compute
from steelbench.training.methods.supcon import (
    classifier_settings,
    contrastive_batches,
    contrastive_loss,
    projection_layers,
)
from steelbench.training.methods.trained_head import Trained, ready, refuse_nan, train_softmax

Array = NDArray[np.float32]
# Training images whose neighbours are looked at after each epoch; all of them would double an epoch's time.
JUDGED = 512


def train_finetune(bench: Bench, split: Split, settings: Finetune, plan: FitPlan) -> Trained:
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
    fits: dict[str, Fit] = {}
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
    return Trained(head, fits, encoder=encoder, features=compute(learning, source))


def _head_first(
    features: Array, output: keras.Layer, bench: Bench, split: Split, settings: Finetune, plan: FitPlan
) -> Fit:
    """Train the softmax layer alone: with random weights its gradients would spoil the backbone."""
    refuse_nan(features, split)
    inputs = keras.Input((features.shape[1],))
    model = keras.Model(inputs, output(layers.Dropout(settings.dropout)(inputs)))
    alone = Fitted(
        epochs=settings.head_epochs, batch_size=settings.batch_size,
        learning_rate=settings.learning_rate * settings.head_factor,
    )  # fmt: skip
    steps = -(-len(split.train) // settings.batch_size)
    model.compile(adam(alone, steps), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    ready(model)
    validation = features[split.validation], bench.labels[split.validation]
    return fit(model, features[split.train], bench.labels[split.train], validation, alone, plan.of("head"))


def train_supcon(bench: Bench, split: Split, settings: Supcon, plan: FitPlan) -> Trained:
    """Stage 1 trains the encoder and a projection head with the loss, stage 2 a classifier on the frozen encoder.

    Arguments as for `train_finetune`.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3. https://arxiv.org/abs/2004.11362
    """
    keras.utils.set_random_seed(plan.seed)
    encoder = bench.copy(settings.trainable)
    source, learning = bench.parts(encoder)
    z = learning.output
    for layer in projection_layers(settings):
        z = layer(z)
    model = keras.Model(learning.input, z)
    labels, held_out = bench.labels[split.train], bench.samples(source, split.validation)
    samples = bench.samples(source, split.train, plan.seed)
    batches = contrastive_batches(labels, len(split.validation), settings, plan.seed)
    first = batches.train(0)
    # Every view is drawn anew for each batch.
    x = dataclasses.replace(samples, rows=np.tile(samples.rows, settings.views))
    labels = np.tile(labels, settings.views)
    refuse_lonely(labels, first)
    model.compile(adam(settings, len(first)), contrastive_loss(settings), jit_compile=False)
    ready(model)
    stage = fit(
        model, x, labels, (held_out, bench.labels[split.validation]), settings, plan.of("contrastive"), batches,
        _judge(learning, samples, held_out, bench.labels, plan.seed),
    )  # fmt: skip
    features = compute(learning, source)
    second: Softmax = classifier_settings(settings)
    trained = train_softmax(features, bench.labels, bench.num_classes, split, second, plan.of("classifier"))
    return Trained(trained.head, {"contrastive": stage, **trained.fits}, encoder=encoder, features=features)


def _judge(learning: keras.Model, x: Picked, held_out: Picked, labels: NDArray[np.int64], seed: int) -> Any:
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
