"""Write files whole or not at all; name the folder of what can be computed again."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel


def cache_folder() -> Path:
    """Return `STEELBENCH_CACHE`, else `$XDG_CACHE_HOME/steelbench`, else `~/.cache/steelbench`."""
    named = os.environ.get("STEELBENCH_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "steelbench"


def unwritable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not exist yet; "" if it can."""
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            return f"{there} is a file"
        return "" if os.access(there, os.W_OK | os.X_OK) else f"no right to write in {there}"
    except OSError as error:
        return os.strerror(error.errno or 0)


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
