"""Format numbers and the names of rows as text for the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steelbench.records import OWN_SPLIT, Row, SplitSummary

NOTHING = "–"
# Labels of the methods of rows without a network, whose backbone is `none`.
BASELINES = {"majority": "majority class", "hog": "HOG + linear SVM"}


def is_majority(row: Row) -> bool:
    """Return whether a row is that of the majority class, which is no model."""
    return row.backbone == "none" and row.method == "majority"


def is_untrained(row: Row) -> bool:
    """Return whether a row's backbone has random weights that nothing trained."""
    return row.weights == "random" if row.untrained is None else row.untrained


def backbone_label(row: Row) -> str:
    """Return the name of the backbone; `no network` for `none`."""
    return "no network" if row.backbone == "none" else row.backbone


def method_label(row: Row) -> str:
    """Return the name of the method; the label in `BASELINES` of a row without a network."""
    return BASELINES.get(row.method, row.method) if row.backbone == "none" else row.method


def row_label(row: Row) -> str:
    """Return `backbone + method`, with the variant if there is one; without a network `method (no network)`."""
    return (
        f"{method_and_variant(row)} (no network)"
        if row.backbone == "none"
        else f"{row.backbone} + {method_and_variant(row)}"
    )


def split_label(split: SplitSummary) -> str:
    """Return `grouped split`, `the data's own split` and the like."""
    others = {OWN_SPLIT: "the data's own split", "regroup": "grouped split over all parts of the data"}
    return others.get(split.kind, f"{split.kind} split")


def method_and_variant(row: Row) -> str:
    """Return method and variant, which together tell a row from the others of its backbone."""
    return " ".join(filter(None, (method_label(row), row.variant)))


def shorten(text: str, length: int = 28) -> str:
    """Return one line of at most `length` characters, cut in the middle because names often differ at their ends."""
    line = re.sub(r"\s+", " ", "".join(c if c.isprintable() else " " for c in text)).strip()
    if len(line) <= length:
        return line
    tail = (length - 1) // 2
    return f"{line[: length - 1 - tail]}…{line[-tail:]}"


def number(value: float | None, digits: int = 1, scale: float = 1.0) -> str:
    """Return `value / scale` with `digits` decimals and thin spaces between thousands; a dash for None."""
    return NOTHING if value is None else f"{value / scale:,.{digits}f}".replace(",", "\u202f")


def percent(value: float | None) -> str:
    """Return a share in 0..1 as `99.4 %`; never rounded up to a perfect score. A dash for None."""
    return NOTHING if value is None else f"{_points(value)} %"


def limits(low: float | None, high: float | None) -> str:
    """Return an interval in 0..1 as `[97.9, 99.8]`, per cent; "" if a limit is None."""
    return "" if low is None or high is None else f"[{_points(low)}, {_points(high)}]"


def interval(row: Row) -> str:
    """Return the `limits` of a row's accuracy."""
    return limits(row.accuracy_low, row.accuracy_high)


def p_value(value: float | None) -> str:
    """Return `p = 0.031` or `p < 0.001`; "" for None."""
    if value is None:
        return ""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def points(difference: float) -> str:
    """Return a difference of two shares in 0..1 as percentage points, `2.3 points`."""
    return f"{100 * difference:.1f} points"


def _points(share: float) -> str:
    text = f"{100 * share:.1f}"
    return f"{min(100 * share, 99.99):.2f}" if text == "100.0" and share < 1 else text


def threshold(value: float) -> str:
    """Return a least confidence without rounding it to another one of the grid: `0.65`, `0.9841511`."""
    return f"{value:.7g}"


def flatten(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each leaf of a nested dict as (`outer.inner`, text); a dash for None and ""."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            text = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            yield f"{prefix}{key}", NOTHING if inner is None or text == "" else text


def count(number: int, noun: str) -> str:
    """Return `1 group`, `3 groups`, `2 classes`."""
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def join(parts: Sequence[str]) -> str:
    """Return `a`, `a and b` or `a, b and c`; at least one part."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
