"""How the report says things: numbers as text, names of rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steelbench.records import Row

NOTHING = "–"
# Rows without a network have the backbone `none`; this says what their methods are.
BASELINES = {"majority": "majority class", "hog": "HOG + linear SVM"}


def is_majority(row: Row) -> bool:
    """Return whether this is the row of the majority class, which is no model."""
    return row.backbone == "none" and row.method == "majority"


def is_untrained(row: Row) -> bool:
    """Return whether a row's backbone has random weights that nothing trained."""
    return row.weights == "random" if row.untrained is None else row.untrained


def backbone_label(row: Row) -> str:
    """The backbone, `no network` for `none`."""
    return "no network" if row.backbone == "none" else row.backbone


def method_label(row: Row) -> str:
    """The method; of a row without a network what it is."""
    return BASELINES.get(row.method, row.method) if row.backbone == "none" else row.method


def row_label(row: Row) -> str:
    """`backbone + method`, and the variant if there is one; without a network `method (no network)`."""
    return f"{variety(row)} (no network)" if row.backbone == "none" else f"{row.backbone} + {variety(row)}"


def variety(row: Row) -> str:
    """What tells a row from its backbone's others: method and variant."""
    return " ".join(filter(None, (method_label(row), row.variant)))


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


def limits(low: float | None, high: float | None) -> str:
    """An interval in 0..1 as `[97.9, 99.8]`; nothing if it is not known."""
    return "" if low is None or high is None else f"[{_points(low)}, {_points(high)}]"


def interval(row: Row) -> str:
    """The accuracy's `limits`."""
    return limits(row.accuracy_low, row.accuracy_high)


def p_value(value: float | None) -> str:
    """`p = 0.031`, `p < 0.001`; nothing for None."""
    if value is None:
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def points(difference: float) -> str:
    """A difference of shares in 0..1 as percentage points, `2.3 points`."""
    return f"{100 * difference:.1f} points"


def _points(share: float) -> str:
    text = f"{100 * share:.1f}"
    return f"{min(100 * share, 99.99):.2f}" if text == "100.0" and share < 1 else text


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of a nested dict as (`outer.inner`, text)."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            text = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            yield f"{prefix}{key}", NOTHING if inner is None or text == "" else text


def count(number: int, noun: str) -> str:
    """Return `1 group`, `3 groups`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def join(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
