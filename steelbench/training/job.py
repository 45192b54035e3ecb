"""What the parent tells a worker, and what a worker tells back; plain records, no TensorFlow."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from pydantic import Field

from steelbench.results import Record

CALIBRATION_IMAGES = 64


class ImageRef(Record):
    """An image: its path below the data folder, its class number, the sha256 of its bytes."""

    path: str
    label: int
    digest: str


class SplitRef(Record):
    """The split of one seed and fold, as indices of `Job.images`."""

    seed: int
    fold: int
    train: list[int]
    validation: list[int]
    test: list[int]


class Task(Record):
    """One experiment of the job; `offered` ones are saved as a whole `.h5`."""

    method: str
    variant: str
    seed: int
    fold: int
    settings: dict[str, Any]
    fingerprint: str
    name: str
    run_name: str
    offered: bool


class Job(Record):
    """Everything that one backbone's process needs."""

    results: str
    cache: str
    data_root: str
    bit_depth: int | None
    backbone: str
    image_size: int
    origin: dict[str, str]
    engine: str
    precision: str
    verify: Literal["sample", "full"]
    track: bool
    classes: list[str]
    images: list[ImageRef]
    splits: list[SplitRef]
    tasks: list[Task]
    limit: int | None = Field(None, description="see only so many images, to measure the rate")

    @property
    def calibration_rows(self) -> list[int]:
        """The training images that fresh BatchNorm statistics come from."""
        train = np.array(self.splits[0].train, np.int64)
        return np.sort(np.random.default_rng(0).permutation(train)[:CALIBRATION_IMAGES]).tolist()

    @property
    def calibration_digest(self) -> str:
        """Stands for their contents in the cache's key."""
        digests = "".join(self.images[row].digest for row in self.calibration_rows)
        return hashlib.sha256(digests.encode()).hexdigest()[:16]


class Event(Record):
    """A line from a worker.

    progress of a step; a note for the reader; a task that is done or has failed; ready to see images, which it does
    when it is its turn; extracted, when it has seen them.
    """

    kind: Literal["progress", "note", "done", "failed", "ready", "extracted"]
    text: str = ""
    step: str = ""
    done: int = 0
    total: int = 0
