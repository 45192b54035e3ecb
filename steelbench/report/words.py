"""How the report says things: numbers as text, names of rows, and the sentence that concludes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from steelbench.report.records import is_majority
from steelbench.results import Row, Summary

NOTHING = "–"


def row_label(row: Row) -> str:
    """`backbone + method`, and the variant if there is one."""
    return f"{row.backbone} + {variety(row)}"


def variety(row: Row) -> str:
    """What tells a row from its backbone's others: method and variant."""
    return " ".join(filter(None, (row.method, row.variant)))


def shorten(text: str, length: int = 28) -> str:
    """One line of at most `length` characters, cut in the middle: names often differ at their ends."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    if len(line) <= length:
        return line
    tail = (length - 1) // 2
    return f"{line[: length - 1 - tail]}…{line[-tail:]}"


def number(value: float | None, digits: int = 1, scale: float = 1.0) -> str:
    """`value / scale` with `digits` decimals and thin thousands; a dash for None."""
    return NOTHING if value is None else f"{value / scale:,.{digits}f}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """A share in 0..1 as `99.4 %`; never rounded up to a perfect score."""
    return NOTHING if value is None else f"{_points(value)} %"


def interval(row: Row) -> str:
    """`[97.9, 99.8]`, or nothing if the row has no interval."""
    if row.accuracy_low is None or row.accuracy_high is None:
        return ""
    return f"[{_points(row.accuracy_low)}, {_points(row.accuracy_high)}]"


def _points(share: float) -> str:
    text = f"{100 * share:.1f}"
    return f"{min(100 * share, 99.99):.2f}" if text == "100.0" and share < 1 else text


def flatten(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a nested dict as (`outer.inner`, text)."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            text = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            yield f"{prefix}{key}", NOTHING if inner is None or text == "" else text


def join(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def overlaps(row: Row, other: Row) -> bool:
    """Whether the two accuracy intervals share a point; a missing interval is its accuracy alone."""
    (low, high), (other_low, other_high) = _bounds(row), _bounds(other)
    return low <= other_high and other_low <= high


def _bounds(row: Row) -> tuple[float, float]:
    middle = row.accuracy or 0.0
    return (
        middle if row.accuracy_low is None else row.accuracy_low,
        middle if row.accuracy_high is None else row.accuracy_high,
    )


def conclusion(summary: Summary) -> str:
    """What the rows show, in one sentence, and what takes from it in others.

    A row is called best only if no other row's interval overlaps its own.
    """
    models = [row for row in summary.rows if not is_majority(row)]
    done = [row for row in models if row.status == "done" and row.accuracy is not None]
    failed = len(models) - len(done)
    failures = f" {failed} {'row' if failed == 1 else 'rows'} failed." if failed else ""
    if not done:
        return "No experiment finished, so there is nothing to conclude." + failures
    best = max(done, key=lambda row: row.accuracy or 0.0)
    rivals = [row for row in done if row is not best]
    return _verdict(best, rivals) + _against_majority(best, summary) + _untrained(best) + failures


def _verdict(best: Row, rivals: list[Row]) -> str:
    images = "" if best.n_test is None else f" on {best.n_test} test images"
    score = " ".join(filter(None, (percent(best.accuracy), interval(best)))) + images
    if not rivals:
        return f"{row_label(best)} reaches {score}; it is the only finished row, so nothing is compared."
    near = [row for row in rivals if overlaps(best, row)]
    if not near:
        return f"Best: {row_label(best)}, {score}; no other row's interval overlaps."
    named = join([row_label(row) for row in near]) if len(near) <= 2 else f"{len(near)} other rows"
    possessive = f"the interval of {named} overlaps" if len(near) == 1 else f"the intervals of {named} overlap"
    return f"Highest: {row_label(best)}, {score}; {possessive} it, so this data set does not separate them."


def _against_majority(best: Row, summary: Summary) -> str:
    majority = next((row for row in summary.rows if is_majority(row)), None)
    if majority is None or majority.accuracy is None or _bounds(best)[0] > majority.accuracy:
        return ""
    return f" It is not shown to beat always naming the largest class ({percent(majority.accuracy)})."


def _untrained(best: Row) -> str:
    if best.weights != "random":
        return ""
    return " Its backbone is untrained (random weights): this number says nothing about transfer learning."
