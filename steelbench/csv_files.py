"""Write and read tables as CSV; no cell of a table is a formula where a spreadsheet opens it.

A text that a spreadsheet would compute (`=cmd()`, `@SUM(1)`) is written with an apostrophe before it, which a
spreadsheet takes for "text"; reading takes it away again. Numbers and all other text are written as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelbench.files import MAX_BYTES, open_text, whole_file

# What begins a formula, also in the wide forms of East Asian keyboards. Apostrophes before it are counted, so that a
# name that has one keeps it.
FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
ESCAPED = re.compile("'+[=+\\-@\t\r\n＝＋－＠]")
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
MAX_ROWS = 5_000_000


def escaped(cell: Any) -> Any:
    """Return a cell as it is written: a text that a spreadsheet would compute gets an apostrophe before it."""
    if not isinstance(cell, str) or not FORMULA.match(cell) or NUMBER.fullmatch(cell):
        return cell
    return f"'{cell}"


def unescaped(cell: str) -> str:
    """Return the text of a cell that `escaped` made; any other as it is."""
    return cell[1:] if ESCAPED.match(cell) else cell


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table with a header line, lines ending in `\\n`."""
    return "".join(_lines(columns, rows))


def csv_line(cells: Sequence[Any]) -> str:
    """Return cells as a line that ends in `\n`; one that holds a line end of any system stands in quotes."""
    return next(_as_lines([cells]))


def _lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield csv_line(columns)
    yield from _as_lines([escaped(cell) for cell in row] for row in rows)


def _as_lines(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    text = io.StringIO(newline="")
    # The writer puts a cell into quotes that holds a character of its line end, and forgets about `\r` with `\n` alone.
    writer = csv.writer(text, lineterminator="\r\n")
    for cells in rows:
        text.seek(0)
        text.truncate()
        writer.writerow(cells)
        yield f"{text.getvalue()[:-2]}\n"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table line by line, whole or not at all, in UTF-8.

    Args:
        path: of the file.
        columns: names for the first line.
        rows: cells in the order of the columns; text is `escaped`.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(_lines(columns, rows))


def read_csv(path: Path, *, most_rows: int = MAX_ROWS, errors: str = "strict") -> list[dict[str, str]]:
    """Return the lines of a table by column; a cell that is missing is "".

    Args:
        path: of a file that `write_csv` wrote.
        most_rows: lines below the header.
        errors: what becomes of bytes that are no UTF-8, as for `bytes.decode`.

    Raises:
        OSError: if it is missing, no regular file, or too large.
        ValueError: if it is no CSV in UTF-8, or has more lines.
    """
    return list(iterate_csv(path, most_rows=most_rows, errors=errors))


def iterate_csv(
    path: Path, *, most_rows: int = MAX_ROWS, most_bytes: int = MAX_BYTES, errors: str = "strict"
) -> Iterator[dict[str, str]]:
    """Yield the lines of a table as `read_csv`, which is read in blocks: a million lines as dictionaries take 1 GB.

    Args:
        path: of a file that `write_csv` wrote.
        most_rows: lines below the header.
        most_bytes: of the file.
        errors: what becomes of bytes that are no UTF-8, as for `bytes.decode`.

    Raises:
        OSError: as `read_csv`, when the first line is asked for, or while it is read.
        ValueError: as `read_csv`, while it is read.
    """
    with open_text(path, most_bytes, errors=errors) as text:
        yield from _dictionaries(text, most_rows)


def read_csv_text(text: str, *, most_rows: int = MAX_ROWS) -> list[dict[str, str]]:
    """Return the lines of a table by column, as `read_csv`.

    Raises:
        ValueError: as `read_csv`.
    """
    return list(_dictionaries(io.StringIO(text, newline=""), most_rows))


def _dictionaries(text: Iterable[str], most_rows: int) -> Iterator[dict[str, str]]:
    try:
        for number, line in enumerate(csv.DictReader(text, restval="")):
            if number == most_rows:
                raise ValueError(f"it has more than {most_rows} lines")
            yield _plain(line)
    except csv.Error as error:
        raise ValueError(str(error)) from None


def _plain(line: Mapping[str | Any, str | Any]) -> dict[str, str]:
    # Cells beyond the header stand under None.
    return {name: unescaped(cell) for name, cell in line.items() if isinstance(name, str)}
