"""What the section on mill conditions says of each row, from the records of `--with robustness`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelbench.records import CorruptionResult, Robustness, Row
from steelbench.report.formatting import join, percent, row_label

# The strength of the table and of the example images, which is always measured.
MIDDLE = 3


@dataclass(frozen=True)
class MillCell:
    """A cell of the table: a row under a corruption at strength `MIDDLE`.

    Attributes:
        accuracy: as text.
        change: the interval of its difference from the unchanged images, as text.
        hurts: whether it is shown to be lower.
        hurts_from: the least strength that is shown to hurt; None if none is.
    """

    accuracy: str
    change: str
    hurts: bool
    hurts_from: int | None


@dataclass(frozen=True)
class MillRow:
    """A line of the table.

    Attributes:
        row: the row.
        record: what was measured.
        cells: one for each column; None where it was not measured.
        first: what hurts first, as text.
    """

    row: Row
    record: Robustness
    cells: list[MillCell | None]
    first: str


@dataclass(frozen=True)
class MillConditions:
    """The section.

    Attributes:
        columns: name and title of each corruption.
        strengths: that some row was measured at.
        meanings: title, unit, amounts of the strengths 1 to 5, and their source, of each corruption; none of an older
            version.
        lines: of the table, best row first.
        headline: a sentence that sums them up.
    """

    columns: list[tuple[str, str]]
    strengths: list[int]
    meanings: list[tuple[str, str, tuple[float, ...], str]]
    lines: list[MillRow]
    headline: str


def mill_conditions(rows: Sequence[Row]) -> MillConditions | None:
    """Return the section; None if no row was measured.

    Args:
        rows: best first.
    """
    measured = [(row, row.robustness) for row in rows if row.robustness]
    if not measured:
        return None
    columns = dict((own.corruption, own.title) for _, record in measured for own in record.results)
    lines = [
        MillRow(row, record, [_cell(record.of(name)) for name in columns], first_words(record))
        for row, record in measured
    ]
    strengths = sorted({strength for _, record in measured for strength in record.strengths})
    return MillConditions(list(columns.items()), strengths, _meanings(measured), lines, _headline(measured, columns))


def first_words(record: Robustness) -> str:
    """Return `motion blur, from strength 2 (worst class: scratches, 12 of 20 right)`."""
    result = record.of(record.first) if record.first else None
    if result is None or result.hurts_from is None:
        return "nothing is shown to hurt"
    cell = result.at(result.hurts_from)
    worst = f" (worst class: {cell.worst_class}, {cell.worst_right} of {cell.worst_images} right)" if cell else ""
    return f"{result.title}, from strength {result.hurts_from}{worst}"


def signed_limits(low: float, high: float) -> str:
    """Return an interval of a difference as `[−9, +1]`, in points; of 120 images a decimal would say nothing."""
    return f"[{_signed(low)}, {_signed(high)}]"


def _signed(value: float) -> str:
    text = f"{100 * value:+.0f}"
    return "0" if float(text) == 0 else text.replace("-", "\u2212")


def _cell(result: CorruptionResult | None) -> MillCell | None:
    cell = result.at(MIDDLE) if result else None
    if result is None or cell is None:
        return None
    return MillCell(
        accuracy=percent(cell.accuracy),
        change=signed_limits(cell.change_low, cell.change_high),
        hurts=result.hurts_from is not None and result.hurts_from <= MIDDLE,
        hurts_from=result.hurts_from,
    )


def _meanings(measured: Sequence[tuple[Row, Robustness]]) -> list[tuple[str, str, tuple[float, ...], str]]:
    # Imported here, because OpenCV is slow to import and `steelbench --help` does not need it.
    from steelbench.data.corruptions import CORRUPTIONS, VERSION

    if any(record.version != VERSION for _, record in measured):
        return []
    return [(row.title, row.unit, row.amounts, row.source) for row in CORRUPTIONS.values()]


def _headline(measured: Sequence[tuple[Row, Robustness]], titles: dict[str, str]) -> str:
    """Return a sentence on the best row: what hurts first, and what does not hurt at any strength."""
    row, record = measured[0]
    safe = [titles[own.corruption] for own in record.results if own.hurts_from is None]
    first = f"{row_label(row)} is hurt first by {first_words(record)}." if record.first else ""
    unhurt = f" Not shown to hurt at any strength: {join(safe)}." if safe else ""
    return (first + unhurt).strip()
