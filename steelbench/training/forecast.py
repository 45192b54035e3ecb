"""What a command will cost before it starts: images still to be seen, seconds and memory, from measured rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.models.backbones import BACKBONES
from steelbench.training.cache import SpaceSize, spaces
from steelbench.training.engines import choose_engine
from steelbench.training.job import Event, Job
from steelbench.training.pipeline import run_jobs

# Images that a backbone sees to be measured, where no earlier run has left its rate.
PROBE_IMAGES = 48
# Measured here: a head on cached features; writing, loading and comparing a whole model, beside its 32 images.
HEAD_SECONDS, OFFER_SECONDS, VERIFY_IMAGES = 2.0, 5.0, 32
# Plain Keras, which verifies, takes about twice as long for an image as the engine that `auto` chooses.
KERAS_FACTOR = 2.0


@dataclass(frozen=True)
class Forecast:
    """One job: what is there, what is missing, what it will take."""

    backbone: str
    image_size: int
    tasks: int
    images: int
    missing: int
    rate: float
    seconds: float
    memory_gib: float


def forecast(jobs: Sequence[Job], results: Path, on_event: Callable[[Job, Event], None]) -> list[Forecast]:
    """Forecast every job; a backbone that was never measured on this machine sees a few images now.

    Those images' features are kept, so that nothing is done twice.

    Raises:
        SteelbenchError: if a backbone could not be measured.
    """
    strange = [job for job in jobs if _known(job) is None and _missing(job)]
    run_jobs([job.model_copy(update={"tasks": [], "limit": PROBE_IMAGES}) for job in strange], results, on_event)
    return [_forecast(job) for job in jobs]


def _forecast(job: Job) -> Forecast:
    space = _known(job)
    missing = _missing(job)
    if space is None and missing:
        raise SteelbenchError(f"{job.backbone} could not be measured: its process failed; run it to see the reason.")
    check, rate = (space.check, float(space.check["images_per_second"])) if space else ({}, 0.0)
    wait = 1 / rate if rate else 0.0
    offered = sum(task.offered for task in job.tasks)
    seconds = (
        float(check.get("load_seconds", 10.0))
        + missing * wait
        + len(job.tasks) * HEAD_SECONDS
        + offered * (OFFER_SECONDS + min(VERIFY_IMAGES, len(job.images)) * wait * KERAS_FACTOR)
    )
    features = len(job.images) * BACKBONES[job.backbone].feature_dim * 4 * 3 / 2**30
    memory = float(check.get("memory_gib", 2.0)) + features
    return Forecast(job.backbone, job.image_size, len(job.tasks), len(job.images), missing, rate, seconds, memory)


def _missing(job: Job) -> int:
    return len({image.digest for image in job.images} - _cached(job))


def _alike(job: Job) -> list[SpaceSize]:
    """Spaces that were computed in the way this job computes, whatever their weights."""
    wanted = {
        "image_size": job.image_size,
        "precision": job.precision,
        "engine": choose_engine(job.engine, job.precision, gpus=0),
    }
    return [
        space
        for space in spaces(Path(job.cache))
        if space.backbone == job.backbone and all(space.description.get(key) == value for key, value in wanted.items())
    ]


def _known(job: Job) -> SpaceSize | None:
    measured = [space for space in _alike(job) if space.check.get("images_per_second")]
    return max(measured, key=lambda space: space.used, default=None)


def _cached(job: Job) -> set[str]:
    """Digests of images whose features are here for these very weights."""
    found: set[str] = set()
    if job.homogenize != "none":
        # What they were homogenised by is found when the job runs.
        return found
    for space in _alike(job):
        weights = space.description.get("weights")
        if not isinstance(weights, dict):
            continue
        same = all(weights.get(key) == value for key, value in job.origin.items() if key in ("kind", "md5") and value)
        if same and space.description.get("bit_depth") == job.bit_depth and _same_calibration(job, weights):
            found |= space.digests()
    return found


def _same_calibration(job: Job, weights: dict[str, object]) -> bool:
    return job.origin["kind"] != "random" or weights.get("calibration") == job.calibration_digest
