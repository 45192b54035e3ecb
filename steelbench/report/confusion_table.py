"""The confusion matrix of a row as cells, each with the images behind it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from steelbench.evaluation.error_tables import WrongAnswer
from steelbench.records import Row

# A table of more classes is wider than a page; its cells are listed, and the picture stands beside them.
TABULATED = 30
LISTED = 30


@dataclass(frozen=True)
class Cell:
    """Images of one class that were named as one class.

    Attributes:
        true: name of their class.
        predicted: name of the class that they were taken for.
        count: test images, as the record says, summed over seeds and folds.
        share: of the images of the class, 0..1.
        right: whether both classes are the same.
        images: wrong answers, means over seeds, so that their number may differ from `count`.
        place: number of the cell in its row's matrix, for an id.
    """

    true: str
    predicted: str
    count: int
    share: float
    right: bool
    images: tuple[WrongAnswer, ...]
    place: int


@dataclass(frozen=True)
class ConfusionTable:
    """The confusion matrix of a row.

    Attributes:
        row: the row.
        place: number of the row, for ids.
        classes: C names.
        lines: C x C cells, [true class][predicted class].
    """

    row: Row
    place: int
    classes: list[str]
    lines: list[list[Cell]]

    @property
    def wrong(self) -> int:
        """Return how many answers are wrong."""
        return sum(cell.count for line in self.lines for cell in line if not cell.right)

    @property
    def total(self) -> int:
        """Return how many answers there are."""
        return sum(cell.count for line in self.lines for cell in line)

    @property
    def tabulated(self) -> bool:
        """Return whether the matrix is narrow enough to be a table."""
        return len(self.classes) <= TABULATED

    @property
    def opened(self) -> list[Cell]:
        """Return the cells with images behind them, that the page shows."""
        cells = [cell for line in self.lines for cell in line] if self.tabulated else self.frequent
        return [cell for cell in cells if cell.images]

    @property
    def frequent(self) -> list[Cell]:
        """Return the cells of the most frequent confusions, most frequent first."""
        wrong = [cell for line in self.lines for cell in line if not cell.right and cell.count]
        return sorted(wrong, key=lambda cell: -cell.count)[:LISTED]


def class_names(row: Row) -> list[str]:
    """Return the names of the classes of a row's confusion matrix; numbers if the names are not recorded."""
    names = [score.name for score in row.per_class]
    return names if len(names) == len(row.confusion) else [str(place) for place in range(len(row.confusion))]


def confusion_tables(models: Sequence[Row], errors: Sequence[WrongAnswer]) -> dict[str, ConfusionTable]:
    """Return the confusion matrix of each row that has a square one, by its name, with the images behind its cells."""
    behind: dict[tuple[str, str, str], list[WrongAnswer]] = defaultdict(list)
    for error in errors:
        behind[error.row, error.label, error.predicted].append(error)
    return {
        row.name: _table(place, row, behind)
        for place, row in enumerate(models)
        if row.confusion and all(len(line) == len(row.confusion) for line in row.confusion)
    }


def _table(place: int, row: Row, behind: dict[tuple[str, str, str], list[WrongAnswer]]) -> ConfusionTable:
    names = class_names(row)
    lines = [
        [
            Cell(
                true=true,
                predicted=predicted,
                count=count,
                share=count / (sum(counts) or 1),
                right=i == j,
                images=() if i == j else tuple(behind.get((row.name, true, predicted), ())),
                place=i * len(names) + j,
            )
            for j, (predicted, count) in enumerate(zip(names, counts, strict=True))
        ]
        for i, (true, counts) in enumerate(zip(names, row.confusion, strict=True))
    ]
    return ConfusionTable(row, place, names, lines)
