"""Files below a folder, by suffix; hidden ones are passed over, linked folders are entered once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steelbench.data.samples import visible_folders

SYSTEM = ("__MACOSX",)


def files_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files with one of the suffixes, those of a folder before those of its folders, sorted.

    Args:
        root: the folder.
        suffixes: in lower case, with the dot.

    Raises:
        OSError: if a folder may not be read.
    """
    waiting, entered = [root], {root.resolve()}
    while waiting:
        folder = waiting.pop()
        yield from sorted(
            path
            for path in folder.iterdir()
            if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()
        )
        inner = []
        for path in visible_folders(folder):
            real = path.resolve()
            if path.name not in SYSTEM and real not in entered:
                entered.add(real)
                inner.append(path)
        waiting += reversed(inner)
