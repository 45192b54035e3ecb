"""Files below a folder, by suffix; hidden ones are passed over, linked folders are entered once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from steelbench.data.samples import is_passed_over, visible_folders


def files_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the files of `named_below`; what is no regular file is passed over."""
    return (path for path in named_below(root, *suffixes) if path.is_file())


def named_below(root: Path, *suffixes: str) -> Iterator[Path]:
    """Yield what has one of the suffixes, be it a file or not, in a folder before that in its folders, sorted.

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
            path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_passed_over(path.name)
        )
        inner = []
        for path in visible_folders(folder):
            real = path.resolve()
            if real not in entered:
                entered.add(real)
                inner.append(path)
        waiting += reversed(inner)


def paths_below(root: Path, *suffixes: str) -> frozenset[str]:
    """Return the files of `files_below` by their paths, relative to the root with `/`."""
    return frozenset(path.relative_to(root).as_posix() for path in files_below(root, *suffixes))
