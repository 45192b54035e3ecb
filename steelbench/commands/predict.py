"""`steelbench predict MODEL PATH...`: path, class and probability as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

from steelbench.errors import SteelbenchError

CHUNK = 64


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
    from steelbench.data.images import UnreadableImageError, read_image

    files = list(image_paths(paths))
    from steelbench.deploy.predict import load_model

    model = load_model(model_path)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "class", "probability", "reason"])
    code = 0
    for start in range(0, len(files), CHUNK):
        pixels, reasons = {}, {}
        for path in files[start : start + CHUNK]:
            try:
                pixels[path] = read_image(path, model.bit_depth)
            except UnreadableImageError as error:
                reasons[path], code = str(error), 1
        rows = iter(model.predict(list(pixels.values()), refuse_scaled=False)) if pixels else iter(())
        for path in files[start : start + CHUNK]:
            if path in reasons:
                writer.writerow([path, "", "", reasons[path]])
            else:
                row = next(rows)
                writer.writerow([path, model.classes[int(row.argmax())], f"{row.max():.6f}", ""])
    return code
