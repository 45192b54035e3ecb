"""The maps of the embeddings as drawings whose points name and open their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.arrays import Features, Labels
from steelbench.errors import SteelbenchError
from steelbench.evaluation.predictions import read_groups, read_predictions
from steelbench.report.figures.embeddings import EmbeddedRow
from steelbench.report.formatting import row_label
from steelbench.report.gallery import Gallery

# Of a map, in the units of its drawing.
SIDE, MARGIN = 320, 10


@dataclass(frozen=True)
class MapPoint:
    """An image on a map.

    Attributes:
        x: from the left, in units of the drawing.
        y: from the top.
        label: number of its class.
        image: its place in `EmbeddingMaps.paths`.
        predicted: number of the class that the row names, -1 where that is right.
        related: whether it shares pixels or a group with another image of the data.
    """

    x: float
    y: float
    label: int
    image: int
    predicted: int
    related: bool


@dataclass(frozen=True)
class EmbeddingMap:
    """The points of one row; ordinary ones first, so that marked ones lie above them."""

    label: str
    points: list[MapPoint]

    @property
    def errors(self) -> int:
        """Return how many of the points are answered wrongly."""
        return sum(point.predicted >= 0 for point in self.points)

    @property
    def related(self) -> int:
        """Return how many of the points share something with another image."""
        return sum(point.related for point in self.points)


@dataclass(frozen=True)
class EmbeddingMaps:
    """The maps of several rows on the same test images.

    Attributes:
        maps: of the rows whose images are known by name.
        paths: of the images.
        labels: of the images, class numbers.
        classes: names.
    """

    maps: list[EmbeddingMap]
    paths: list[str]
    labels: list[int]
    classes: list[str]

    def shown_first(self) -> Iterator[str]:
        """Yield the paths of the points, marked ones first, as pictures are embedded until the page's budget ends."""
        points = [point for own in self.maps for point in own.points]
        for point in sorted(points, key=lambda point: (point.predicted < 0, not point.related)):
            yield self.paths[point.image]

    def data(self, gallery: Gallery) -> dict[str, Any]:
        """Return what the page's script needs: path, class and style class of each image."""
        images = [[path, label, gallery.style_class(path)] for path, label in zip(self.paths, self.labels, strict=True)]
        return {"classes": self.classes, "images": images}


def embedding_maps(results: Path, rows: Sequence[EmbeddedRow], classes: Sequence[str]) -> EmbeddingMaps:
    """Return the maps of the rows whose points can be named; a row without stored points or answers has none.

    Args:
        results: the results folder.
        rows: embedded test images of seed 0, fold 0.
        classes: names, by class number.
    """
    try:
        groups = read_groups(results)
    except SteelbenchError:
        groups = {}
    sizes = Counter(groups.values())
    place: dict[str, int] = {}
    labels: list[int] = []
    maps = []
    for row in rows:
        found = _answers(results, row, classes)
        if found is None or row.projection is None:
            continue
        paths, truth, predicted = found
        points = []
        scaled = _scaled(row.projection.points)
        for (x, y), number in zip(scaled, row.projection.rows.tolist(), strict=True):
            path = paths[number]
            if path not in place:
                place[path] = len(place)
                labels.append(int(truth[number]))
            wrong = int(predicted[number]) if predicted[number] != truth[number] else -1
            related = sizes.get(groups.get(path, ""), 0) > 1
            points.append(MapPoint(x, y, int(truth[number]), place[path], wrong, related))
        points.sort(key=lambda point: (point.predicted >= 0, point.related))
        maps.append(EmbeddingMap(row_label(row.row), points))
    return EmbeddingMaps(maps, list(place), labels, list(classes))


def _answers(results: Path, row: EmbeddedRow, classes: Sequence[str]) -> tuple[list[str], Labels, Labels] | None:
    """Return paths, true and predicted classes of a row's embedded images; None where they do not fit them."""
    first = next((run for run in row.row.runs if run.endswith("-s0-f0")), "")
    try:
        paths, truth, predicted = read_predictions(results / "runs" / first / "predictions.csv", classes)
    except SteelbenchError:
        return None
    return (paths, truth, predicted) if np.array_equal(truth, row.images.labels) else None


def _scaled(points: Features) -> list[list[float]]:
    """Return points inside of the drawing, both axes on one scale, the first axis to the right."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-9)
    centred = (points - (low + high) / 2) * scale * np.array([1, -1])
    return [[round(float(x), 1), round(float(y), 1)] for x, y in SIDE / 2 + centred]
