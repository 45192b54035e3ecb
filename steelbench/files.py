"""Write files whole or not at all, read them within bounds; name the folder of what can be computed again."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NoReturn

from pydantic import BaseModel

# Of records and tables of a results folder; the largest known, 100 rows on 20,000 images, have a tenth of it.
MAX_BYTES = 256 * 1024 * 1024
# Brackets within brackets; records have at most 8.
MAX_DEPTH = 64
DEEP = f"it has more than {MAX_DEPTH} brackets within each other"
KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def cache_folder() -> Path:
    """Return `STEELBENCH_CACHE`, else `$XDG_CACHE_HOME/steelbench`, else `~/.cache/steelbench`."""
    named = os.environ.get("STEELBENCH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelbench"


def unwritable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not exist yet; "" if it can, or the disk is full."""
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        if not there.exists():
            return f"{there} is a link that leads nowhere"
        if not there.is_dir():
            return f"{there} is a file" if there.is_file() else f"{there} is no folder"
        if not os.access(there, os.W_OK | os.X_OK):
            return f"no right to write in {there}"
        # Rights do not tell of folders that the system makes up, such as /proc.
        trial = there / f".{secrets.token_hex(8)}"
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        # What writes says what a full disk means.
        return "" if is_disk_full(error) else os.strerror(error.errno or 0)
    return ""


def unwritable_file(path: Path) -> str:
    """Return why `whole_file` cannot write a file, or must not: it would replace a device; "" if it can."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return unwritable(path.parent)
    except OSError as error:
        return os.strerror(error.errno or 0)
    if not stat.S_ISREG(mode):
        return f"it is {KINDS.get(stat.S_IFMT(mode), 'something else')}"
    return unwritable(path.parent)


DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
# HDF5 raises an OSError without a number for what the system told it.
FULL_WORDS = ("[Errno 28]", "errno = 28", "No space left on device", "Disk quota exceeded")


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error, or one that caused it, says that a disk is full."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, OSError) and (cause.errno in DISK_FULL or is_disk_full_text(str(cause))):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def is_disk_full_text(text: str) -> bool:
    """Return whether a message, such as the last line of a log, says that a disk is full."""
    return any(words in text for words in FULL_WORDS)


def disk_full_sentence(place: str = "while writing") -> str:
    """Return what the user is told about a full disk.

    Args:
        place: the file that could not be written, or when.
    """
    return f"the disk is full ({place}). Make room; the same command goes on where it stopped."


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    A reader, and a machine that loses power, sees the old file or the whole new one, never a part.

    Args:
        path: the file to write; its folder is made if it is missing.

    Yields:
        The path of an empty file with the same suffix, a dot before its name, for the caller to fill.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}")
    # Not `tempfile.mkstemp`, whose files are private: results are shared like any other file. To ask for the umask,
    # which is needed to change that afterwards, means to set it, and threads that do so at once leave it at 0.
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        # Windows flushes only a file that is open for writing.
        with temporary.open("r+b") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, in UTF-8, with `\\n` line ends on every system."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: BaseModel | dict[str, Any]) -> None:
    """Write JSON whole or not at all.

    Raises:
        ValueError: for NaN and infinity, which JSON lacks.
    """
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def open_file(path: Path, most: int = MAX_BYTES) -> Iterator[io.BufferedReader]:
    """Yield a regular file, open for reading.

    Args:
        path: of the file; a named pipe would be waited for without end, so nothing but a regular file is opened.
        most: bytes.

    Raises:
        OSError: if it is missing, no regular file, or larger.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"it is {KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, expected a file")
    if found.st_size > most:
        raise OSError(f"it has {found.st_size} bytes, expected at most {most}")
    with path.open("rb") as file:
        yield file


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: of the file.
        most: bytes.

    Raises:
        OSError: as `open_file`.
    """
    with open_file(path, most) as file:
        # Files of the system say that they have no bytes, and may have any number.
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"it has more than {most} bytes")
    return data


class _Bounded(io.RawIOBase):
    """A file that raises an OSError when more than `most` bytes are read."""

    def __init__(self, file: io.BufferedReader, most: int) -> None:
        self.file, self.most, self.left = file, most, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        data = self.file.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise OSError(f"it has more than {self.most} bytes")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def open_text(path: Path, most: int = MAX_BYTES, *, errors: str = "strict") -> Iterator[IO[str]]:
    """Yield the text of a regular file in UTF-8, read in blocks, with its line ends as they are.

    Raises:
        OSError: as `read_file`, also while it is read.
        UnicodeDecodeError: a `ValueError`, while it is read, if it is no UTF-8 and `errors` is strict.
    """
    with open_file(path, most) as file:
        yield io.TextIOWrapper(io.BufferedReader(_Bounded(file, most)), "utf-8", errors, newline="")


def read_text(path: Path, most: int = MAX_BYTES, *, errors: str = "strict") -> str:
    """Return the text of a regular file in UTF-8, with its line ends as they are.

    Raises:
        OSError: as `read_file`.
        UnicodeDecodeError: a `ValueError`, if it is no UTF-8 and `errors` is strict.
    """
    return read_file(path, most).decode("utf-8", errors)


def read_json(path: Path, most: int = MAX_BYTES) -> Any:
    """Return the value in a JSON file.

    Raises:
        OSError: as `read_file`.
        ValueError: if it is no JSON, holds NaN, infinity or half a letter, or nests deeper than `MAX_DEPTH`.
    """
    text = read_text(path, most)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError(DEEP) from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(DEEP)
        level = [
            inner
            for own in level
            if isinstance(own, dict | list)
            for inner in (own.values() if isinstance(own, dict) else own)
        ]
    if "\\u" in text:
        _refuse_halves(value)
    return value


def _refuse_halves(value: object) -> None:
    """Refuse what JSON can escape and no file can hold: one half of a letter beyond the first 65,536."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a letter (\\ud800 to \\udfff), which is no text") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it holds {name}, which is no JSON")


def file_digest(path: Path) -> str:
    """Return the sha256 of a regular file, "" if it is missing or cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
