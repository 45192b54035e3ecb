"""The record of what one model costs: RESULTS/cost/<name>.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from steelbench.records.base import Count, Record, Share

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def cost_file(results: Path, name: str) -> Path:
    """Return the path of the record of a row's cost in a results folder."""
    return results / "cost" / f"{name}.json"


class EngineTime(Record):
    """How long one engine takes on this machine, from decoded pixels to probabilities.

    Each image goes alone for the milliseconds, in batches for the images per second.
    """

    engine: str = Field(description="a row of `ENGINES`")
    precision: str
    device: str = Field(description="CPU or GPU")
    threads: int = Field(ge=1, description="cores that the process may use, and threads of the engine")
    batch: int = Field(ge=1, description="images per batch")
    repetitions: int = Field(ge=1, description="images that were timed one by one, after the warm-up")
    ms_p50: Positive = Field(description="median for one image")
    ms_p99: Positive
    ms_mad: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(description="median absolute deviation")
    images_per_second: Positive
    others: Share = Field(description="of the machine's cores that other programs used meanwhile")


class Cost(Record):
    """What the model of seed 0, fold 0 costs."""

    fingerprint: str = Field(description="of its run; a cost of another run is not read")
    multiply_adds: Count | None = Field(None, description="for one image; None where a layer is of an unknown kind")
    memory_bytes: Count | None = Field(
        None, description="of weights and of one image's activations, float32, estimated"
    )
    processor: str = Field("", description="of the machine that it was timed on")
    times: list[EngineTime] = Field(default_factory=list)
    problem: str = Field("", description="why it was not timed")
