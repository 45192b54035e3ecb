"""Forecast of a command's cost: images whose features are missing, seconds and memory, from measured rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.features.cache import StoreSize, spaces
from steelbench.features.engines import choose_engine
from steelbench.models.backbones import find_backbone
from steelbench.runs.jobs import Event, Job
from steelbench.runs.scheduler import run_jobs

# Images that a backbone is measured with, where no earlier run has left its rate.
PROBE_IMAGES = 48
# Measured on two cores: a head on cached features; writing and loading a whole model.
HEAD_SECONDS, OFFER_SECONDS = 2.0, 5.0
# Images that a saved model is verified with; plain Keras takes about twice as long for each as the engine of `auto`.
VERIFY_IMAGES = 32
KERAS_FACTOR = 2.0


@dataclass(frozen=True)
class Forecast:
    """Forecast of one job.

    Attributes:
        backbone: a network or an ensemble.
        image_size: side of the square that it sees, pixels; the largest of an ensemble.
        tasks: number of runs.
        images: number of images, those without labels included.
        missing: images without cached features; of an ensemble, without those of some part.
        rate: images per second, of an ensemble's parts one after the other; 0 if it is not known.
        seconds: of the whole job.
        memory_gib: of its process.
    """

    backbone: str
    image_size: int
    tasks: int
    images: int
    missing: int
    rate: float
    seconds: float
    memory_gib: float


def forecast(jobs: Sequence[Job], results: Path, on_event: Callable[[Job, Event], None]) -> list[Forecast]:
    """Forecast every job. A backbone that was never measured on this machine is measured now, on a few images.

    Those images' features are cached, so that nothing is computed twice.

    Args:
        jobs: that are to do.
        results: a folder for the measuring jobs' files.
        on_event: called with the measuring workers' events.

    Raises:
        SteelbenchError: if a backbone could not be measured.
    """
    networks = {_key(job): job for whole in jobs for job in _alone(whole)}
    unknown = [job for job in networks.values() if _measured(job) is None and _missing(job)]
    run_jobs([job.model_copy(update={"tasks": [], "limit": PROBE_IMAGES}) for job in unknown], results, on_event)
    found, extracted = [], set[tuple[str, ...]]()
    for job in jobs:
        found.append(_forecast(job, extracted))
        # Features that one job extracts, those after it find in the cache.
        extracted |= {_key(network) for network in _alone(job)}
    return found


def _alone(job: Job) -> list[Job]:
    """Return the job of each of its networks."""
    return [job.alone(part) for part in job.parts]


def _key(job: Job) -> tuple[str, ...]:
    """Return what two jobs of one network must have in common to share their features."""
    first = next(iter((*job.tasks, *job.unknown)), None)
    split = f"{first.key.seed} {first.key.fold}" if first and job.homogenize != "none" else ""
    return job.backbone, str(job.image_size), split


def _forecast(job: Job, extracted: set[tuple[str, ...]]) -> Forecast:
    networks = _alone(job)
    missing = [0 if _key(network) in extracted else _missing(network) for network in networks]
    costs = [_cost(network, count) for network, count in zip(networks, missing, strict=True)]
    per_image = sum(cost.per_image for cost in costs)
    offered = sum(task.offered for task in job.tasks)
    # With images that have no label each head is trained twice.
    heads = len(job.tasks) * (2 if job.data.unlabelled else 1)
    seconds = (
        sum(cost.seconds for cost in costs)
        + heads * HEAD_SECONDS
        + offered * (OFFER_SECONDS + min(VERIFY_IMAGES, len(job.data.images)) * per_image * KERAS_FACTOR)
    )
    length = sum(find_backbone(network.backbone).feature_dim for network in networks)
    images = len(job.data.everything)
    return Forecast(
        backbone=job.backbone,
        image_size=job.image_size,
        tasks=len(job.tasks),
        images=images,
        missing=max(missing),
        rate=1 / per_image if all(cost.per_image for cost in costs) else 0.0,
        seconds=seconds,
        # Features are held in float32, up to three times.
        memory_gib=sum(cost.memory_gib for cost in costs) + images * length * 4 * 3 / 2**30,
    )


@dataclass(frozen=True)
class _Cost:
    """Cost of one network's features.

    Attributes:
        per_image: seconds; 0 if that is not known.
        seconds: until all missing features are there.
        memory_gib: of the process.
    """

    per_image: float
    seconds: float
    memory_gib: float


def _cost(job: Job, missing: int) -> _Cost:
    space = _measured(job)
    if space is None and missing:
        raise SteelbenchError(f"{job.backbone} could not be measured: its process failed; run it to see the reason.")
    measured = space.measurements if space else {}
    per_image = 1 / measured["images_per_second"] if measured else 0.0
    seconds = measured.get("load_seconds", 10.0) + missing * per_image
    return _Cost(per_image, seconds, measured.get("memory_gib", 2.0))


def _missing(job: Job) -> int:
    return len({image.digest for image in job.data.everything} - _cached(job))


def _alike(job: Job) -> list[StoreSize]:
    """Return the spaces that were computed as this job computes, whatever their weights; not those of views."""
    wanted = {
        "view": None,
        "image_size": job.image_size,
        "precision": job.precision,
        "engine": choose_engine(job.engine, job.precision, gpus=0),
    }
    return [
        space
        for space in spaces(Path(job.cache))
        if space.backbone == job.backbone and all(space.description.get(key) == value for key, value in wanted.items())
    ]


def _measured(job: Job) -> StoreSize | None:
    """Return the space of this network that was last measured; None if none was."""
    measured = [space for space in _alike(job) if space.measurements.get("images_per_second")]
    return max(measured, key=lambda space: space.used, default=None)


def _cached(job: Job) -> set[str]:
    """Return the digests of images whose features are cached for these very weights."""
    found: set[str] = set()
    if job.homogenize != "none":
        # The brightness, on which the features depend, is measured when the job runs.
        return found
    for space in _alike(job):
        weights = space.description.get("weights")
        if not isinstance(weights, dict):
            continue
        same = all(
            weights.get(key) == value for key, value in job.parts[0].origin.items() if key in ("kind", "md5") and value
        )
        if same and space.description.get("bit_depth") == job.data.bit_depth and _same_calibration(job, weights):
            found |= space.digests()
    return found


def _same_calibration(job: Job, weights: dict[str, object]) -> bool:
    random = job.parts[0].origin["kind"] == "random"
    return not random or weights.get("calibration") == job.data.calibration_digest
