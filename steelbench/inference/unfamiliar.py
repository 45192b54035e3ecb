"""Whether a saved model knows images of this kind: the score and the threshold on its card. No TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from steelbench.arrays import Floats, Mask
from steelbench.errors import SteelbenchError
from steelbench.evaluation.unknown import energy, max_probability
from steelbench.inference.network import Network, Outputs
from steelbench.models.unfamiliar_file import Reference, dimension, read_reference, unfamiliar_file
from steelbench.records import Unfamiliar


@dataclass(frozen=True)
class Recogniser:
    """Says which images are unfamiliar, from what the network computes for them.

    Attributes:
        limit: of the card.
        reference: what embeddings are compared with; None for a score of the answer alone.
    """

    limit: Unfamiliar
    reference: Reference | None

    @classmethod
    def of(cls, network: Network, path: Path) -> Self | None:
        """Open what the card of a model names; None for a card that does not say when an image is unfamiliar.

        Args:
            network: of the model.
            path: of its `.h5`.

        Raises:
            SteelbenchError: if the file beside the model is missing, is not the one that the card describes, or is one
                of another network.
        """
        limit = network.card.unfamiliar
        if limit is None:
            return None
        if limit.score == "energy" and not network.lengths.logits:
            raise SteelbenchError(
                f"the last layer of {network.card.name} is no softmax, which the score energy of its card needs."
            )
        compares = limit.score in ("knn", "mahalanobis")
        neighbours = (limit.neighbours or 1) if limit.score == "knn" else None
        reference = read_reference(unfamiliar_file(path), limit.sha256, neighbours) if compares else None
        if reference is not None and dimension(reference) != network.lengths.embedding:
            raise SteelbenchError(
                f"the embeddings of {network.card.name} have {network.lengths.embedding} numbers, those that its "
                f".unfamiliar.npz compares them with {dimension(reference)}; copy the file that belongs to the model."
            )
        return cls(limit, reference)

    def __call__(self, outputs: Outputs) -> Mask:
        """Return which images are unfamiliar, bool [N]."""
        return self._score(outputs) > self.limit.threshold

    def _score(self, outputs: Outputs) -> Floats:
        if self.reference is not None:
            return self.reference(outputs.embedding)
        return energy(outputs.logits) if self.limit.score == "energy" else max_probability(outputs.probabilities)


def recogniser_of(network: Network, path: Path, tell: Callable[[str], None]) -> Recogniser | None:
    """Return what says which images are unfamiliar; None where that is not there, with a sentence why.

    Args:
        network: of the model.
        path: of its `.h5`.
        tell: called with the sentence.
    """
    try:
        return Recogniser.of(network, path)
    except SteelbenchError as error:
        # The answers need nothing of it.
        tell(f"the column unfamiliar stays empty: {error}")
        return None
