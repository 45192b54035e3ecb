"""What all records share: frozen values that are written as JSON, and how one is read from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

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

# A proportion; NaN and what lies outside is refused, so that no damaged record is drawn as an accuracy.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# A sum or a mean of proportions may leave 0..1 by rounding.
RoundedShare = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


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
        SteelbenchError: if the file is missing, no JSON, or lacks what `kind` needs.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SteelbenchError(
            f"{path} does not exist; expected the folder that `steelbench run --results` wrote. Run it first."
        ) from None
    except (OSError, ValidationError) as error:
        raise SteelbenchError(
            f"{path} is not a readable {kind.__name__} record ({_first_line(error)}). "
            "Delete it and run the same command again to make it anew."
        ) from None


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    return str(error).splitlines()[0]
