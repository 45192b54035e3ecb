"""Which samples stand in which batch, as a pure function of seed and epoch, and the stream that feeds them to Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.training.loop.samplers import Rows


class Lazy(Protocol):
    """Samples that do not fit into memory, or are made anew each time."""

    @property
    def digest(self) -> str:
        """Stands for all that they depend on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""

    def take(self, rows: Rows, number: int) -> NDArray[np.float32]:
        """float32 [B, ...]; `number` counts the batches of the whole fit, for what is drawn by chance."""
        raise NotImplementedError


def stream(x: NDArray[np.float32] | Lazy, y: Rows, batches: list[Rows], first: int = 0) -> tf.data.Dataset:
    """Batches of samples and labels.

    Args:
        x: float32 [N, ...], or what gives them.
        y: int64 [N].
        batches: rows of each.
        first: the number of the first batch.
    """
    if not isinstance(x, np.ndarray):
        return _stream_lazily(x, y, batches, first)
    samples, labels = tf.constant(x), tf.constant(y)
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(batches), [len(rows) for rows in batches])
    rows = tf.data.Dataset.from_tensor_slices(ragged)
    return rows.map(lambda batch: (tf.gather(samples, batch), tf.gather(labels, batch))).prefetch(2)


def _stream_lazily(x: Lazy, y: Rows, batches: list[Rows], first: int) -> tf.data.Dataset:
    def every() -> Iterator[tuple[NDArray[np.float32], Rows]]:
        for number, rows in enumerate(batches, start=first):
            yield x.take(rows, number), y[rows]

    signature = tf.TensorSpec((None, *x.shape), "float32"), tf.TensorSpec((None,), "int64")
    made = tf.data.Dataset.from_generator(every, output_signature=signature)
    # Keras asks how many there are, and warns of too few where it is not told.
    return made.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2)
