"""Search for the most similar images: embeddings of a model, compared by cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage
from steelbench.data.images import UnreadableImageError, read_image, resize
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file
from steelbench.inference.model import Model

CHUNK = 64  # images in memory
TILE, CAPTION, COLUMNS = 160, 26, 7  # of the contact sheet: pixels, pixels, images


@dataclass(frozen=True)
class Match:
    """An image of the index: its path and the cosine of its embedding to the query's, -1..1."""

    path: Path
    cosine: float


def most_similar(model: Model, query: Path, index: Sequence[Path], top: int) -> tuple[list[Match], list[Path]]:
    """Return the images of the index whose embeddings are nearest to the query's, nearest first.

    Args:
        model: gives the embeddings.
        query: an image; where it is in the index, too, it is left out there.
        index: images.
        top: number of images, at most.

    Returns:
        The matches, and the files of the index that cannot be read.

    Raises:
        SteelbenchError: if the query cannot be read, or no image of the index can.
    """
    from sklearn.neighbors import NearestNeighbors

    try:
        wanted = model.embed([read_image(query, model.bit_depth)])
    except UnreadableImageError as error:
        raise SteelbenchError(f"--query {query} cannot be read: {error}. Name an image file.") from None
    own = query.resolve()
    files, embeddings, unreadable = embed_files(model, [path for path in index if path.resolve() != own])
    if not files:
        raise SteelbenchError("--index holds no image that can be read, beside the query; name a folder of images.")
    search = NearestNeighbors(n_neighbors=min(top, len(files)), metric="cosine").fit(embeddings)
    distances, rows = search.kneighbors(wanted)
    matches = [Match(files[row], float(1 - distance)) for row, distance in zip(rows[0], distances[0], strict=True)]
    return matches, unreadable


def embed_files(model: Model, paths: Iterable[Path]) -> tuple[list[Path], NDArray[np.float32], list[Path]]:
    """Return the embeddings of image files; at most `CHUNK` images are in memory.

    Args:
        model: gives the embeddings.
        paths: image files.

    Returns:
        The files that can be read, their embeddings float32 [N, E], and the files that cannot be read.
    """
    files: list[Path] = []
    unreadable: list[Path] = []
    parts: list[NDArray[np.float32]] = []
    waiting: list[RGBImage] = []
    for path in paths:
        try:
            waiting.append(read_image(path, model.bit_depth))
        except UnreadableImageError:
            unreadable.append(path)
            continue
        files.append(path)
        if len(waiting) == CHUNK:
            parts.append(model.embed(waiting))
            waiting = []
    if waiting:
        parts.append(model.embed(waiting))
    return files, np.concatenate(parts) if parts else np.zeros((0, 1), np.float32), unreadable


def draw_sheet(
    query: Path, matches: Sequence[Match], path: Path, bit_depth: int | None, label: Callable[[Path], str]
) -> None:
    """Draw a contact sheet: the query first, then the matches with rank, cosine and label.

    Args:
        query: image file.
        matches: nearest first.
        path: of the PNG.
        bit_depth: used bits of 16-bit files; None means all 16.
        label: text for a match's file.
    """
    tiles = [_tile(query, "query", bit_depth)]
    tiles += [
        _tile(match.path, f"{rank}  {match.cosine:.3f}  {label(match.path)}", bit_depth)
        for rank, match in enumerate(matches, start=1)
    ]
    blank = np.full_like(tiles[0], 255)
    rows = [tiles[start : start + COLUMNS] for start in range(0, len(tiles), COLUMNS)]
    rows[-1] += [blank] * (min(COLUMNS, len(tiles)) - len(rows[-1]))
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    with whole_file(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", sheet[..., ::-1])[1].tobytes())


def _tile(path: Path, text: str, bit_depth: int | None) -> NDArray[np.uint8]:
    tile = np.full((TILE + CAPTION + 8, TILE + 8, 3), 255, np.uint8)
    tile[4 : TILE + 4, 4 : TILE + 4] = np.clip(resize(read_image(path, bit_depth), TILE), 0, 255).astype(np.uint8)
    # OpenCV's fonts have ASCII letters only.
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)[:24]
    cv2.putText(tile, plain, (6, TILE + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return tile
