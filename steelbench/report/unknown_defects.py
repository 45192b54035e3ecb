"""What the report says of unknown defects: rows that were tested with them, rows that were not, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steelbench.records import Row, ScoreName

# In the order of the columns.
LABELS: dict[ScoreName, str] = {
    "max_probability": "Largest probability",
    "energy": "Energy",
    "mahalanobis": "Mahalanobis distance",
    "knn": "Distance to neighbours",
}


def unknown_defects(models: Sequence[Row]) -> dict[str, Any]:
    """Return what the section draws, from the rows' records.

    Args:
        models: the ranked rows, best first.

    Returns:
        rows: those that were measured, most apart first; passed: those that could not be, by reason; missing: networks
        without a record; labels: of the scores.
    """
    tested = [row for row in models if row.unknown and row.unknown.best]
    passed: dict[str, list[Row]] = {}
    for row in models:
        if row.unknown and row.unknown.reason:
            passed.setdefault(row.unknown.reason, []).append(row)
    return {
        "rows": sorted(tested, key=_best_auroc, reverse=True),
        "passed": passed,
        "missing": [row for row in models if row.unknown is None and row.backbone != "none"],
        "labels": LABELS,
    }


def _best_auroc(row: Row) -> float:
    record = row.unknown
    return record.mean[record.best].auroc if record and record.best else 0.0
