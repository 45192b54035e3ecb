"""What the cost section of the page shows: a line for each row and engine, and what the line calculator needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import JsonValue

from steelbench.evaluation.line import CANDIDATES, LINES, PEAK_FACTOR, TILE
from steelbench.records import Cost, EngineTime, Row
from steelbench.report import formatting

# A time counts as disturbed where other programs used more than this share of the cores, or where the slowest images
# took so many times as long as the median.
OTHERS, SLOWEST = 0.1, 2.0


def cost_context(models: Sequence[Row], environment: Mapping[str, JsonValue] | None) -> dict[str, Any]:
    """Return the names that the template `_cost.html.j2` uses.

    Args:
        models: the ranked rows, best first.
        environment: of `environment.json`; None if it could not be read.
    """
    costed = [(row, row.cost, time) for row in models if row.cost for time in row.cost.times]
    return {
        "costed": costed,
        "could_be_timed": any(row.model for row in models),
        "not_timed": [(row, row.cost.problem) for row in models if row.cost and row.cost.problem],
        "noisy_times": _noise(costed),
        "processors": list(dict.fromkeys(cost.processor for _, cost, _ in costed if cost.processor)),
        "line_data": _line_data(costed, environment),
    }


def _noise(costed: Sequence[tuple[Row, Cost, EngineTime]]) -> str:
    """Return a sentence on times that other programs disturbed; "" if there are none."""
    noisy = [time for _, _, time in costed if time.others > OTHERS or time.ms_p99 > SLOWEST * time.ms_p50]
    if not noisy:
        return ""
    others = max(time.others for time in noisy)
    worst = max(time.ms_p99 / time.ms_p50 for time in noisy)
    return (
        f"{len(noisy)} of {formatting.count(len(costed), 'time')} may be too long: other programs used up to "
        f"{formatting.percent(others)} of the cores meanwhile, and the slowest images took up to {worst:.1f} times the "
        "median. Delete the folder cost/ and run the same command again on a machine that does nothing else."
    )


def _line_data(
    costed: Sequence[tuple[Row, Cost, EngineTime]], environment: Mapping[str, JsonValue] | None
) -> dict[str, Any]:
    several = len({time.engine for _, _, time in costed}) > 1
    cores = (environment or {}).get("cores")
    return {
        "lines": [asdict(line) for line in LINES],
        "tile": TILE,
        "rate": CANDIDATES,
        "peak": PEAK_FACTOR,
        "cores": cores if isinstance(cores, int) else max((time.threads for _, _, time in costed), default=1),
        "rows": [
            {
                "label": formatting.row_label(row) + (f", {time.engine}" if several else ""),
                "threads": time.threads,
                "images_per_second": time.images_per_second,
            }
            for row, _, time in costed
        ],
    }
