"""The outcome of a command, for the leaderboard beside the run records: data, split, failures, notices, weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelbench.records import DatasetSummary, Notice, RunKey, SplitSummary, Summary


@dataclass(frozen=True)
class RunOutcome:
    """Result of one `steelbench run`, without the run records.

    Attributes:
        dataset: the images.
        split: how they were divided.
        failures: the reason of every run that failed.
        notices: of data, splits, weights and training.
        weights: kind of weights by backbone, for rows of which every run failed.
        root: the data folder.
        labels: class of each image, by its path.
        silenced: codes of notices that terminal and report leave out.
        kept: of an earlier command, where nothing was run or measured since; only what is drawn from it is damaged.
        none_class: the class of sound material; "" for none.
    """

    dataset: DatasetSummary
    split: SplitSummary
    failures: dict[RunKey, str] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    weights: dict[str, str] = field(default_factory=dict)
    root: Path = Path()
    labels: Mapping[str, str] = field(default_factory=dict)
    silenced: Sequence[str] = ()
    kept: Summary | None = None
    none_class: str = ""
