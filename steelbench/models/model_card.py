"""The model card: a JSON file beside each saved `.h5` that describes the model to its user. No TensorFlow."""

from __future__ import annotations

import codecs
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from steelbench.errors import SteelbenchError
from steelbench.files import read_file
from steelbench.models.probe import Probe
from steelbench.records import Record, RunRecord, Share, SparseRecord, Unfamiliar
from steelbench.records.base import LONGEST_NAME, unprintable

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 30
MAX_CLASSES = 1000
# A text in quotes, which may hold commas, or a comma before the bracket that closes a list; JSON has no such comma.
TEXT_OR_LAST_COMMA = re.compile(r'("(?:[^"\\]|\\.)*+(?:"|\Z))|,(?=\s*+[\]}])', re.DOTALL)
BRACKET_OR_TEXT = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[{\]}]', re.DOTALL)

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


def _check_name(name: str) -> str:
    """Refuse what commands a terminal or ends a line."""
    wrong = unprintable(name)
    if wrong is not None:
        raise ValueError(f"{name[:40]!r} holds the character {wrong!r}, which is not printable")
    return name


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_check_name)]


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


PixelContract = Literal["0..255", "0..1", "-1..1", "caffe"]
PIXELS: tuple[PixelContract, ...] = get_args(PixelContract)


class Card(Record):
    """A model card; further fields of the file are kept.

    Attributes:
        name: of the model.
        classes: names, in the order of the probabilities.
        sha256: of the `.h5`.
        bit_depth: used bits of the 16-bit images that it was trained on; None for all 16.
        image_size: side of the images that the network sees, pixels.
        pixels: what the network takes; None for a model of steelbench's, which prepares raw pixels itself.
        decision: when a person must look; None where the test images promise nothing.
        unfamiliar: when an image is called unfamiliar; None where that was not measured.
        probe: what Keras answered to fixed images when the model was saved; None on older cards.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    name: Name
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_CLASSES)]
    sha256: Annotated[str, Field(max_length=64)]
    bit_depth: int | None = None
    image_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    pixels: PixelContract | None = None
    decision: Decision | None = None
    unfamiliar: Unfamiliar | None = None
    probe: Probe | None = None


def contract(pixels: str | None, size: int | None) -> dict[str, Any]:
    """Return what a card says of the images that go in: always raw ones; what happens to them before the file's layers.

    Args:
        pixels: what the file's network was trained on; None if it prepares raw pixels itself.
        size: side of the images that it takes alone, pixels; None for any.
    """
    if pixels is None:
        return INPUT_CONTRACT
    resized = f"resized to {size}x{size}, " if size else ""
    note = f"any height and width; steelbench gives them to the file {resized}as pixels {pixels}"
    return {**INPUT_CONTRACT, "note": note}


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
        card = Card.model_validate(read_card_fields(path))
    except (OSError, ValueError, RecursionError) as error:
        raise SteelbenchError(
            f"{path} is not a readable model card ({_reason(error)}). Mend that place, or copy the card again from "
            "where the model came from; the model's file does not hold the names of the classes."
        ) from None
    _check(card, path)
    return card


def read_card_fields(path: Path) -> Any:
    """Return what the JSON file of a card holds, unchecked.

    Raises:
        OSError: if it cannot be read, is no regular file, or too large.
        ValueError: if it is no JSON.
        RecursionError: if it nests too deep for the parser.
    """
    return _parsed(_text(read_file(path, MAX_BYTES)))


def card_of(fields: Mapping[str, Any], path: Path) -> Card:
    """Return the card of a model file from what the user says of it.

    Args:
        fields: of the card.
        path: of the `.h5`, for messages.

    Raises:
        SteelbenchError: for a name that no class may have, or that is named twice.
    """
    try:
        card = Card.model_validate(fields)
    except ValidationError as error:
        raise SteelbenchError(f"{path} cannot have such a card ({_reason(error)}).") from None
    _check(card, path)
    return card


def _text(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def _parsed(text: str) -> Any:
    if nesting(text) > MAX_DEPTH:
        raise ValueError(f"it nests more than {MAX_DEPTH} levels deep")
    try:
        return _loaded(text)
    except json.JSONDecodeError as error:
        try:
            return _loaded(TEXT_OR_LAST_COMMA.sub(lambda match: match[1] or "", text))
        except json.JSONDecodeError:
            # The places of the text as it is in the file.
            raise error from None


def _loaded(text: str) -> Any:
    """Parse JSON that can be written again: without NaN, infinity and halves of letters."""
    found = json.loads(text, parse_constant=_refuse_constant)
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which JSON lacks")


def nesting(text: str) -> int:
    """Return how deep brackets nest in a JSON text, those inside of strings aside."""
    depth = deepest = 0
    for match in BRACKET_OR_TEXT.finditer(text):
        if match[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


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
