"""The most similar images: embeddings of a model, compared by cosine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import RGB, UnreadableImageError, read_image, resize
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file
from steelbench.inference.model import Model

CHUNK = 64
TILE, CAPTION, COLUMNS = 160, 26, 7


@dataclass(frozen=True)
class Match:
    """An image of the index: its path and the cosine of its embedding to the query's, -1..1."""

    path: Path
    cosine: float


def most_similar(model: Model, query: Path, index: Sequence[Path], top: int) -> tuple[list[Match], list[Path]]:
    """The images of the index that look most like the query to the model, nearest first.

    Args:
        model: of `load_model`.
        query: an image; where it is in the index, too, it is left out there.
        index: images.
        top: how many.

    Returns:
        The images found, and those that could not be read.

    Raises:
        SteelbenchError: if the query cannot be read, or no image of the index can.
    """
    from sklearn.neighbors import NearestNeighbors

    try:
        asked = model.embed([read_image(query, model.bit_depth)])
    except UnreadableImageError as error:
        raise SteelbenchError(f"--query {query} cannot be read: {error}. Name an image file.") from None
    own = query.resolve()
    files, embeddings, unreadable = embed_files(model, [path for path in index if path.resolve() != own])
    if not files:
        raise SteelbenchError("--index holds no image that can be read, beside the query; name a folder of images.")
    search = NearestNeighbors(n_neighbors=min(top, len(files)), metric="cosine").fit(embeddings)
    distances, rows = search.kneighbors(asked)
    found = [Match(files[row], float(1 - distance)) for row, distance in zip(rows[0], distances[0], strict=True)]
    return found, unreadable


def embed_files(model: Model, paths: Iterable[Path]) -> tuple[list[Path], NDArray[np.float32], list[Path]]:
    """Embeddings of image files, a few pictures in memory at a time.

    Returns:
        The files that could be read, their embeddings float32 [N, E], and the files that could not.
    """
    files: list[Path] = []
    unreadable: list[Path] = []
    parts: list[NDArray[np.float32]] = []
    waiting: list[RGB] = []
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
    query: Path, found: Sequence[Match], path: Path, bit_depth: int | None, label: Callable[[Path], str]
) -> None:
    """A contact sheet as PNG: the query first, then what was found, with its rank, cosine and label."""
    tiles = [_tile(query, "query", bit_depth)]
    tiles += [
        _tile(item.path, f"{rank}  {item.cosine:.3f}  {label(item.path)}", bit_depth)
        for rank, item in enumerate(found, start=1)
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
    # OpenCV's letters are ASCII alone.
    plain = "".join(letter if letter.isascii() and letter.isprintable() else "?" for letter in text)[:24]
    cv2.putText(tile, plain, (6, TILE + 22), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return tile
