"""The rows of a CSV file with a header."""

from __future__ import annotations

import csv
from pathlib import Path

from steelbench.errors import SteelbenchError


def csv_rows(path: Path, columns: set[str]) -> list[tuple[int, dict[str, str]]]:
    """Return each row with the number of the line that it ends on."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            found = [name.strip() for name in table.fieldnames or []]
            gone = sorted(columns - set(found))
            if gone:
                raise SteelbenchError(
                    f"{path} lacks the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}; "
                    f"its first line must name {', '.join(sorted(columns))}. It names: {', '.join(found) or 'nothing'}."
                )
            table.fieldnames = found
            return [
                (table.line_num, {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)})
                for row in table
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise SteelbenchError(f"{path} is no CSV file in UTF-8 ({error}); save it as one and run again.") from None
