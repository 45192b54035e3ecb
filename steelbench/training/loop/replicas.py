"""Training of one model on several devices at once: the strategy, and how each batch is divided between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.arrays import Labels, RowIndices
from steelbench.training.loop.input_pipeline import LazySamples


def seen_gpus() -> tuple[str, ...]:
    """Return the GPUs that TensorFlow can use in this process, by its names for them."""
    return tuple(device.name for device in tf.config.list_logical_devices("GPU"))


def strategy_for(devices: Sequence[str]) -> tf.distribute.Strategy:
    """Return the strategy in whose scope a model is built and compiled that learns on these devices at once.

    Args:
        devices: as TensorFlow names them, such as `/device:GPU:0`; with one or none the scope changes nothing.
    """
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    # It adds the gradients up in one order, on GPUs as on the processor: the same run gives the same bits.
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=tf.distribute.ReductionToOneDevice())


def replicas_of(model: keras.Model) -> int:
    """Return on how many devices a model learns at once."""
    return int(model.distribute_strategy.num_replicas_in_sync)


def shares(count: int, replicas: int) -> tuple[RowIndices, NDArray[np.float32]]:
    """Divide a batch into equal shares, one for each replica; samples that fill the last ones up repeat the first.

    Keras takes the mean of the losses over each share, and the mean of those; with these weights that is the mean over
    the batch.

    Args:
        count: B, samples of the batch, 1 or more.
        replicas: R.

    Returns:
        Rows of the batch, int64 [R, S], S = B / R rounded up, and the weight of each sample's loss, float32 [R, S]: 0
        for one that repeats another, R * S / B for each of the others.
    """
    size = -(-count // replicas)
    places = np.arange(replicas * size).reshape(replicas, size)
    return places % count, np.where(places < count, places.size / count, 0).astype(np.float32)


def divided_stream(
    model: keras.Model,
    x: NDArray[np.float32] | LazySamples,
    y: Labels,
    batches: Sequence[RowIndices],
    first: int = 0,
) -> tf.distribute.DistributedDataset:
    """Return a dataset as `input_pipeline.stream` does, each batch divided between the model's replicas.

    Args:
        model: built in the scope of a strategy of several devices.
        x: float32 [N, ...], or an object that makes them.
        y: int64 [N].
        batches: int64 [B] each, the rows of a batch, in order.
        first: number of the first batch within the whole fit.
    """
    replicas = replicas_of(model)

    def every() -> Iterator[tuple[NDArray[np.float32], Labels, NDArray[np.float32]]]:
        for number, rows in enumerate(batches, start=first):
            # A whole batch at a time: its random changes are those that one device would see.
            samples, labels = _take(x, rows, number), y[rows]
            for own, weights in zip(*shares(len(rows), replicas), strict=True):
                yield samples[own], labels[own], weights

    shape = x.shape[1:] if isinstance(x, np.ndarray) else x.shape
    parts = ((None, *shape), "float32"), ((None,), "int64"), ((None,), "float32")
    signature = tuple(tf.TensorSpec(*part) for part in parts)
    dataset = tf.data.Dataset.from_generator(every, output_signature=signature)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(replicas * len(batches))).prefetch(2 * replicas)
    # One element for each replica makes a step.
    return model.distribute_strategy.distribute_datasets_from_function(lambda _: dataset)


def _take(x: NDArray[np.float32] | LazySamples, rows: RowIndices, number: int) -> NDArray[np.float32]:
    return x[rows] if isinstance(x, np.ndarray) else x.take(rows, number)


def validation_of(
    model: keras.Model, x: NDArray[np.float32] | LazySamples, y: Labels, batches: Sequence[RowIndices]
) -> Callable[[], tuple[float, float]]:
    """Return a function that gives a classifier's loss and accuracy on the validation samples.

    The first device computes it alone: Keras would take the mean of the replicas' means, which chooses another epoch
    where shares differ in size.

    Args:
        model: compiled with a loss that Keras knows by name; its present weights count at each call.
        x: float32 [M, ...], or an object that makes them.
        y: int64 [M].
        batches: int64 [B] each.
    """
    loss = keras.losses.get(model.loss)
    compute = tf.function(lambda batch: model(batch, training=False), jit_compile=False, reduce_retracing=True)

    def validate() -> tuple[float, float]:
        found = [compute(tf.constant(_take(x, rows, 0))) for rows in batches]
        labels, probabilities = tf.constant(np.concatenate([y[rows] for rows in batches])), tf.concat(found, axis=0)
        right = keras.metrics.sparse_categorical_accuracy(labels, probabilities)
        return float(tf.reduce_mean(loss(labels, probabilities))), float(tf.reduce_mean(right))

    return validate


def share_statistics(encoder: keras.Model) -> None:
    """Let BatchNorm that learns take mean and variance over the whole batch, not over each replica's share.

    Call it in the scope of `strategy_for`; with one device it changes nothing.
    """
    _synchronise(encoder, tf.distribute.get_strategy().num_replicas_in_sync > 1)


def end_sharing(encoder: keras.Model) -> None:
    """Take `share_statistics` back: no saved model has a trace of it."""
    _synchronise(encoder, False)


def _synchronise(encoder: keras.Model, value: bool) -> None:
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = value and layer.trainable
