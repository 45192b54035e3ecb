"""The card beside an `.h5`: what a user must know of a model. No TensorFlow."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from steelbench.records import Record, RunRecord

# The fields of a run record that its model's card repeats.
REPEATED = {
    "backbone", "method", "variant", "seed", "fold", "settings", "classes", "image_size", "weights", "engine",
    "precision", "params", "metrics", "n_train", "n_validation", "n_test",
}  # fmt: skip
INPUT_CONTRACT = {
    "shape": [None, None, 3],
    "channels": "RGB",
    "range": [0, 255],
    "note": "any height and width; resizing and preprocessing are inside the model",
}


class Card(Record):
    """What stands beside an `.h5`; further fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str
    classes: list[str]
    sha256: str
    bit_depth: int | None = None


def card_fields(record: RunRecord) -> dict[str, Any]:
    """What a card takes from the run that its model comes from."""
    return record.model_dump(mode="json", include=REPEATED)
