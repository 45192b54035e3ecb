"""What a command will cost before it starts: images still to be seen, seconds and memory, from measured rates."""

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

# Images that a backbone sees to be measured, where no earlier run has left its rate.
PROBE_IMAGES = 48
# Measured here: a head on cached features; writing, loading and comparing a whole model, beside its 32 images.
HEAD_SECONDS, OFFER_SECONDS, VERIFY_IMAGES = 2.0, 5.0, 32
# Plain Keras, which verifies, takes about twice as long for an image as the engine that `auto` chooses.
KERAS_FACTOR = 2.0


@dataclass(frozen=True)
class Forecast:
    """One job: what is there, what is missing, what it will take.

    Of an ensemble `missing` counts the images that some part has not seen, and `rate` is that of all parts in turn.
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
    """Forecast every job; a backbone that was never measured on this machine sees a few images now.

    Those images' features are kept, so that nothing is done twice.

    Raises:
        SteelbenchError: if a backbone could not be measured.
    """
    networks = {_key(job): job for whole in jobs for job in _alone(whole)}
    strange = [job for job in networks.values() if _known(job) is None and _missing(job)]
    run_jobs([job.model_copy(update={"tasks": [], "limit": PROBE_IMAGES}) for job in strange], results, on_event)
    found, seen = [], set[tuple[str, ...]]()
    for job in jobs:
        found.append(_forecast(job, seen))
        # What one job sees, those after it find in the cache.
        seen |= {_key(network) for network in _alone(job)}
    return found


def _alone(job: Job) -> list[Job]:
    """The job of each of its networks."""
    return [job.alone(part) for part in job.parts]


def _key(job: Job) -> tuple[str, ...]:
    """Two jobs of one network with the same key share their features."""
    own = "" if job.homogenize == "none" else f"{job.tasks[0].seed} {job.tasks[0].fold}"
    return job.backbone, str(job.image_size), own


def _forecast(job: Job, seen: set[tuple[str, ...]]) -> Forecast:
    networks = _alone(job)
    missing = [0 if _key(network) in seen else _missing(network) for network in networks]
    costs = [_cost(network, count) for network, count in zip(networks, missing, strict=True)]
    wait = sum(cost.wait for cost in costs)
    offered = sum(task.offered for task in job.tasks)
    # With images that have no label each head is trained twice.
    heads = len(job.tasks) * (2 if job.unlabelled else 1)
    seconds = (
        sum(cost.seconds for cost in costs)
        + heads * HEAD_SECONDS
        + offered * (OFFER_SECONDS + min(VERIFY_IMAGES, len(job.images)) * wait * KERAS_FACTOR)
    )
    length = sum(find_backbone(network.backbone).feature_dim for network in networks)
    memory = sum(cost.memory for cost in costs) + len(job.everything) * length * 4 * 3 / 2**30
    return Forecast(
        job.backbone, job.image_size, len(job.tasks), len(job.everything), max(missing),
        1 / wait if all(cost.wait for cost in costs) else 0.0, seconds, memory,
    )  # fmt: skip


@dataclass(frozen=True)
class _Cost:
    """Of one network: seconds for an image, 0 if that is not known; seconds until it has seen all; GiB."""

    wait: float
    seconds: float
    memory: float


def _cost(job: Job, missing: int) -> _Cost:
    space = _known(job)
    if space is None and missing:
        raise SteelbenchError(f"{job.backbone} could not be measured: its process failed; run it to see the reason.")
    check = space.check if space else {}
    wait = 1 / float(check["images_per_second"]) if check else 0.0
    return _Cost(wait, float(check.get("load_seconds", 10.0)) + missing * wait, float(check.get("memory_gib", 2.0)))


def _missing(job: Job) -> int:
    return len({image.digest for image in job.everything} - _cached(job))


def _alike(job: Job) -> list[StoreSize]:
    """Spaces that were computed in the way this job computes, whatever their weights; not of augmented views."""
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


def _known(job: Job) -> StoreSize | None:
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
