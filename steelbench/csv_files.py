"""Write and read tables as CSV; no cell of a table is a formula where a spreadsheet opens it.

A text that a spreadsheet would compute (`=cmd()`, `@SUM(1)`) is written with an apostrophe before it, which a
spreadsheet takes for "text"; reading takes it away again. Numbers and all other text are written as they are.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelbench.files import read_text, write_text

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
    return "".join([csv_line(columns), *(csv_line([escaped(cell) for cell in row]) for row in rows)])


def csv_line(cells: Sequence[Any]) -> str:
    """Return cells as a line that ends in `\n`; one that holds a line end of any system stands in quotes."""
    text = io.StringIO(newline="")
    # The writer puts a cell into quotes that holds a character of its line end, and forgets about `\r` with `\n` alone.
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return f"{text.getvalue()[:-2]}\n"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table, whole or not at all, in UTF-8.

    Args:
        path: of the file.
        columns: names for the first line.
        rows: cells in the order of the columns; text is `escaped`.
    """
    write_text(path, csv_text(columns, rows))


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
    return read_csv_text(read_text(path, errors=errors), most_rows=most_rows)


def read_csv_text(text: str, *, most_rows: int = MAX_ROWS) -> list[dict[str, str]]:
    """Return the lines of a table by column, as `read_csv`.

    Raises:
        ValueError: as `read_csv`.
    """
    found: list[dict[str, str]] = []
    try:
        for line in csv.DictReader(io.StringIO(text, newline=""), restval=""):
            if len(found) == most_rows:
                raise ValueError(f"it has more than {most_rows} lines")
            found.append(_plain(line))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    return found


def _plain(line: Mapping[str | Any, str | Any]) -> dict[str, str]:
    # Cells beyond the header stand under None.
    return {name: unescaped(cell) for name, cell in line.items() if isinstance(name, str)}
