"""What a reader must know before believing a number, found in the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steelbench.results import Notice, Row


def doubts(rows: Sequence[Row], split: dict[str, Any]) -> Iterator[Notice]:
    """Every doubt about a finished row."""
    majority = next((row.accuracy for row in rows if row.method == "majority"), None)
    untrained = sorted({row.backbone for row in rows if row.weights == "random"})
    if untrained:
        yield Notice(
            level="serious",
            text=f"{', '.join(untrained)}: the weights are random. These networks never saw a picture before; the "
            "numbers say nothing about the backbones as people use them. With the files that `steelbench weights list` "
            "names in --weights-dir, run again with --weights imagenet.",
        )
    for row in rows:
        if row.status != "done" or row.backbone == "none":
            continue
        if majority is not None and row.accuracy_low is not None and row.accuracy_low <= majority:
            yield Notice(
                level="serious",
                row=row.name,
                text=f"accuracy {row.accuracy:.1%} is not above the majority class ({majority:.1%}): it has learned "
                "nothing. Wrong pixel range, learning rate or labels are the usual causes.",
            )
