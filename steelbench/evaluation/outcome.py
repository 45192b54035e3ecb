"""The outcome of a command, for the leaderboard beside the run records: data, split, failures, notices, weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from steelbench.records import Notice, RunKey


@dataclass(frozen=True)
class RunOutcome:
    """Result of one `steelbench run`, without the run records.

    Attributes:
        dataset: as in `Summary`.
        split: as in `Summary`.
        failures: the reason of every run that failed.
        notices: of data, splits, weights and training.
        weights: kind of weights by backbone, for rows of which every run failed.
    """

    dataset: dict[str, Any]
    split: dict[str, Any]
    failures: dict[RunKey, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
