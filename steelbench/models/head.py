"""The trained head: a few layers as plain arrays, from features to probabilities, and the scaling that they contain."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from steelbench.array_files import read_arrays
from steelbench.arrays import Features, column_blocks
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file

# As in `keras.layers.UnitNormalization`: a row with a smaller norm counts as zero.
UNIT_EPSILON = 1e-12
# Of a head's arrays: `knn` keeps the embeddings of the training images, 60,000 of 2048 numbers have .46 GiB.
MAX_BYTES = 1 << 30
Kind = Literal["linear", "relu", "softmax"]
KINDS: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}


@dataclass(frozen=True)
class Dense:
    """One layer: `activation(x @ kernel + bias)`, kernel float32 [D, U], bias float32 [U]."""

    kernel: Features
    bias: Features
    activation: Kind

    def __call__(self, x: Features) -> Features:
        """Return the layer's output float32 [N, U] for float32 [N, D]."""
        x = x @ self.kernel + self.bias
        if self.activation == "relu":
            x = np.maximum(x, 0)
        elif self.activation == "softmax":
            x = np.exp(x - x.max(axis=1, keepdims=True))
            x /= x.sum(axis=1, keepdims=True)
        return x


@dataclass(frozen=True)
class Unit:
    """Each row divided by its Euclidean norm.

    Not `unit_rows` of the evaluation: the saved model computes with Keras's `UnitNormalization`, so its float32
    arithmetic and its epsilon are taken.
    """

    activation: ClassVar[str] = "unit"

    def __call__(self, x: Features) -> Features:
        """Return rows of norm 1, float32 [N, D]; a row of zeros stays one."""
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        return (x / np.maximum(norms, np.float32(UNIT_EPSILON))).astype(np.float32)


@dataclass(frozen=True)
class Scaling:
    """Mean and (floored) standard deviation of each feature over the training images, float32 [D]."""

    mean: Features
    std: Features

    @classmethod
    def fit(cls, features: Features) -> Self:
        """Return the scaling of training features float32 [N, D]."""
        blocks = [features[:, own] for own in column_blocks(features)]
        mean = np.concatenate([own.mean(axis=0, dtype=np.float64) for own in blocks])
        std = np.concatenate([own.std(axis=0, dtype=np.float64) for own in blocks])
        # A feature that hardly varies in training would be enlarged until one unusual image is hundreds of deviations
        # away (a validation loss of 7 at 98 % accuracy): none is divided by less than the mean deviation.
        return cls(mean.astype(np.float32), np.maximum(std, std.mean() + 1e-12).astype(np.float32))

    def apply(self, features: Features) -> Features:
        """Return standardised features, float32 [N, D]."""
        return (features - self.mean) / self.std

    def fold(self, kernel: Features, bias: Features) -> tuple[Features, Features]:
        """Return kernel and bias that give on raw features what the given ones give on standardised features.

        Args:
            kernel: float32 [D, U].
            bias: float32 [U].
        """
        folded = kernel.astype(np.float64) / self.std[:, None].astype(np.float64)
        shifted = bias.astype(np.float64) - self.mean.astype(np.float64) @ folded
        return folded.astype(np.float32), shifted.astype(np.float32)


@dataclass(frozen=True)
class Head:
    """Layers from features float32 [N, D] to probabilities float32 [N, C].

    Attributes:
        layers: in order; the last one gives the probabilities.
        embedding: which layer's output is the method's embedding; None if it is the features themselves.
    """

    layers: tuple[Dense | Unit, ...]
    embedding: int | None = None

    def __call__(self, features: Features) -> Features:
        """Return probabilities float32 [N, C], computed in float32 as the saved model will."""
        return self._apply(features, self.layers)

    def embed(self, features: Features) -> Features:
        """Return the embeddings, float32 [N, E], of features float32 [N, D]."""
        return features if self.embedding is None else self._apply(features, self.layers[: self.embedding + 1])

    def logits(self, features: Features) -> Features | None:
        """Return what goes into the softmax of the last layer, float32 [N, C]; None if that is no softmax."""
        last = self.layers[-1]
        if not isinstance(last, Dense) or last.activation != "softmax":
            return None
        return self._apply(features, (*self.layers[:-1], Dense(last.kernel, last.bias, "linear")))

    def _apply(self, x: Features, layers: tuple[Dense | Unit, ...]) -> Features:
        for layer in layers:
            x = layer(x)
        return x

    def tempered(self, temperature: float) -> Self:
        """Return the head whose logits are divided by a temperature; itself if its last layer is no softmax.

        Args:
            temperature: above 0; 1 changes nothing.
        """
        last = self.layers[-1]
        if not isinstance(last, Dense) or last.activation != "softmax":
            return self
        cooled = Dense(
            (last.kernel / temperature).astype(np.float32), (last.bias / temperature).astype(np.float32), "softmax"
        )
        return replace(self, layers=(*self.layers[:-1], cooled))

    @property
    def params(self) -> int:
        """Return the number of weights."""
        return sum(layer.kernel.size + layer.bias.size for layer in self.layers if isinstance(layer, Dense))

    @property
    def inputs(self) -> int:
        """Return the number of features that it takes."""
        return next(layer.kernel.shape[0] for layer in self.layers if isinstance(layer, Dense))

    @property
    def outputs(self) -> int:
        """Return the number of classes."""
        return next(layer.kernel.shape[1] for layer in reversed(self.layers) if isinstance(layer, Dense))

    def save(self, path: Path) -> None:
        """Write the head as `.npz`, whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.embedding is not None:
            arrays["embedding"] = np.array(self.embedding)
        for number, layer in enumerate(self.layers):
            arrays[f"activation_{number}"] = np.frombuffer(layer.activation.encode(), np.uint8)
            if isinstance(layer, Dense):
                arrays |= {f"kernel_{number}": layer.kernel, f"bias_{number}": layer.bias}
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`.

        Raises:
            SteelbenchError: if the file is missing or damaged.
        """
        try:
            arrays = read_arrays(path, max_bytes=MAX_BYTES)
            count = sum(name.startswith("activation_") for name in arrays)
            head = cls(tuple(_read_layer(arrays, number) for number in range(count)), _read_embedding(arrays, count))
            _check_chain(head.layers)
            return head
        except (ValueError, KeyError) as error:
            raise SteelbenchError(f"{path} holds no head ({error}); run its experiment again with --force.") from None


def two_class_logits(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two logits for each one of a binary classifier, [...] to [..., 2].

    scikit-learn gives one logit z for two classes; softmax(-z / 2, z / 2) is sigmoid(z). A kernel and a bias can be
    split like the logits that they make.
    """
    return np.stack([-values, values], axis=-1) / 2


def _read_layer(arrays: Mapping[str, NDArray[Any]], number: int) -> Dense | Unit:
    text = arrays[f"activation_{number}"]
    activation = text.tobytes()[:20].decode() if text.dtype == np.uint8 else ""
    if activation == Unit.activation:
        return Unit()
    kind = KINDS.get(activation)
    if kind is None:
        raise ValueError(f"layer {number} has an unknown activation {activation!r}")
    kernel, bias = arrays[f"kernel_{number}"], arrays[f"bias_{number}"]
    for array in (kernel, bias):
        if array.dtype != np.float32 or not array.size or not np.isfinite(array).all():
            raise ValueError(f"layer {number} holds {array.dtype} {array.shape}, expected finite float32")
    if kernel.ndim != 2 or bias.shape != kernel.shape[1:]:
        raise ValueError(f"layer {number} has a kernel {kernel.shape} and a bias {bias.shape}, which do not fit")
    return Dense(kernel, bias, kind)


def _read_embedding(arrays: Mapping[str, NDArray[Any]], count: int) -> int | None:
    if "embedding" not in arrays:
        return None
    found = arrays["embedding"]
    if found.shape or found.dtype.kind not in "iu" or not 0 <= int(found) < count:
        raise ValueError(f"its embedding is {str(found)[:40]!r}, expected one of its {count} layers")
    return int(found)


def _check_chain(layers: Sequence[Dense | Unit]) -> None:
    """Check that there are layers, and that each takes what the one before gives."""
    dense = [layer for layer in layers if isinstance(layer, Dense)]
    if not dense or layers[-1] is not dense[-1]:
        raise ValueError("no layers, or no last one that gives probabilities")
    for before, after in itertools.pairwise(dense):
        if before.kernel.shape[1] != after.kernel.shape[0]:
            raise ValueError(
                f"a layer of {after.kernel.shape[0]} inputs follows one of {before.kernel.shape[1]} outputs"
            )
