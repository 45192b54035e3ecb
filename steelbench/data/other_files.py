"""The files beside the samples that are no images: named one by one, counted by extension."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from steelbench.data.images import is_image
from steelbench.data.samples import Dataset, LeftOut, is_passed_over, split_suffix

# Extensions that have a count of their own; a folder may hold as many kinds of files as files.
MAX_KINDS = 20
MAX_EXTENSION = 12
OTHERS = "no image (other extensions)"


def other_files(dataset: Dataset) -> list[LeftOut]:
    """Return the files in the folders of the samples that are neither an image, hidden, nor an annotation.

    Those folders are the ones in the data folder itself that hold a sample, at any depth, or are an empty class; files
    of the data folder itself count where samples lie beside them.

    Returns:
        Sorted by path; the reason names the extension.
    """
    used = {sample.path for sample in dataset.samples}
    tops = {path.split("/", 1)[0] if "/" in path else "" for path in used}
    tops.update(name for name in dataset.empty if (dataset.root / name).is_dir())
    found = [
        path
        for top in sorted(tops)
        for path in _files(dataset.root, top)
        if path not in used and path not in dataset.annotations and not is_image(dataset.root / path)
    ]
    kinds = [_extension(path) for path in found]
    counts = Counter(kind for kind in kinds if kind != OTHERS)
    named = sorted(counts, key=lambda kind: (-counts[kind], kind))[:MAX_KINDS]
    return sorted(
        LeftOut(_printable(path), f"no image ({kind or 'no extension'})" if kind in named else OTHERS)
        for path, kind in zip(found, kinds, strict=True)
    )


def _files(root: Path, top: str) -> Iterator[str]:
    """Yield the visible files below a folder of the data folder; of the data folder itself for ""."""
    for place, folders, names in os.walk(root / top):
        folders[:] = [name for name in folders if top and not is_passed_over(name)]
        below = Path(place).relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        yield from (start + name for name in names if not is_passed_over(name))


def _extension(path: str) -> str:
    suffix = split_suffix(path)[1]
    return suffix if len(suffix) <= MAX_EXTENSION and suffix.isascii() and suffix.isprintable() else OTHERS


def _printable(path: str) -> str:
    """Return a path that can be written in UTF-8; bytes of a name that are no UTF-8 become `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
