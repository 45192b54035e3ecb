"""The model card: a JSON file beside each saved `.h5` that describes the model to its user. No TensorFlow."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from steelbench.errors import SteelbenchError
from steelbench.records import Record, RunRecord, Share, SparseRecord, Unfamiliar

MAX_BYTES = 4 * 1024 * 1024
# A text in quotes, which may hold commas, or a comma before the bracket that closes a list; JSON has no such comma.
TEXT_OR_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\Z))|,(?=\s*+[\]}])', re.DOTALL)

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


class Decision(SparseRecord):
    """The confidence below which a person looks, and what is promised of the answers above it.

    Attributes:
        threshold: least confidence of an answer that no person looks at.
        escapes: largest share of all images that is answered wrongly and looked at by nobody.
        confidence: with which that is promised, for images like the test images.
        referred: share of the test images below the threshold.
        none_class: the class of sound material; None for none. With it, `escapes` is the share of the images with a
            defect that are called sound and looked at by nobody.
    """

    threshold: Share
    escapes: Share
    confidence: Share
    referred: Share
    none_class: str | None = None


class Card(Record):
    """A model card; further fields of the file are kept.

    Attributes:
        name: of the model.
        classes: names, in the order of the probabilities.
        sha256: of the `.h5`.
        bit_depth: used bits of the 16-bit images that it was trained on; None for all 16.
        decision: when a person must look; None where the test images promise nothing.
        unfamiliar: when an image is called unfamiliar; None where that was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: str
    classes: list[str]
    sha256: str
    bit_depth: int | None = None
    decision: Decision | None = None
    unfamiliar: Unfamiliar | None = None


def card_fields(record: RunRecord) -> dict[str, Any]:
    """Return the fields of a run record that its model's card repeats."""
    return record.model_dump(mode="json", include=REPEATED)


def read_card_file(path: Path) -> Card:
    """Read a card as editors leave it, too: with a byte order mark, in UTF-16, with a comma behind the last entry.

    Args:
        path: of the `.json`.

    Raises:
        SteelbenchError: if it cannot be read, or says what cannot be: a class twice, a bit depth outside 8 to 16.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        card = Card.model_validate(_parsed(_text(path.read_bytes())))
    except (OSError, ValueError, RecursionError) as error:
        raise SteelbenchError(
            f"{path} is not a readable model card ({_reason(error)}). Mend that place, or copy the card again from "
            "where the model came from; the model's file does not hold the names of the classes."
        ) from None
    _check(card, path)
    return card


def _text(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        try:
            return json.loads(TEXT_OR_LAST_COMMA.sub(lambda match: match[1] or "", text))
        except json.JSONDecodeError:
            # The places of the text as it is in the file.
            raise error from None


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check(card: Card, path: Path) -> None:
    doubled = [name for name, times in Counter(card.classes).items() if times > 1]
    if doubled:
        raise SteelbenchError(
            f"{path} names the class '{doubled[0]}' {card.classes.count(doubled[0])} times; each class is named once, "
            "in the order of the model's outputs."
        )
    if card.bit_depth is not None and not 8 <= card.bit_depth <= 16:
        raise SteelbenchError(
            f"{path} says bit_depth {card.bit_depth}; expected 8 to 16, or null where all bits of 16-bit images count."
        )
