"""What a node is told and what it answers, beside files and features. No TensorFlow, no Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import steelbench
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES
from steelbench.features.spec import ImageRef, Part
from steelbench.machine import environment
from steelbench.records import Notice
from steelbench.runs.jobs import Event, Job, RunData
from steelbench.runs.ray_runner.parcels import Parcel, StoredFeatures


@dataclass(frozen=True)
class Failure:
    """Why a task failed by itself; it is not tried again."""

    reason: str


@dataclass(frozen=True)
class Starters:
    """The images that an encoder is made and checked with.

    Attributes:
        images: the run's first ones, as many as the largest batch of an engine, then those of `calibration_rows`.
        calibration_rows: of `images`, in the order of the run's.
        calibration_digest: stands for their content in the cache's key.
    """

    images: list[ImageRef]
    calibration_rows: list[int]
    calibration_digest: str

    @classmethod
    def of(cls, data: RunData) -> Self:
        """Return those of a run."""
        first = range(min(len(data.images), max(row.batch for row in ENGINES.values())))
        rows = list(dict.fromkeys([*first, *data.calibration_rows]))
        place = {row: number for number, row in enumerate(rows)}
        images = [data.images[row] for row in rows]
        return cls(images, [place[row] for row in data.calibration_rows], data.calibration_digest)


@dataclass(frozen=True)
class EncoderOrder:
    """A frozen encoder to make, without homogenisation.

    Attributes:
        part: the network; the file of its weights travels.
        starters: that it is made and checked with.
        engine: auto, keras or openvino.
        precision: float32, bfloat16 or float16.
        bit_depth: used bits of 16-bit files; None for all.
        versions: of `own_versions` of the machine that the run was started on.
    """

    part: Part
    starters: Starters
    engine: str
    precision: str
    bit_depth: int | None
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        """Return a text that is the same for equal encoders only."""
        digests = [image.digest for image in self.starters.images]
        own = [
            self.part.model_dump(),
            digests,
            self.engine,
            self.precision,
            self.bit_depth,
            self.starters.calibration_rows,
            self.starters.calibration_digest,
        ]
        return json.dumps(own, sort_keys=True)


@dataclass(frozen=True)
class Described:
    """An encoder as a node made it.

    Attributes:
        description: what its features depend on, the contents of `space.json`.
        engine: that computes them; `keras` where another one failed its check.
        batch: images that it computes at once.
        notices: of the check.
        measurements: of the check; empty where it was not needed.
        load_seconds: of a process that starts and makes it.
    """

    description: dict[str, Any]
    engine: str
    batch: int
    notices: list[Notice]
    measurements: dict[str, float]
    load_seconds: float


@dataclass(frozen=True)
class ShardOrder:
    """Some images whose features are to be computed.

    Attributes:
        encoder: that computes them.
        space: name of the store that they are for.
        images: of them.
    """

    encoder: EncoderOrder
    space: str
    images: list[ImageRef]


@dataclass(frozen=True)
class Shard:
    """The features of some images.

    Attributes:
        features: float32 [N, D], in the order of the images.
        seconds: that they took, without loading the encoder.
        memory_gib: most that the process has held.
    """

    features: Any
    seconds: float
    memory_gib: float


@dataclass(frozen=True)
class JobOrder:
    """A job with its data, whose paths are those of the machine that the run was started on.

    Attributes:
        job: as JSON, without its data.
        encoder_key: of the `EncoderOrder` of its network, by which a process that has it knows it; "" for none.
        versions: of `own_versions` of that machine.
        brings_features: whether the job extracts, and its features are brought home.
    """

    job: str
    encoder_key: str
    versions: Mapping[str, str]
    brings_features: bool = False

    @classmethod
    def of(cls, job: Job, encoder_key: str, brings_features: bool) -> Self:
        """Return the order of a job of this machine."""
        return cls(job.model_dump_json(), encoder_key, own_versions(), brings_features)


@dataclass(frozen=True)
class Outcome:
    """A step of a job.

    Attributes:
        events: since the step before.
        files: that it made in the results folder.
        features: that it extracted.
    """

    events: list[Event]
    files: Parcel
    features: list[StoredFeatures] = field(default_factory=list)


def own_versions() -> dict[str, str]:
    """Return the versions that results depend on, of this machine."""
    return {"steelbench": steelbench.__version__, **environment()["packages"]}


def refuse_other_versions(wanted: Mapping[str, str]) -> None:
    """Raise if this node would compute something else.

    Raises:
        SteelbenchError: names the package and both versions.
    """
    own = own_versions()
    for name, version in wanted.items():
        if own.get(name) != version:
            raise SteelbenchError(
                f"a node of the cluster has {name} {own.get(name, '(not installed)')}, the machine that the run was "
                f"started on {version}; install the same version on all."
            )
