"""What all records share: frozen values that are written as JSON, and how one is read from a file."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from steelbench.errors import SteelbenchError
from steelbench.files import MAX_BYTES, read_file

# A proportion; NaN and what lies outside is refused, so that no damaged record is drawn as an accuracy.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# A sum or a mean of proportions may leave 0..1 by rounding.
RoundedShare = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
# A number of images, parameters, bytes; one that is larger comes from a damaged file, and no float holds its digits.
Count = Annotated[int, Field(ge=0, le=10**15)]
# Of a class, and what no name of one may hold: it commands a terminal or ends a line.
LONGEST_NAME = 300
UNPRINTABLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def unprintable(name: str) -> str | None:
    """Return the first character that commands a terminal or ends a line; None if there is none.

    Joiners of letters (U+200C, U+200D) belong to names.
    """
    found = (char for char in name if unicodedata.category(char) in UNPRINTABLE and char not in "\u200c\u200d")
    return next(found, None)


class Record(BaseModel):
    """A plain value that is written as JSON. Unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class SparseRecord(Record):
    """A record of which each case fills some fields only; those that are None are not written."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        return {name: value for name, value in handler(self).items() if value is not None}


AnyRecord = TypeVar("AnyRecord", bound=Record)


def row_name(backbone: str, method: str, variant: str = "") -> str:
    """`<backbone>-<method>[-<variant>]`; `:` and `/` become `_`, because the name is also a file's."""
    return "-".join(filter(None, (backbone, method, variant))).replace(":", "_").replace("/", "_")


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read one record.

    Raises:
        SteelbenchError: if the file is missing, no regular file, too large, no JSON, or lacks what `kind` needs.
    """
    try:
        record = kind.model_validate_json(read_file(path, MAX_BYTES))
        _refuse_infinite(record.model_dump())
        return record
    except FileNotFoundError:
        raise SteelbenchError(
            f"{path} does not exist; expected the folder that `steelbench run --results` wrote. Run it first."
        ) from None
    except (OSError, ValueError) as error:
        raise SteelbenchError(
            f"{path} is not a readable {kind.__name__} record ({_first_line(error)}). "
            "Delete it and run the same command again to make it anew."
        ) from None


def _refuse_infinite(value: Any) -> None:
    """Raise ValueError for NaN and infinity anywhere in a value; they would be drawn as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"it holds the number {value}")
    if isinstance(value, dict):
        value = value.values()
    if not isinstance(value, str | bytes) and hasattr(value, "__iter__"):
        for own in value:
            _refuse_infinite(own)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    return str(error).splitlines()[0]
