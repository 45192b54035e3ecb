"""The eight ways to lay an image on a grid: four turns, each as it is and mirrored."""

from __future__ import annotations

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
