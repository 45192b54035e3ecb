"""Thumbnails of the images that the report shows: wrong answers, their neighbours, and examples of each class."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from steelbench.arrays import RGBImage
from steelbench.data.images import UnreadableImageError, read_image
from steelbench.data.parallel import ordered_map
from steelbench.evaluation.error_tables import WrongAnswer
from steelbench.files import whole_file, write_json
from steelbench.records import ThumbnailIndex

FOLDER = "thumbnails"
INDEX = "index.json"
# About 3 kB each: a page of the most stays below 3 MB.
MOST = 700
EXAMPLES = 5
SIDE = 128


def choose_pictures(errors: Sequence[WrongAnswer], examples: Sequence[str], others: Sequence[str] = ()) -> list[str]:
    """Return the images to draw: examples, wrong answers with their neighbours, then others, `MOST` at most.

    Args:
        errors: hardest images first.
        examples: of the classes.
        others: such as the images of a map.
    """
    wanted = dict.fromkeys(examples)
    wanted |= dict.fromkeys(error.path for error in errors)
    wanted |= dict.fromkeys(path for error in errors for path in error.neighbours)
    wanted |= dict.fromkeys(others)
    return list(wanted)[:MOST]


def class_examples(paths: Sequence[str], labels: Sequence[str]) -> dict[str, list[str]]:
    """Return some images of each class, drawn by their names, so that they are no neighbours in the folder."""
    order = sorted(range(len(paths)), key=lambda row: hashlib.sha256(paths[row].encode()).digest())
    found: dict[str, list[str]] = {name: [] for name in sorted(set(labels))}
    for row in order:
        if len(found[labels[row]]) < EXAMPLES:
            found[labels[row]].append(paths[row])
    return found


def write_thumbnails(
    results: Path, root: Path, bit_depth: int | None, wanted: Sequence[str], examples: dict[str, list[str]]
) -> None:
    """Draw the images into `RESULTS/thumbnails/` and list them in its `index.json`; others are deleted.

    Args:
        results: the results folder.
        root: folder that the paths start from.
        bit_depth: used bits of 16-bit files.
        wanted: paths; one that can no longer be read is left out.
        examples: by class.
    """
    folder = results / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    drawn = ordered_map(lambda path: draw(root / path, bit_depth), wanted)
    files = {}
    for path, jpeg in zip(wanted, drawn, strict=True):
        if jpeg is not None:
            # Not the image's own name, which may hold anything.
            name = f"{hashlib.sha256(path.encode()).hexdigest()[:16]}.jpg"
            with whole_file(folder / name) as temporary:
                temporary.write_bytes(jpeg)
            files[path] = name
    write_json(folder / INDEX, ThumbnailIndex(files=files, examples=examples))


def draw(path: Path, bit_depth: int | None) -> bytes | None:
    """Return the thumbnail of an image as JPEG; None if it cannot be read."""
    try:
        return _jpeg(read_image(path, bit_depth))
    except UnreadableImageError:
        return None


def _jpeg(image: RGBImage) -> bytes:
    scale = SIDE / min(image.shape[:2])
    # A strip of a line camera keeps its shape up to four to one; what is longer is shown in part.
    height, width = (min(round(side * scale), 4 * SIDE) for side in image.shape[:2])
    part = image[: max(1, round(height / scale)), : max(1, round(width / scale))]
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    bgr = cv2.cvtColor(small.astype(np.uint8), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
