"""The rows of a CSV file with a header, however it was exported where that is certain."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from steelbench.data.layouts.decoding import decoded
from steelbench.data.layouts.folders import listed
from steelbench.data.quoting import cut
from steelbench.errors import SteelbenchError
from steelbench.files import read_file

MAX_BYTES = 256 * 1024 * 1024
MOST_NAMED = 10  # columns, in a sentence
DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def csv_rows(path: Path, columns: set[str], more: Collection[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Return the named columns of each row, "" where it is too short, with the number of the line that it ends on.

    It is decoded as `decoded` says; the delimiter is the one that makes the first line name the columns.

    Args:
        path: of the table.
        columns: that its first line must name; `Path` and `PATH` name the column `path`, too.
        more: columns that it may name, in the same way.

    Raises:
        SteelbenchError: if it is no text, or its first line lacks a column.
    """
    text = _text(path)
    # Excel writes and obeys a first line `sep=;`.
    excel = re.match(r"sep=(.)\r?\n", text)
    start = excel.end() if excel else 0
    delimiter = excel[1] if excel else _delimiter(text, columns)
    try:
        lines = csv.reader(io.StringIO(text[start:], newline=""), delimiter=delimiter)
        known = {*columns, *more}
        found = _plain(next(lines, []), known)
        gone = sorted(columns - set(found))
        if gone:
            raise SteelbenchError(
                f"{path} lacks the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}; "
                f"its first line must name {', '.join(sorted(columns))}, with a comma, semicolon or tab between. "
                f"It names: {listed(list(map(cut, found)), MOST_NAMED) or 'nothing'}."
            )
        places = {name: place for place, name in enumerate(found) if name in known}
        return [
            (
                lines.line_num + bool(excel),
                {name: row[place].strip() if place < len(row) else "" for name, place in places.items()},
            )
            for row in lines
            if row
        ]
    except csv.Error as error:
        raise _refused(path, str(error)) from None


def _plain(names: Iterable[str], known: set[str]) -> list[str]:
    """Return column names without spaces around them, and those that differ from a known one by case as that one.

    Where a table names both, as `group` and `Group`, each stays as it is.
    """
    found = [name.strip() for name in names]
    meant = {name.lower(): name for name in known - set(found)}
    spelled = Counter(name.lower() for name in found)
    return [meant.get(name.lower(), name) if spelled[name.lower()] == 1 else name for name in found]


def other_delimiter(cell: str) -> str | None:
    """Return the words for a delimiter, no comma, that stands in a cell, as in rows exported unlike the header."""
    return next((words for mark, words in DELIMITERS.items() if mark != "," and mark in cell), None)


def _delimiter(text: str, columns: set[str]) -> str:
    """Return the delimiter that makes the first line name all columns; a comma if none does."""
    first = text[: 1 << 16]
    for mark in DELIMITERS:
        try:
            names = next(csv.reader(io.StringIO(first, newline=""), delimiter=mark), [])
        except csv.Error:
            continue
        if columns <= set(_plain(names, columns)):
            return mark
    return ","


def _text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise _refused(path, f"it has {size} bytes, more than the {MAX_BYTES} that are read")
    try:
        data = read_file(path, MAX_BYTES)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    try:
        return decoded(data)
    except ValueError as error:
        raise _refused(path, str(error)) from None


def _refused(path: Path, why: str) -> SteelbenchError:
    return SteelbenchError(f"{path} is no CSV file in UTF-8 ({why}); save it as one and run again.")
