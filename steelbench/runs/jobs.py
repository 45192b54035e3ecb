"""What the parent tells a worker, and what a worker tells back; plain records, no TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from steelbench.data.inspection import Inspection
from steelbench.data.split_plan import SplitPlan
from steelbench.data.splits import Split
from steelbench.experiment import Experiment, RunOptions, method_of
from steelbench.features.spec import CALIBRATION_IMAGES, ImageRef, Part
from steelbench.files import cache_folder
from steelbench.models.backbones import parts_of
from steelbench.models.weight_files import Origin
from steelbench.records import Record
from steelbench.runs.fingerprint import fingerprint, identity, sizes_of, weights_of


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


class Unlabelled(Record):
    """Images without labels that may join the training images.

    `ties` has the group numbers of the labelled images, counted over labelled and unlabelled ones together, as the
    unlabelled images' own `group` is: who shares pixels, directly or along a chain, has one number.
    """

    images: list[ImageRef]
    ties: list[int]
    confidence: float


class Job(Record):
    """Everything that the process of one backbone, or of one ensemble, needs.

    Of an ensemble `image_size` is the largest of its parts', and `origin` has no more than the kind that they share.
    """

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
    ensemble: list[Part] = Field([], description="the networks whose features are joined, if there is more than one")
    unlabelled: Unlabelled | None = None

    @property
    def parts(self) -> list[Part]:
        """Its networks."""
        return self.ensemble or [Part(backbone=self.backbone, image_size=self.image_size, origin=self.origin)]

    def alone(self, part: Part) -> Self:
        """The job of one of its networks."""
        fields = {"backbone": part.backbone, "image_size": part.image_size, "origin": part.origin, "ensemble": []}
        return self.model_copy(update=fields)

    @property
    def everything(self) -> list[ImageRef]:
        """The labelled images, then those without labels."""
        return [*self.images, *(self.unlabelled.images if self.unlabelled else ())]

    @property
    def own_split(self) -> Split:
        """The split of its tasks; where brightness is homogenised they all have one, because it sets the mean.

        A job without tasks, which only measures, takes the first.
        """
        own = [(task.seed, task.fold) for task in self.tasks[:1]]
        return next(ref for ref in self.splits if not own or (ref.seed, ref.fold) in own).split

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


def make_jobs(
    experiments: Sequence[Experiment],
    options: RunOptions,
    origins: dict[str, Origin],
    config: dict[str, Any],
    inspection: Inspection,
    root: Path,
    division: SplitPlan,
    unlabelled: Unlabelled | None = None,
) -> list[Job]:
    """One job for each backbone and image size; where brightness is homogenised, one for each split, too."""
    tasks: dict[tuple[str, tuple[int, ...], tuple[int, int]], list[Task]] = {}
    even = options.homogenize != "none"
    for experiment in experiments:
        parts = identity(experiment, options, origins, config)
        # The training images' mean brightness is another one for each split, so are all features.
        part = (experiment.seed, experiment.fold) if even else (0, 0)
        sizes = tuple(sizes_of(experiment, options).values())
        tasks.setdefault((experiment.backbone, sizes, part), []).append(
            Task(
                method=method_of(experiment.method),
                variant=experiment.variant,
                seed=experiment.seed,
                fold=experiment.fold,
                settings=parts["settings"],
                fingerprint=fingerprint(parts),
                name=experiment.name,
                run_name=experiment.run_name,
                offered=experiment.seed == 0 and experiment.fold == 0,
                augment=parts["augment"],
            )
        )
    images = [
        ImageRef(path=image.sample.path, label=label, digest=image.bytes_digest, group=group)
        for image, label, group in zip(
            inspection.images, inspection.labels.tolist(), division.group_of.tolist(), strict=True
        )
    ]
    references = [SplitRef.of(split, seed, fold) for (seed, fold), split in division.splits.items()]
    naive = SplitRef.of(division.naive, 0, 0) if division.naive else None
    return [
        Job(
            results=str(options.results.resolve()), cache=str(cache_folder().resolve()), data_root=str(root),
            bit_depth=options.bit_depth, backbone=backbone, image_size=max(sizes),
            **_networks(backbone, sizes, origins),
            engine=options.engine, precision=options.precision, verify=options.verify,
            track=options.track == "tensorboard", classes=list(inspection.classes), images=images,
            splits=references, naive=None if even else naive, tasks=todo,
            homogenize=options.homogenize, unlabelled=unlabelled,
        )
        for (backbone, sizes, _), todo in tasks.items()
    ]  # fmt: skip


def _networks(backbone: str, sizes: tuple[int, ...], origins: dict[str, Origin]) -> dict[str, Any]:
    """The fields of a job that tell one network, or several."""
    names = parts_of(backbone)
    if len(names) == 1:
        return {"origin": vars(origins[backbone])}
    parts = [
        Part(backbone=name, image_size=size, origin=vars(origins[name]))
        for name, size in zip(names, sizes, strict=True)
    ]
    return {"origin": {"kind": weights_of(backbone, origins)["kind"]}, "ensemble": parts}
