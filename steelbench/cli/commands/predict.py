"""`steelbench predict MODEL PATH...`: path, class and probability as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steelbench.errors import SteelbenchError

CHUNK = 64
# Images are also held back no longer than this many pixels: those of a line camera are large.
CHUNK_PIXELS = 50_000_000


def image_paths(paths: list[Path]) -> Iterator[Path]:
    """The files as given, and the images below the folders.

    Raises:
        SteelbenchError: if a path does not exist, or a folder holds no image.
    """
    from steelbench.data.images import is_image

    for path in paths:
        if not path.exists():
            raise SteelbenchError(f"{path} does not exist; name image files or folders of images.")
        if not path.is_dir():
            yield path
            continue
        found = [child for child in sorted(path.rglob("*")) if child.is_file() and is_image(child)]
        if not found:
            raise SteelbenchError(f"{path} holds no image; expected .bmp .jpg .png .tif or .webp files.")
        yield from found


def predict_files(model_path: Path, paths: list[Path]) -> int:
    """Print a line for each image; an unreadable one has no class but a reason. Returns 1 if there was one."""
    from steelbench.data.images import RGB, UnreadableImageError, read_image

    files = list(image_paths(paths))
    from steelbench.inference.model import load_model

    model = load_model(model_path)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "class", "probability", "reason"])
    code = 0
    waiting: list[tuple[Path, RGB | str]] = []

    def flush() -> None:
        pixels = [found for _, found in waiting if not isinstance(found, str)]
        rows: Iterator[Any] = iter(model.predict(pixels, refuse_scaled=False) if pixels else ())
        for path, found in waiting:
            if isinstance(found, str):
                writer.writerow([path, "", "", found])
            else:
                row = next(rows)
                writer.writerow([path, model.classes[int(row.argmax())], f"{row.max():.6f}", ""])
        waiting.clear()

    for path in files:
        try:
            waiting.append((path, read_image(path, model.bit_depth)))
        except UnreadableImageError as error:
            waiting.append((path, str(error)))
            code = 1
        held = sum(found.size // 3 for _, found in waiting if not isinstance(found, str))
        if len(waiting) == CHUNK or held > CHUNK_PIXELS:
            flush()
    flush()
    return code
