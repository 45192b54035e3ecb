"""What the processes of a Ray cluster do: describe an encoder, compute a shard of features, run a job. No Ray.

Each function takes the files that it needs as parcels, works in a folder of its own, and returns what it made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from steelbench.data.images import ImageFiles, UnreadableImageError
from steelbench.errors import SteelbenchError
from steelbench.features.cache import FeatureStore
from steelbench.features.engines import ENGINES, ComputeFeatures
from steelbench.features.spec import ExtractionRequest, Part
from steelbench.machine import peak_memory_gib
from steelbench.models.weight_files import Origin
from steelbench.records import Notice
from steelbench.runs.jobs import Event, Job, RunData
from steelbench.runs.parent import reason_of
from steelbench.runs.ray_runner.orders import (
    Described,
    EncoderOrder,
    Failure,
    JobOrder,
    Outcome,
    Shard,
    ShardOrder,
    refuse_other_versions,
)
from steelbench.runs.ray_runner.parcels import (
    CACHE,
    DATA,
    RESULTS,
    WEIGHTS,
    Outbox,
    Parcel,
    StoredFeatures,
    stored_features,
)

if TYPE_CHECKING:
    from steelbench.features.frozen_encoder import FrozenEncoder

P = ParamSpec("P")
T = TypeVar("T")

# Set in tasks where the user's own environment sets it; Ray sets OMP_NUM_THREADS to the task's processors.
THREADS = "STEELBENCH_OMP_NUM_THREADS"


@dataclasses.dataclass
class _Loaded:
    """The encoder that this process made last: shards of one network, and then its heads, load it once.

    Attributes:
        key: of its order.
        thread: that it was made in. Keras counts the names of layers by thread: a new one begins anew, as a process
            does, and heads that are made in the encoder's thread get the names that they get in a local worker.
    """

    key: str
    thread: ThreadPoolExecutor
    encoder: FrozenEncoder
    compute: ComputeFeatures | None
    notices: list[Notice]
    measurements: dict[str, float]


_last: list[_Loaded] = []


def failing(task: Callable[P, T]) -> Callable[P, T | Failure]:
    """Return a task that answers with a `Failure` where it raises."""

    @functools.wraps(task)
    def run(*args: P.args, **kwargs: P.kwargs) -> T | Failure:
        try:
            return task(*args, **kwargs)
        except Exception as error:
            return Failure(reason_of(error, "on a node of the cluster"))

    return run


def get_ready() -> None:
    """Import what takes the longest, so that the first task of this process need not wait for it."""
    _deterministic()


@failing
def describe(order: EncoderOrder, whole: Collection[str], *parcels: Parcel) -> Described:
    """Make an encoder and return what its features depend on.

    Args:
        order: the encoder.
        whole: names of the stores that hold every image; for those the engine is neither opened nor checked.
        parcels: with its starters and its weights.
    """
    refuse_other_versions(order.versions)
    loaded = _load(order, whole, parcels)
    from steelbench.features.frozen_encoder import START_SECONDS

    encoder = loaded.encoder
    return Described(
        description=encoder.store.description,
        engine=encoder.engine,
        batch=ENGINES[encoder.engine].batch,
        notices=loaded.notices,
        measurements=loaded.measurements,
        load_seconds=encoder.load_seconds + START_SECONDS,
    )


@failing
def extract_shard(order: ShardOrder, images: Parcel, *parcels: Parcel) -> Shard:
    """Return the features of some images, in batches as the local runner makes them.

    Args:
        order: the images.
        images: their files.
        parcels: with the starters and the weights of the encoder.
    """
    from steelbench.features.extraction import extract

    loaded = _load(order.encoder, (), parcels)
    encoder, compute = loaded.encoder, loaded.compute
    if encoder.store.folder.name != order.space or compute is None:
        raise SteelbenchError(
            f"a node of the cluster computes {order.encoder.part.backbone} in another way than the first one "
            f"(engine {encoder.engine}); nodes of one run need the same kind of processor."
        )
    with _own_folder() as folder:
        images.unpack(folder)
        start = time.perf_counter()
        store = FeatureStore(folder / CACHE, encoder.part.backbone, encoder.encoder.output_shape[-1], {})
        loaded.thread.submit(
            extract,
            order.images,
            store,
            root=folder / DATA,
            encoder=encoder.encoder,
            compute=compute,
            batch=ENGINES[encoder.engine].batch,
            bit_depth=order.encoder.bit_depth,
        ).result()
        features = store.gather([image.digest for image in order.images])
    return Shard(features, time.perf_counter() - start, peak_memory_gib())


def run_job(order: JobOrder, data: RunData, *supplies: Parcel | StoredFeatures) -> Iterator[Outcome | Failure]:
    """Run a job by the worker of the local runner, and yield each run when it is done, then all the rest.

    A generator has as many steps each time that it runs, so that Ray can go on with one whose node died.

    Args:
        order: the job.
        data: its images and splits.
        supplies: the files and features that it needs.
    """
    try:
        refuse_other_versions(order.versions)
        with _own_folder() as folder:
            for supply in supplies:
                supply.unpack(folder)
            given = _digests(supplies)
            job = _here(order, data, folder)
            outbox = Outbox(folder / RESULTS)
            events: list[Event] = []
            for event in _events(job, order.encoder_key):
                events.append(event)
                if event.kind in ("done", "failed"):
                    yield Outcome(events, outbox.take(_made_by(job, event.run)))
                    events = []
            features = [_without(own, given) for own in _extracted(job)] if order.brings_features else []
            yield Outcome(events, outbox.take(), [own for own in features if own.digests])
    except Exception as error:
        yield Failure(reason_of(error, "on a node of the cluster"))


def _made_by(job: Job, run: str) -> tuple[str, ...]:
    """Return the beginnings of the paths of a run's files."""
    names = [task.key.name for task in job.tasks if task.key.run_name == run and task.offered]
    return (f"runs/{run}/", f"tensorboard/{run}/", *(f"models/{name}." for name in names))


def _here(order: JobOrder, data: RunData, folder: Path) -> Job:
    """Return the job with the paths of this task's folder."""
    found = Job.model_validate({**json.loads(order.job), "data": data.model_copy(update={"root": str(folder / DATA)})})
    more = {"results": str(folder / RESULTS), "cache": str(folder / CACHE)}
    return found.model_copy(update={**more, "parts": [_part_here(part, folder) for part in found.parts]})


def weights_path(part: Part) -> str:
    """Return the path, below a task's folder, of the file of a network's weights; "" if it has none."""
    origin = Origin(**part.origin)
    if not origin.path:
        return ""
    # A preset is looked for in the cache, by its name.
    name = Path(origin.path).name
    return f"{CACHE}/hub/{name}" if origin.kind == "preset" else f"{WEIGHTS}/{part.backbone}/{name}"


def _part_here(part: Part, folder: Path) -> Part:
    own = weights_path(part)
    return part.model_copy(update={"origin": {**part.origin, "path": str(folder / own)}}) if own else part


def _events(job: Job, key: str) -> Iterator[Event]:
    """Run a job, with the encoder of this process if it has the same key, and yield its events."""
    _deterministic()
    from steelbench.runs.job_execution import Worker

    last = _last.pop() if _last else None
    made = last.encoder if last is not None and last.key == key else None
    thread = last.thread if last is not None and made is not None else ThreadPoolExecutor(1)
    # Let go of what computes features, and of another encoder: there is memory for one. The job takes its own along.
    del last
    told: SimpleQueue[Event | Exception | None] = SimpleQueue()

    def run() -> None:
        try:
            Worker(job, told.put, lambda: None, made).run()
            told.put(None)
        except UnreadableImageError as error:
            told.put(SteelbenchError(f"{error}; a node may have computed other features than the one before."))
        except Exception as error:
            told.put(error)

    thread.submit(run)
    while (event := told.get()) is not None:
        if isinstance(event, Exception):
            raise event
        yield event


def _extracted(job: Job) -> list[StoredFeatures]:
    digests = [image.digest for image in job.data.everything]
    names = dict.fromkeys(part.backbone for part in job.parts)
    return [own for name in names for own in stored_features(Path(job.cache), name, {}, digests)]


def _digests(supplies: Sequence[Parcel | StoredFeatures]) -> dict[str, set[str]]:
    """Return the images whose features were supplied, by what the features depend on."""
    stored = [supply for supply in supplies if isinstance(supply, StoredFeatures)]
    return {json.dumps(own.description, sort_keys=True): set(own.digests) for own in stored}


def _without(found: StoredFeatures, given: dict[str, set[str]]) -> StoredFeatures:
    """Return the features that were not supplied."""
    known = given.get(json.dumps(found.description, sort_keys=True), set())
    rows = [row for row, digest in enumerate(found.digests) if digest not in known]
    return dataclasses.replace(found, digests=[found.digests[row] for row in rows], features=found.features[rows])


def _load(order: EncoderOrder, whole: Collection[str], parcels: Sequence[Parcel]) -> _Loaded:
    """Return the encoder of an order, the one that this process made last if that is the same."""
    if _last and _last[0].key == order.key:
        found = _last[0]
        if found.compute is not None or found.encoder.store.folder.name in whole:
            return found
    # Before the next is loaded, or there would be memory for two.
    _last.clear()
    thread = ThreadPoolExecutor(1)
    _last.append(thread.submit(_made, thread, order, whole, parcels).result())
    return _last[0]


def _made(
    thread: ThreadPoolExecutor, order: EncoderOrder, whole: Collection[str], parcels: Sequence[Parcel]
) -> _Loaded:
    _deterministic()
    from steelbench.features.frozen_encoder import ExtractionContext, FrozenEncoder

    starters, notices = order.starters, list[Notice]()
    with _own_folder() as folder:
        for parcel in parcels:
            parcel.unpack(folder)
        request = ExtractionRequest(
            images=starters.images,
            labelled=len(starters.images),
            root=folder / DATA,
            cache=folder / CACHE,
            bit_depth=order.bit_depth,
            engine=order.engine,
            precision=order.precision,
            calibration_rows=starters.calibration_rows,
            calibration_digest=starters.calibration_digest,
        )
        context = ExtractionContext(
            request=request,
            files=ImageFiles(request.root, [image.path for image in starters.images], order.bit_depth),
            progress=lambda _done, _total: None,
            tell=notices.append,
            take_turn=lambda: None,
        )
        encoder = FrozenEncoder(_part_here(order.part, folder), context)
        compute = None if encoder.store.folder.name in whole else encoder.open_engine()
        return _Loaded(order.key, thread, encoder, compute, notices, encoder.measurements)


@contextmanager
def _own_folder() -> Iterator[Path]:
    """Yield a folder that is deleted afterwards; what looks for presets of networks looks there."""
    with tempfile.TemporaryDirectory(prefix="steelbench-ray-", ignore_cleanup_errors=True) as name:
        folder, before = Path(name), os.environ.get("STEELBENCH_CACHE")
        for own in (DATA, CACHE, RESULTS):
            (folder / own).mkdir()
        os.environ["STEELBENCH_CACHE"] = str(folder / CACHE)
        try:
            yield folder
        finally:
            os.environ.pop("STEELBENCH_CACHE")
            if before is not None:
                os.environ["STEELBENCH_CACHE"] = before


def _deterministic() -> None:
    """Compute as the local runner's workers do, before TensorFlow is imported."""
    with contextlib.suppress(KeyError):
        del os.environ["OMP_NUM_THREADS"]
    if THREADS in os.environ:
        os.environ["OMP_NUM_THREADS"] = os.environ[THREADS]
    tensorflow: Any = __import__("tensorflow")
    tensorflow.config.experimental.enable_op_determinism()
