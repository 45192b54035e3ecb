"""What the parent tells a worker, and what a worker tells back; plain records, no TensorFlow."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from steelbench.data.splits import Split
from steelbench.results import Record

CALIBRATION_IMAGES = 32


class ImageRef(Record):
    """An image: its path below the data folder, its class number, the sha256 of its bytes, its group's number."""

    path: str
    label: int
    digest: str
    group: int = 0


class SplitRef(Record):
    """The split of one seed and fold, as indices of `Job.images`."""

    seed: int
    fold: int
    train: list[int]
    validation: list[int]
    test: list[int]

    @classmethod
    def of(cls, split: Split, seed: int, fold: int) -> Self:
        """A split as plain lists."""
        parts = {name: getattr(split, name).tolist() for name in ("train", "validation", "test")}
        return cls(seed=seed, fold=fold, **parts)

    @property
    def split(self) -> Split:
        """As arrays."""
        return Split(*(np.array(part, np.int64) for part in (self.train, self.validation, self.test)))


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
    augment: str = "none"


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
    naive: SplitRef | None = Field(None, description="a random split, to show what leaking does to accuracy")
    tasks: list[Task]
    homogenize: str = "none"
    limit: int | None = Field(None, description="see only so many images, to measure the rate")

    @property
    def own_split(self) -> Split:
        """The split of its tasks; where brightness is homogenised they all have one, because it sets the mean."""
        return next(
            ref for ref in self.splits if (ref.seed, ref.fold) == (self.tasks[0].seed, self.tasks[0].fold)
        ).split

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
