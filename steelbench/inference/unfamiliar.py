"""Whether a saved model knows images of this kind: the score and the threshold on its card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from steelbench.arrays import AnyArray, Features, Floats, Mask
from steelbench.errors import SteelbenchError
from steelbench.evaluation.unknown import energy, max_probability
from steelbench.inference.model import Model
from steelbench.models.unfamiliar_file import Reference, dimension, read_reference, unfamiliar_file
from steelbench.records import Unfamiliar


class Recogniser:
    """Computes the probabilities of images, and which of them are unfamiliar, in one pass through the network.

    Args:
        model: with a card that says when an image is unfamiliar.
        limit: of the card.
        reference: what embeddings are compared with; None for a score of the answer alone.

    Raises:
        SteelbenchError: if the reference is one of another network.
    """

    def __init__(self, model: Model, limit: Unfamiliar, reference: Reference | None) -> None:
        import keras

        from steelbench.models.saved_model import compiled, layer_named

        network, self.limit, self.reference = model.network, limit, reference
        embedding = layer_named(network, "embedding")
        if reference is not None and dimension(reference) != embedding.output.shape[-1]:
            raise SteelbenchError(
                f"the embeddings of {model.card.name} have {embedding.output.shape[-1]} numbers, those that its "
                f".unfamiliar.npz compares them with {dimension(reference)}; copy the file that belongs to the model."
            )
        self._last = layer_named(network, "probabilities") if limit.score == "energy" else None
        if self._last is not None and [array.ndim for array in self._last.get_weights()] != [2, 1]:
            raise SteelbenchError(
                f"the layer 'probabilities' of {model.card.name} is no classifier with a bias; copy the model again."
            )
        inner = embedding.output if self._last is None else self._last.input
        self._compute = compiled(keras.Model(network.input, [network.output, inner]))

    @classmethod
    def of(cls, model: Model, path: Path) -> Self | None:
        """Open what the card of a model names; None for a card that does not say when an image is unfamiliar.

        Args:
            model: loaded.
            path: of its `.h5`.

        Raises:
            SteelbenchError: if the file beside the model is missing or is not the one that the card describes.
        """
        limit = model.card.unfamiliar
        if limit is None:
            return None
        compares = limit.score in ("knn", "mahalanobis")
        neighbours = (limit.neighbours or 1) if limit.score == "knn" else None
        reference = read_reference(unfamiliar_file(path), limit.sha256, neighbours) if compares else None
        return cls(model, limit, reference)

    def __call__(self, images: Sequence[AnyArray]) -> tuple[Features, Mask]:
        """Return probabilities float32 [N, C], and which images are unfamiliar, bool [N].

        Args:
            images: raw pixels of files, uint8 [H, W, 3] each.
        """
        from steelbench.models.saved_model import same_size

        parts = [[part.numpy() for part in self._compute(batch)] for batch in same_size(images)]
        probabilities, inner = (np.concatenate(part) for part in zip(*parts, strict=True))
        return probabilities, self._score(probabilities, inner) > self.limit.threshold

    def _score(self, probabilities: Features, inner: Any) -> Floats:
        if self.reference is not None:
            return self.reference(inner)
        if self._last is None:
            return max_probability(probabilities)
        kernel, bias = self._last.get_weights()
        return energy(inner @ kernel + bias)
