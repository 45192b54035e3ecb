"""The folder of an exported format: whole or absent, never overwritten unasked, known by its record."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import ValidationError

from steelbench.errors import SteelbenchError
from steelbench.files import write_json
from steelbench.inference.exports.agreement import Agreement
from steelbench.inference.exports.contract import Contract
from steelbench.inference.exports.quantised import Int8Record
from steelbench.records import Record

RECORD = "export.json"
MAX_RECORD = 4 * 1024 * 1024
# Before the names of folders that are not finished.
UNFINISHED = ".export-"


class ExportRecord(Record):
    """`export.json`, beside each exported file.

    Attributes:
        format: a name of `FORMATS`, or `openvino-int8`.
        contract: the same that the file carries inside.
        calibration: digest of the images that chose the 8-bit scales; "" in float32.
        agreement: with the `.h5`, in float32.
        int8: what 8 bits change; None in float32.
        versions: of the packages that wrote the file.
        files: sha256 of every other file of the folder, by its path.
    """

    format: str
    contract: Contract
    calibration: str = ""
    agreement: Agreement | None = None
    int8: Int8Record | None = None
    versions: dict[str, str | None]
    files: dict[str, str]


def read_export(folder: Path) -> ExportRecord | None:
    """Return the record of a folder; None if it has none that can be read."""
    path = folder / RECORD
    try:
        if not path.is_file() or path.stat().st_size > MAX_RECORD:
            return None
        return ExportRecord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def is_there(folder: Path, model_sha256: str, calibration: str = "") -> bool:
    """Return whether a folder holds the export that is asked for, every file as it was written."""
    record = read_export(folder)
    if record is None or (record.contract.model_sha256, record.calibration) != (model_sha256, calibration):
        return False
    return bool(record.files) and record.files == digests(folder, set(record.files))


def refuse_other(folder: Path, *, force: bool) -> None:
    """Raise a SteelbenchError where a target is taken by something else than the export that is asked for.

    Args:
        folder: the target, not `is_there`.
        force: replace an older export; what no export wrote is never replaced.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if read_export(folder) is None or folder.is_symlink():
        raise SteelbenchError(f"{folder} is there and is no export of steelbench; name another folder with --out.")
    if not force:
        raise SteelbenchError(
            f"{folder} holds the export of another model, or one that was changed; --force replaces it, --out names "
            "another folder."
        )


def digests(folder: Path, names: set[str] | None = None) -> dict[str, str]:
    """Return the sha256 of files in a folder, by their path with `/`.

    Args:
        folder: to look through.
        names: of the files; None for all but the record.
    """
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    wanted = set(found) - {RECORD} if names is None else names & set(found)
    return {name: _sha256(found[name]) for name in sorted(wanted)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Hold a folder for one export at a time, and remove what earlier ones left unfinished when they were killed.

    Raises:
        SteelbenchError: if another process is writing there.
    """
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / f"{UNFINISHED}lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise SteelbenchError(f"another export is writing into {out}; wait for it, or name another --out.") from None
    try:
        for left in out.glob(f"{UNFINISHED}*"):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def unfinished(out: Path) -> Iterator[Path]:
    """Yield an empty folder below `out`, which is gone afterwards unless `finish` moved it."""
    folder = out / f"{UNFINISHED}{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, target: Path, record: ExportRecord) -> None:
    """Write the record, flush every file to disk, and move the folder to its place.

    Args:
        folder: of `unfinished`, with everything but the record.
        target: of the export; an older one there is replaced.
        record: of the export.
    """
    write_json(folder / RECORD, record)
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("r+b") as file:
                os.fsync(file.fileno())
    if not target.exists():
        folder.rename(target)
        return
    with unfinished(target.parent) as older:
        target.rename(older / target.name)
        folder.rename(target)
