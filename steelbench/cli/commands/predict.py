"""`steelbench predict MODEL PATH...`: path, class, probability, whether a person must look, and why, as CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steelbench.cli.terminal import result, say
from steelbench.errors import SteelbenchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from steelbench.arrays import RGBImage
    from steelbench.data.images import Decoded
    from steelbench.inference.model import Model, Opening
    from steelbench.inference.unfamiliar import Recogniser

CHUNK = 64
# A chunk also ends when it holds more pixels than this: images of a line camera are large.
CHUNK_PIXELS = 50_000_000


def image_paths(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the files and crops as given, and the images below the folders, sorted.

    Hidden and system files and folders are passed over, also those that a shell names for `*`, unless no other path is
    given.

    Raises:
        SteelbenchError: if a path does not exist, or a folder holds no image.
        OSError: if a folder may not be read.
    """
    from steelbench.data.images import image_exists
    from steelbench.data.samples import image_files, is_passed_over

    given = list(paths)
    for path in [path for path in given if not is_passed_over(path.name)] or given:
        if not path.exists() and not image_exists(path):
            raise SteelbenchError(f"{path} does not exist; name image files or folders of images.")
        if not path.is_dir():
            yield path
            continue
        found = sorted(image_files(path))
        if not found:
            raise SteelbenchError(f"{path} holds no image; expected .bmp .jpg .png .tif or .webp files.")
        yield from found


def predict_files(
    model_path: Path, paths: Iterable[Path], bit_depth: int | None = None, opening: Opening | None = None
) -> int:
    """Print a CSV line for each image; one that cannot be read has a reason in place of its class.

    Args:
        model_path: of the `.h5`.
        paths: images, crops or folders.
        bit_depth: used bits of 16-bit files; None for those of the images that the model was trained on.
        opening: what the user says of the model.

    Returns:
        The exit code: 1 if an image could not be read.
    """
    files = list(image_paths(paths))
    from steelbench.inference.model import load_model

    model = load_model(model_path, opening)
    recogniser = _recogniser(model, model_path)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["path", "class", "probability", "reason", "uncertain", "unfamiliar"])
    unreadable, depth, deep = False, bit_depth or model.bit_depth, DeepImages()
    for chunk in _read_chunks(files, depth, deep):
        writer.writerows([*map(result, row)] for row in _rows(model, recogniser, chunk))
        unreadable |= any(isinstance(found, str) for _, found in chunk)
    if deep.look_like_12_bit and depth is None:
        say(
            f"no value of the {deep.count} 16-bit images exceeds 4095, as in 12-bit data; read as 16 bit they are "
            "almost black, and the answers worthless. If the camera gives 12 bits, add --bit-depth 12."
        )
    return int(unreadable)


@dataclass
class DeepImages:
    """The 16-bit images among those read: how many, and their largest value."""

    count: int = 0
    largest: int = 0

    def add(self, image: Decoded) -> None:
        """Count an image if it has 16 bits."""
        if image.bits == 16:
            self.count, self.largest = self.count + 1, max(self.largest, image.largest)

    @property
    def look_like_12_bit(self) -> bool:
        """Return whether there are some, and none needs more than 12 bits."""
        return self.count > 0 and self.largest <= 4095


def _read_chunks(
    files: Iterable[Path], bit_depth: int | None, deep: DeepImages
) -> Iterator[list[tuple[Path, RGBImage | str]]]:
    """Yield files with their pixels, or the reason why they cannot be read, as many as fit into memory."""
    from steelbench.data.images import UnreadableImageError, open_image

    chunk: list[tuple[Path, RGBImage | str]] = []
    pixels = 0
    for path in files:
        try:
            image = open_image(path, bit_depth).image
            deep.add(image)
            chunk.append((path, image.pixels))
            pixels += image.pixels.shape[0] * image.pixels.shape[1]
        except UnreadableImageError as error:
            chunk.append((path, str(error)))
        if len(chunk) == CHUNK or pixels > CHUNK_PIXELS:
            yield chunk
            chunk, pixels = [], 0
    if chunk:
        yield chunk


def _recogniser(model: Model, path: Path) -> Recogniser | None:
    """Return what says which images are unfamiliar; None, with a word on standard error, where that is not there."""
    from steelbench.inference.unfamiliar import Recogniser

    try:
        return Recogniser.of(model, path)
    except SteelbenchError as error:
        # The answers need nothing of it.
        say(f"the column unfamiliar stays empty: {error}")
        return None


def _rows(model: Model, recogniser: Recogniser | None, chunk: list[tuple[Path, RGBImage | str]]) -> Iterator[list[str]]:
    readable = [found for _, found in chunk if not isinstance(found, str)]
    answers = iter(_answers(model, recogniser, readable) if readable else [])
    decision = model.card.decision
    for path, found in chunk:
        if isinstance(found, str):
            yield [str(path), "", "", found, "", ""]
        else:
            own, unfamiliar = next(answers)
            uncertain = "unknown" if decision is None else str(bool(own.max() < decision.threshold)).lower()
            yield [str(path), model.classes[int(own.argmax())], f"{own.max():.6f}", "", uncertain, unfamiliar]


def _answers(
    model: Model, recogniser: Recogniser | None, images: list[RGBImage]
) -> Iterator[tuple[NDArray[np.float32], str]]:
    """Yield probabilities float32 [C] of each image, and whether it is unfamiliar: true, false, or "" if unknown."""
    if recogniser is None:
        yield from ((own, "") for own in model.predict(images, refuse_scaled=False))
        return
    probabilities, unfamiliar = recogniser(images)
    yield from ((own, str(bool(new)).lower()) for own, new in zip(probabilities, unfamiliar, strict=True))
