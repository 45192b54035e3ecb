"""Messages between the parent process and its workers: jobs with their data and tasks, events. No TensorFlow."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from steelbench.data.splits import Split
from steelbench.features.spec import CALIBRATION_IMAGES, ExtractionRequest, ImageRef, Part
from steelbench.records import Notice, Record, RunKey, read_record

# Beside the jobs' files: `RunData`, which all of them share.
DATA_FILE = "data.json"


class SplitRef(Record):
    """The split of one seed and fold, as rows of `RunData.images`."""

    seed: int
    fold: int
    train: list[int]
    validation: list[int]
    test: list[int]

    @classmethod
    def of(cls, split: Split, seed: int, fold: int) -> Self:
        """Return a split as plain lists."""
        parts = {name: getattr(split, name).tolist() for name in ("train", "validation", "test")}
        return cls(seed=seed, fold=fold, **parts)

    @property
    def split(self) -> Split:
        """Return it as arrays."""
        return Split(*(np.array(part, np.int64) for part in (self.train, self.validation, self.test)))


class Unlabelled(Record):
    """Images without labels that may join the training images.

    Attributes:
        images: their `group` is counted over labelled and unlabelled images together: images that share pixels,
            directly or along a chain, have one number.
        ties: the same group number of each labelled image.
        folder: that holds them.
        confidence: least probability of a pseudo-label, 0.5 to 1.
    """

    images: list[ImageRef]
    ties: list[int]
    confidence: float
    folder: str = ""


class RunData(Record):
    """Images and splits of a run, the same for all of its jobs and baselines.

    Attributes:
        root: the data folder.
        bit_depth: used bits of 16-bit files; None for all.
        classes: names; a label is an index of them.
        images: with labels.
        splits: one for each seed and fold.
        naive: a random split that ignores what images share; None where it would tell nothing.
        unlabelled: images for pseudo-labels; None without `--unlabelled`.
    """

    root: str
    bit_depth: int | None
    classes: list[str]
    images: list[ImageRef]
    splits: list[SplitRef]
    naive: SplitRef | None = None
    unlabelled: Unlabelled | None = None

    @property
    def labels(self) -> NDArray[np.int64]:
        """Return the class number of each labelled image, int64 [N]."""
        return np.array([image.label for image in self.images], np.int64)

    @property
    def groups(self) -> NDArray[np.int64]:
        """Return the group of each labelled image, int64 [N]; numbered together with unlabelled images, if any."""
        given = self.unlabelled
        return np.array([image.group for image in self.images] if given is None else given.ties, np.int64)

    @property
    def everything(self) -> list[ImageRef]:
        """Return the labelled images, then those without labels."""
        return [*self.images, *(self.unlabelled.images if self.unlabelled else ())]

    def split_of(self, key: RunKey) -> Split:
        """Return the split of a run's seed and fold."""
        return next(ref.split for ref in self.splits if (ref.seed, ref.fold) == (key.seed, key.fold))

    @property
    def calibration_rows(self) -> list[int]:
        """Return the training images from which random weights take their BatchNorm statistics."""
        train = np.array(self.splits[0].train, np.int64)
        return np.sort(np.random.default_rng(0).permutation(train)[:CALIBRATION_IMAGES]).tolist()

    @property
    def calibration_digest(self) -> str:
        """Return the digest that stands for their content in the cache's key."""
        digests = "".join(self.images[row].digest for row in self.calibration_rows)
        return hashlib.sha256(digests.encode()).hexdigest()[:16]


class Task(Record):
    """One run of a job.

    Attributes:
        key: the run.
        settings: of the method.
        fingerprint: of everything that decides the outcome.
        offered: whether the whole model is saved as an `.h5`; of seed 0 and fold 0.
        augment: preset of the augmentation, a row of `AUGMENTATIONS`.
    """

    key: RunKey
    settings: dict[str, Any]
    fingerprint: str
    offered: bool
    augment: str = "none"


class Job(Record):
    """All runs of one backbone or ensemble, which one worker process does on shared features.

    Attributes:
        results: the results folder.
        cache: the cache folder.
        parts: its networks, more than one for an ensemble, whose features are concatenated.
        engine: auto, keras or openvino.
        precision: float32, bfloat16 or float16.
        verify: how many test images a saved model is verified with.
        track: write curves for TensorBoard.
        tasks: the runs; none for a job that only measures.
        beside: runs of the same backbone that another process does.
        unknown: runs of seed 0, fold 0, done or among the tasks, whose rows are tested with unknown defects.
        homogenize: none, global or image; if not none, all tasks have one split, which decides the brightness.
        limit: extract features of only so many images, to measure the rate; None for all.
        gpus: that its worker has to itself, by their names in `CUDA_VISIBLE_DEVICES`; none where workers share what
            the machine has.
        data: images and splits; in a file of their own, see `read_job`.
    """

    results: str
    cache: str
    parts: list[Part] = Field(min_length=1)
    engine: str
    precision: str
    verify: Literal["sample", "full"]
    track: bool
    tasks: list[Task]
    beside: list[Task] = Field(default_factory=list)
    unknown: list[Task] = Field(default_factory=list)
    homogenize: str = "none"
    limit: int | None = None
    gpus: list[str] = Field(default_factory=list)
    data: RunData = Field(exclude=True, repr=False)

    @property
    def backbone(self) -> str:
        """Return its name, as in `Experiment.backbone`."""
        return "+".join(part.backbone for part in self.parts)

    @property
    def image_size(self) -> int:
        """Return the side of the square that its networks see, pixels; the largest if they differ."""
        return max(part.image_size for part in self.parts)

    def alone(self, part: Part) -> Self:
        """Return the job of one of its networks."""
        return self.model_copy(update={"parts": [part]})

    @property
    def own_split(self) -> Split:
        """Return the split that decides the brightness: that of its tasks, the first of all for a job without tasks."""
        return self.data.split_of(self.tasks[0].key) if self.tasks else self.data.splits[0].split

    def extraction_request(self, brightness: float) -> ExtractionRequest:
        """Return what its frozen encoders are asked for.

        Args:
            brightness: mean of the training images, 0..255; not used if `homogenize` is none.
        """
        return ExtractionRequest(
            images=self.data.everything,
            labelled=len(self.data.images),
            root=Path(self.data.root),
            cache=Path(self.cache),
            bit_depth=self.data.bit_depth,
            engine=self.engine,
            precision=self.precision,
            homogenize=self.homogenize,
            brightness=brightness,
            calibration_rows=self.data.calibration_rows,
            calibration_digest=self.data.calibration_digest,
            limit=self.limit,
        )


def read_job(path: Path) -> Job:
    """Read a job. Its file lacks `data`, which are in `DATA_FILE` beside it, once for all jobs of a run."""
    data = read_record(path.parent / DATA_FILE, RunData)
    return Job.model_validate({**json.loads(path.read_bytes()), "data": data})


class Event(Record):
    """A line from a worker.

    Attributes:
        kind: progress of a step; a notice for the reader of the results; a run that is done or failed; ready, when the
            worker waits for its turn to compute features; extracted, when it has all features.
        run: name of the run that is done or failed.
        text: the reason of failure.
        notice: for the reader of the results.
        step: name of the step.
        done: images or runs done.
        total: of the same.
    """

    kind: Literal["progress", "notice", "done", "failed", "ready", "extracted"]
    run: str = ""
    text: str = ""
    notice: Notice | None = None
    step: str = ""
    done: int = 0
    total: int = 0
