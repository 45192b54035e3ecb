"""The model card: a JSON file beside each saved `.h5` that describes the model to its user. No TensorFlow."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from steelbench.records import Record, RunRecord

# The fields of a run record that its model's card repeats.
REPEATED = {
    "backbone",
    "method",
    "variant",
    "seed",
    "fold",
    "settings",
    "classes",
    "image_size",
    "weights",
    "engine",
    "precision",
    "params",
    "metrics",
    "n_train",
    "n_validation",
    "n_test",
}
INPUT_CONTRACT = {
    "shape": [None, None, 3],
    "channels": "RGB",
    "range": [0, 255],
    "note": "any height and width; resizing and preprocessing are inside the model",
}


class Card(Record):
    """A model card; further fields of the file are kept.

    Attributes:
        name: of the model.
        classes: names, in the order of the probabilities.
        sha256: of the `.h5`.
        bit_depth: used bits of the 16-bit images that it was trained on; None for all 16.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str
    classes: list[str]
    sha256: str
    bit_depth: int | None = None


def card_fields(record: RunRecord) -> dict[str, Any]:
    """Return the fields of a run record that its model's card repeats."""
    return record.model_dump(mode="json", include=REPEATED)
