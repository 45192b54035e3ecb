"""What travels inside an exported file: labels, pixels, threshold, digest of the `.h5`."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from steelbench.models.model_card import INPUT_CONTRACT, Card
from steelbench.records import Record

# Name of the tensors in every format, and of the contract where a format stores named texts or files.
INPUT, OUTPUT = "image", "probabilities"
KEY, MEMBER = "steelbench", "steelbench.json"


class Contract(Record):
    """What whoever runs an exported file must know.

    Attributes:
        name: of the model.
        classes: names, in the order of the probabilities.
        pixels: shape, order of the channels and range of the input.
        bit_depth: used bits of 16-bit images, 8 to 16; None for all 16.
        threshold: probability 0..1 below which a person looks; None where the test images promise nothing.
        model_sha256: of the `.h5`.
        input: name of the input.
        output: name of the output.
    """

    name: str
    classes: list[str]
    pixels: dict[str, Any]
    bit_depth: int | None
    threshold: float | None
    model_sha256: str
    input: str = INPUT
    output: str = OUTPUT

    @classmethod
    def of(cls, card: Card) -> Contract:
        """Return the contract of the model that a card describes."""
        return cls(
            name=card.name,
            classes=card.classes,
            pixels=INPUT_CONTRACT,
            bit_depth=card.bit_depth,
            threshold=card.decision.threshold if card.decision else None,
            model_sha256=card.sha256,
        )

    def text(self) -> str:
        """Return it as JSON in ASCII, which every format stores unchanged."""
        return json.dumps(self.model_dump(mode="json"))


def add_member(path: Path, text: str) -> None:
    """Add the contract as a file of the zip archive that a file is, or that may be appended to it.

    A `.keras` file is an archive. A `.tflite` file carries its labels as an archive behind the model, which readers of
    the model pass over.
    """
    # A fixed date, so that the same model gives the same bytes.
    entry = zipfile.ZipInfo(MEMBER, date_time=(1980, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, text)


def read_member(path: Path) -> str:
    """Return the contract that `add_member` put into a file."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(MEMBER).decode("ascii")
