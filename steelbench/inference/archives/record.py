"""What the embeddings of a folder depend on: `_extract.json`, and the refusal to mix others into it. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from steelbench.errors import SteelbenchError
from steelbench.files import write_json
from steelbench.records import Record
from steelbench.records.base import read_record

# Readers of Parquet folders pass over what begins with an underscore.
FILE = "_extract.json"


class Embedded(Record):
    """What an embedding depends on beside the image; every part file carries it.

    Attributes:
        backbone: its name.
        image_size: side of the square that it sees, pixels.
        bit_depth: used bits of 16-bit files; None for all.
        weights: where they come from, and the sha256 of their values.
        engine: that computed, `keras` where another one failed its check.
        engine_version: of its package.
        keras: version of Keras.
        precision: float32, bfloat16 or float16.
        batch: images of a batch.
        dim: D, numbers of an embedding.
    """

    backbone: str
    image_size: int = Field(ge=1)
    bit_depth: int | None
    weights: dict[str, Any]
    engine: str
    engine_version: str
    keras: str
    precision: str
    batch: int = Field(ge=1)
    dim: int = Field(ge=1)


class CheckedImage(Record):
    """An image that random weights took their BatchNorm statistics from.

    Attributes:
        path: below the archive.
        sha256: of its bytes.
    """

    path: str
    sha256: str


class ExtractRecord(Record):
    """The contents of `_extract.json`.

    Attributes:
        data: URL of the archive.
        asked_engine: the engine that was asked for or chosen, before its check.
        part_images: of each part file but the last.
        calibration: of random weights; empty for others.
        embedded: what the embeddings depend on.
        steelbench: version.
    """

    data: str
    asked_engine: str
    part_images: int = Field(ge=1)
    calibration: list[CheckedImage]
    embedded: Embedded
    steelbench: str


def read_extract(out: Path) -> ExtractRecord | None:
    """Return the record of a folder; None for a folder without one and without parts.

    Raises:
        SteelbenchError: if it is damaged, or missing beside parts.
    """
    path = out / FILE
    if path.exists():
        try:
            return read_record(path, ExtractRecord)
        except SteelbenchError:
            raise SteelbenchError(
                f"{path} is damaged, so nobody knows what the parts beside it hold; name another folder with --out, or "
                "delete this one."
            ) from None
    if any(out.glob("part-*.parquet")):
        raise SteelbenchError(
            f"{out} holds parts, but no {FILE} that says what of; name another folder with --out, or delete this one."
        )
    return None


def write_extract(out: Path, record: ExtractRecord) -> None:
    """Write `_extract.json` whole or not at all."""
    write_json(out / FILE, record)


def refuse_other(out: Path, what: str, before: object, now: object) -> None:
    """Refuse a folder whose embeddings differ in something.

    Args:
        out: the folder.
        what: the value is, for the message.
        before: the value in the folder's record.
        now: the value of this command.

    Raises:
        SteelbenchError: with both values, if they differ.
    """
    if before != now:
        raise SteelbenchError(
            f"{out} holds embeddings with {what} {before}, this command has {now}; name another folder with --out."
        )
