"""How one image lies on another: in one of eight ways (four turns, each as it is and mirrored), at an offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Each matrix sends a place (y, x) of the image, seen from its centre, to its place in the turned image.
# 0 leaves as it is; 1 to 3 mirror or turn without exchanging rows and columns; 4 to 7 exchange them.
TURNS = np.array(
    [
        [[1, 0], [0, 1]],
        [[-1, 0], [0, 1]],
        [[1, 0], [0, -1]],
        [[-1, 0], [0, -1]],
        [[0, 1], [1, 0]],
        [[0, -1], [1, 0]],
        [[0, 1], [-1, 0]],
        [[0, -1], [-1, 0]],
    ]
)
TRANSPOSE = 4


def _number(matrix: NDArray[np.int64]) -> int:
    return next(k for k, turn in enumerate(TURNS) if np.array_equal(turn, matrix))


COMPOSE = np.array([[_number(first @ second) for second in TURNS] for first in TURNS])  # [p][q]: q, then p
INVERSE = np.array([_number(turn.T) for turn in TURNS])
MIRRORS = np.linalg.det(TURNS).round() < 0


@dataclass(frozen=True)
class Laid:
    """Image `b`, turned, lies in image `a` at (dy, dx) (indices)."""

    a: int
    b: int
    turn: int
    dy: int
    dx: int
    share: float = 1.0


def turn_image(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """A view of a two-dimensional image, turned."""
    matrix = TURNS[turn]
    swapped = image.T if turn >= TRANSPOSE else image
    return swapped[:: matrix[0].sum(), :: matrix[1].sum()]


def turn_shape(shape: tuple[int, int], turn: int) -> tuple[int, int]:
    """Height and width of the turned image."""
    return (shape[1], shape[0]) if turn >= TRANSPOSE else shape


def turn_points(points: NDArray[Any], turn: int, shapes: NDArray[Any]) -> NDArray[Any]:
    """Places int [N, 2] (y, x) of images of `shapes` [N, 2] (or [2]), as places of the turned images."""
    matrix = TURNS[turn]
    return points @ matrix.T - np.minimum((np.asarray(shapes) - 1) @ matrix.T, 0)


def _origin(shape: tuple[int, int], turn: int) -> NDArray[np.int64]:
    """What `TURNS[turn] @ place` must be moved by to give places of the turned image."""
    return -np.minimum(TURNS[turn] @ (np.array(shape) - 1), 0)


def inverse(laid: Laid, shapes: Sequence[tuple[int, int]]) -> Laid:
    """The same two images, seen from `b`."""
    back = int(INVERSE[laid.turn])
    moved = _origin(shapes[laid.b], laid.turn) + np.array([laid.dy, laid.dx])
    dy, dx = -TURNS[back] @ moved - _origin(shapes[laid.a], back)
    return Laid(laid.b, laid.a, back, int(dy), int(dx), laid.share)


def compose(outer: Laid, inner: Laid, shapes: Sequence[tuple[int, int]]) -> Laid:
    """How `inner.b` lies in `outer.a`, where `inner.a` is `outer.b`."""
    turn = int(COMPOSE[outer.turn][inner.turn])
    moved = _origin(shapes[inner.b], inner.turn) + np.array([inner.dy, inner.dx])
    moved = TURNS[outer.turn] @ moved + _origin(shapes[outer.b], outer.turn) + np.array([outer.dy, outer.dx])
    dy, dx = moved - _origin(shapes[inner.b], turn)
    return Laid(outer.a, inner.b, turn, int(dy), int(dx))
