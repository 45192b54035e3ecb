"""The tf.data pipeline that feeds samples to Keras in the batches that a sampler chose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.arrays import Labels, RowIndices


class LazySamples(Protocol):
    """Samples that do not fit into memory, or are made anew each time they are asked for."""

    @property
    def digest(self) -> str:
        """Return a text that changes with anything that the samples depend on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one sample."""

    def take(self, rows: RowIndices, number: int) -> NDArray[np.float32]:
        """Return the samples of one batch, float32 [B, ...].

        Args:
            rows: int64 [B].
            number: of the batch, counted through the whole fit; random changes are drawn from it.
        """
        raise NotImplementedError


def stream(
    x: NDArray[np.float32] | LazySamples, y: Labels, batches: list[RowIndices], first: int = 0
) -> tf.data.Dataset:
    """Return a dataset of batches (samples float32 [B, ...], labels int64 [B]).

    Args:
        x: float32 [N, ...], or an object that makes them.
        y: int64 [N].
        batches: int64 [B] each, the rows of a batch, in order.
        first: number of the first batch within the whole fit.
    """
    if not isinstance(x, np.ndarray):
        return _stream_lazily(x, y, batches, first)
    samples, labels = tf.constant(x), tf.constant(y)
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(batches), [len(rows) for rows in batches])
    rows = tf.data.Dataset.from_tensor_slices(ragged)
    return rows.map(lambda batch: (tf.gather(samples, batch), tf.gather(labels, batch))).prefetch(2)


def _stream_lazily(x: LazySamples, y: Labels, batches: list[RowIndices], first: int) -> tf.data.Dataset:
    def every() -> Iterator[tuple[NDArray[np.float32], Labels]]:
        for number, rows in enumerate(batches, start=first):
            yield x.take(rows, number), y[rows]

    signature = tf.TensorSpec((None, *x.shape), "float32"), tf.TensorSpec((None,), "int64")
    dataset = tf.data.Dataset.from_generator(every, output_signature=signature)
    # Keras asks for the number of batches, and warns of too few where the dataset cannot tell it.
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
