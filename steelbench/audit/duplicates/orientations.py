"""Orientations: the eight ways to turn and mirror an image, and how placements of images compose and invert."""

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
class Placement:
    """The placement of an image in another one.

    Attributes:
        a: index of the image that is covered.
        b: index of the image that lies on it.
        turn: index into `TURNS`, how `b` is turned before.
        dy: row of `a` where the first row of the turned `b` lies.
        dx: the column, likewise.
        share: shared area as a share of the smaller image, 0..1.
    """

    a: int
    b: int
    turn: int
    dy: int
    dx: int
    share: float = 1.0


def turn_image(image: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return a view of an image [H, W], turned; `turn` is an index into `TURNS`."""
    matrix = TURNS[turn]
    swapped = image.T if turn >= TRANSPOSE else image
    return swapped[:: matrix[0].sum(), :: matrix[1].sum()]


def turn_shape(shape: tuple[int, int], turn: int) -> tuple[int, int]:
    """Return height and width of the turned image."""
    return (shape[1], shape[0]) if turn >= TRANSPOSE else shape


def turn_points(points: NDArray[Any], turn: int, shapes: NDArray[Any]) -> NDArray[Any]:
    """Return where points lie in the turned images.

    Args:
        points: int [N, 2], (y, x).
        turn: index into `TURNS`.
        shapes: int [N, 2] or [2], height and width of the points' images.

    Returns:
        int [N, 2], (y, x).
    """
    matrix = TURNS[turn]
    return points @ matrix.T - np.minimum((np.asarray(shapes) - 1) @ matrix.T, 0)


def _origin(shape: tuple[int, int], turn: int) -> NDArray[np.int64]:
    """Offset, int [2], to add to `TURNS[turn] @ place` to get the place in the turned image."""
    return -np.minimum(TURNS[turn] @ (np.array(shape) - 1), 0)


def inverse(placement: Placement, shapes: Sequence[tuple[int, int]]) -> Placement:
    """Return where `a`, turned, lies in `b`."""
    back = int(INVERSE[placement.turn])
    moved = _origin(shapes[placement.b], placement.turn) + np.array([placement.dy, placement.dx])
    dy, dx = -TURNS[back] @ moved - _origin(shapes[placement.a], back)
    return Placement(placement.b, placement.a, back, int(dy), int(dx), placement.share)


def compose(outer: Placement, inner: Placement, shapes: Sequence[tuple[int, int]]) -> Placement:
    """Return where `inner.b` lies in `outer.a`; `inner.a` must be `outer.b`."""
    turn = int(COMPOSE[outer.turn][inner.turn])
    moved = _origin(shapes[inner.b], inner.turn) + np.array([inner.dy, inner.dx])
    moved = TURNS[outer.turn] @ moved + _origin(shapes[outer.b], outer.turn) + np.array([outer.dy, outer.dx])
    dy, dx = moved - _origin(shapes[inner.b], turn)
    return Placement(outer.a, inner.b, turn, int(dy), int(dx))
