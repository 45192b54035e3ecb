"""Part files of embeddings: Parquet with checksums, written whole, and found when one is damaged. No TensorFlow."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from steelbench.arrays import Features
from steelbench.files import whole_file
from steelbench.inference.archives.record import Embedded

NAME = re.compile(r"part-(\d{6,})\.parquet")
# Keys of a file's metadata: what its embeddings depend on, and what the reader is told of the engine.
EMBEDDED, NOTE = b"steelbench.embedded", b"steelbench.note"


class Row(NamedTuple):
    """An image: its path below the archive, the sha256 of its bytes, and why it cannot be read, "" if it can."""

    path: str
    sha256: str
    reason: str


@dataclass(frozen=True)
class Part:
    """What the program asks of a part file; its embeddings were read, too, but are not kept.

    Attributes:
        paths: of its images.
        unreadable: how many of them cannot be read.
        embedded: what its embeddings depend on.
        note: about the engine that computed it; "" for none.
    """

    paths: list[str]
    unreadable: int
    embedded: Embedded
    note: str


class DamagedPartError(Exception):
    """Raised for bytes that are no whole part; the message is the reason."""


def part_bytes(rows: Sequence[Row], embeddings: Features, embedded: Embedded, note: str = "") -> bytes:
    """Return the bytes of a part file.

    Args:
        rows: every image of the part.
        embeddings: float32 [R, D], of the readable ones, in their order.
        embedded: what they depend on.
        note: about the engine.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = iter(embeddings)
    schema = _schema(embedded.dim).with_metadata({EMBEDDED: embedded.model_dump_json(), NOTE: note})
    columns = [
        pa.array([row.path for row in rows], pa.string()),
        pa.array([row.sha256 for row in rows], pa.string()),
        pa.array([None if row.reason else next(vectors) for row in rows], pa.list_(pa.float32(), embedded.dim)),
        pa.array([row.reason for row in rows], pa.string()),
    ]
    target = io.BytesIO()
    # A checksum for each page: a flipped bit is found when the file is read.
    pq.write_table(pa.Table.from_arrays(columns, schema=schema), target, compression="zstd", write_page_checksum=True)
    return target.getvalue()


def read_part(source: Path | bytes) -> Part:
    """Read a part file to its end.

    Raises:
        DamagedPartError: if it is truncated, damaged, or no part.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        # Not `read_table` of a path, which would make columns of a folder's name such as `a=1`.
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            table = opened.read()
        embedded = Embedded.model_validate_json(table.schema.metadata[EMBEDDED])
        if not table.schema.equals(_schema(embedded.dim)):
            raise DamagedPartError("it has other columns")
        paths, reasons = table["path"].to_pylist(), table["reason"]
        nulls = sum(column.null_count for column in (table["path"], table["sha256"], reasons))
        unreadable = table["embedding"].null_count
        if nulls or len(set(paths)) != len(paths):
            raise DamagedPartError("it holds a row without a path, or two of one path")
        return Part(paths, unreadable, embedded, table.schema.metadata.get(NOTE, b"").decode())
    except (OSError, pa.ArrowException, ValidationError, KeyError, TypeError, ValueError) as error:
        raise DamagedPartError((str(error).strip().splitlines() or [type(error).__name__])[0][:200]) from None


def _schema(dim: int) -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            pa.field("sha256", pa.string(), nullable=False),
            pa.field("embedding", pa.list_(pa.float32(), dim)),
            pa.field("reason", pa.string(), nullable=False),
        ]
    )


def part_path(out: Path, number: int) -> Path:
    """Return the path of a part file."""
    return out / f"part-{number:06}.parquet"


def part_numbers(out: Path) -> list[int]:
    """Return the numbers of the part files in a folder, sorted."""
    matches = (NAME.fullmatch(path.name) for path in out.glob("part-*.parquet"))
    return sorted(int(match[1]) for match in matches if match)


def write_part(out: Path, number: int, data: bytes) -> None:
    """Write the bytes of `part_bytes` whole or not at all."""
    with whole_file(part_path(out, number)) as temporary:
        temporary.write_bytes(data)


def sweep(out: Path) -> None:
    """Delete the temporary files of a command that was killed; only for the holder of the folder's lock."""
    for path in out.glob(".*"):
        if re.fullmatch(r"\.(part-\d+|_extract)-[a-f0-9]{8}\.(parquet|json)", path.name):
            path.unlink(missing_ok=True)
