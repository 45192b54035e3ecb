"""A saved model as one function from batches of images to probabilities, embeddings and logits, on either engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.arrays import Features, ImageBatch
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES, ComputeFeatures, choose_engine
from steelbench.inference.model import Model, Opening, load_model, read_card
from steelbench.machine import usable_gpus
from steelbench.models.model_card import Card
from steelbench.models.probe import Lengths

# Images of one batch. OpenVINO is fastest with small ones; Keras computes the images of any size 16 at a time.
BATCH = {"openvino": ENGINES["openvino"].batch, "keras": 16}


@dataclass(frozen=True)
class Outputs:
    """What a network computes for N images: float32 [N, C], [N, E], and [N, C] or [N, 0]."""

    probabilities: Features
    embedding: Features
    logits: Features


@dataclass(frozen=True)
class Network:
    """A model that is ready to compute.

    Attributes:
        card: of the model.
        engine: `keras` or `openvino`.
        lengths: of its outputs.
        batch: most images of a batch; where `lengths.size` is a number every batch has so many.
        run: maps batches float32 [B, H, W, 3], 0..255, to vectors float32 [B, C + E + C], in order.
    """

    card: Card
    engine: str
    lengths: Lengths
    batch: int
    run: ComputeFeatures

    def split(self, vectors: Features) -> Outputs:
        """Return the parts of the vectors that `run` yields.

        Raises:
            SteelbenchError: if a number of them is NaN or infinite.
        """
        if not np.isfinite(vectors).all():
            # Finite weights may still overflow.
            raise SteelbenchError(
                f"the model {self.card.name} answers with NaN or infinity; its weights are damaged. "
                "Copy or make it again."
            )
        ends = np.cumsum([self.lengths.classes, self.lengths.embedding])
        return Outputs(*np.split(vectors, ends, axis=1))


def open_network(
    path: Path,
    engine: str = "auto",
    *,
    opening: Opening | None = None,
    images: int | None = None,
    tell: Callable[[str], None] = print,
) -> Network:
    """Open a saved model on an engine; with OpenVINO, the network of its last use is taken from the cache.

    Args:
        path: of the `.h5`, its card beside it.
        engine: `auto`, `keras` or `openvino`; `auto` is OpenVINO where it is installed and there is no GPU.
        opening: what the user says of the model.
        images: that will be computed, if known.
        tell: called with a sentence where OpenVINO was meant and cannot be used.

    Raises:
        SteelbenchError: if the model cannot be loaded, or the engine that was named cannot be used.
    """
    # The cheap checks come first, TensorFlow takes seconds to import.
    card = read_card(path, opening)
    chosen = choose_engine(engine, "float32", len(usable_gpus()))
    if chosen == "keras":
        return keras_network(load_model(path, opening), images)
    from steelbench.inference.kept_network import openvino_network

    return openvino_network(path, card, opening, images, None if engine == "openvino" else tell)


def fitting(engine: str, images: int | None) -> int:
    """Return the images of a batch: no more than there are."""
    return max(1, min(BATCH[engine], images or BATCH[engine]))


def keras_network(model: Model, images: int | None = None) -> Network:
    """Return a loaded model as a network that Keras computes.

    Args:
        model: loaded.
        images: that will be computed, if known.
    """
    from steelbench.models.network_outputs import joined_outputs
    from steelbench.models.saved_model import compiled

    joined, lengths = joined_outputs(model.network)
    compute = compiled(joined)

    def run(batches: Any) -> Iterator[ImageBatch]:
        return (compute(batch).numpy() for batch in batches)

    return Network(model.card, "keras", lengths, fitting("keras", images), run)


def refuse_other_classes(path: Path, card: Card, classes: int) -> None:
    """Refuse a card that names more or fewer classes than the network has.

    Raises:
        SteelbenchError: with both numbers.
    """
    if classes != len(card.classes):
        raise SteelbenchError(
            f"{path.with_suffix('.json')} names {len(card.classes)} classes, {path.name} has {classes}; "
            "copy the card that belongs to it."
        )
