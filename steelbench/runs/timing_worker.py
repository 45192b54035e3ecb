"""The process that times saved models, one after another, on few cores of its own.

python -m steelbench.runs.timing_worker REQUEST.json      progress as JSON lines; started by `timing.time_models`
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from steelbench.arrays import Features, RGBImage
from steelbench.data.images import ImageFiles, resize
from steelbench.features.engines import (
    FEW_CORES,
    ComputeFeatures,
    open_keras,
    openvino_graph,
    run_openvino,
)
from steelbench.features.stopwatch import OtherPrograms, Spread, time_calls, without_collection
from steelbench.files import write_json
from steelbench.machine import processor_name, usable_cores
from steelbench.models.head import Dense, Head
from steelbench.records import Cost, EngineTime, RunRecord, cost_file, read_record
from steelbench.runs.jobs import Event
from steelbench.runs.parent import listen_to_parent, open_events, reason_of
from steelbench.runs.timing import TimingRequest, TimingTask, network_of

BATCH = 8
# Seconds for one batch from which on a call is one batch.
SLOW = 0.2
# For each network; a head takes microseconds.
MOST_IMAGES, IMAGE_SECONDS = 30, 0.8
MOST_BATCHES, BATCH_SECONDS = 5, 0.5
HEAD_CALLS, HEAD_SECONDS = 30, 0.05


def pin(threads: int) -> None:
    """Let this process use so many cores; called before a library starts its threads, which inherit it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    cv2.setNumThreads(threads)


@dataclass(frozen=True)
class NetworkTime:
    """Seconds of one network on one engine.

    Attributes:
        single: of one image, from decoded pixels to features.
        repetitions: images that were timed one by one.
        each: of an image in a batch.
        others: share of the machine's cores that other programs used.
    """

    single: Spread
    repetitions: int
    each: float
    others: float


class Network:
    """The network of some saved models, several networks side by side for an ensemble.

    Args:
        path: of one of the models.
        images: decoded, which are timed in turn.
        threads: of the engine.
    """

    def __init__(self, path: Path, images: Sequence[RGBImage], threads: int) -> None:
        from steelbench.models import saved_model
        from steelbench.models.surgery import before_pooling, parts_of

        self.images, self.threads = images, threads
        self.parts = parts_of(saved_model.encoder_of(saved_model.load(path)))
        self.bare = [before_pooling(part) for part in self.parts]
        self.known: dict[str, NetworkTime] = {}

    @cached_property
    def multiply_adds(self) -> int | None:
        """Return the sum over its parts; None if one is not known."""
        from steelbench.models.network_cost import multiply_adds

        counts = [multiply_adds(part) for part in self.bare]
        return None if None in counts else sum(filter(None, counts))

    @cached_property
    def memory_bytes(self) -> int | None:
        """Return the sum over its parts; None if one is not known."""
        from steelbench.models.network_cost import memory_bytes

        counts = [memory_bytes(part) for part in self.bare]
        return None if None in counts else sum(filter(None, counts))

    @property
    def size(self) -> int:
        """Return the number of its features."""
        return sum(part.output_shape[-1] for part in self.parts)

    def time(self, engine: str, precision: str) -> NetworkTime:
        """Time it on an engine, once."""
        if engine not in self.known:
            self.known[engine] = self._time(engine, precision)
        return self.known[engine]

    def _time(self, engine: str, precision: str) -> NetworkTime:
        opened = [self._open(engine, part, precision) for part in self.parts]
        sizes = [part.input_shape[1] for part in self.bare]
        images = cycle(self.images)
        resized = [
            np.stack([resize(image, size) for image, _ in zip(cycle(self.images), range(BATCH), strict=False)])
            for size in sizes
        ]

        def one() -> None:
            image = next(images)
            for (single, _), size in zip(opened, sizes, strict=True):
                next(iter(single([resize(image, size)[None]])))

        def batches(count: int) -> None:
            for (_, many), pixels in zip(opened, resized, strict=True):
                for _ in many([pixels] * count):
                    pass

        with without_collection():
            others = OtherPrograms()
            alone = time_calls(one, most=MOST_IMAGES, limit=IMAGE_SECONDS)
            # Two batches, because OpenVINO gets one ready while it computes another; one where that takes long.
            count = 2 if BATCH * min(alone) < SLOW else 1
            together = time_calls(lambda: batches(count), most=MOST_BATCHES, limit=BATCH_SECONDS, least=1)
            return NetworkTime(
                single=Spread.of(alone),
                repetitions=len(alone),
                each=Spread.of(together).p50 / (count * BATCH),
                others=others.share(),
            )

    def _open(self, engine: str, part: Any, precision: str) -> tuple[ComputeFeatures, ComputeFeatures]:
        """Return functions for one image and for batches."""
        if engine == "keras":
            compute = open_keras(part, precision, BATCH)
            return compute, compute
        graph = openvino_graph(part, BATCH)
        many = run_openvino(graph, precision, self.threads)
        graph.reshape([1, *graph.input(0).partial_shape.to_shape()[1:]])
        return run_openvino(graph, precision, self.threads), many


def time_head(head: Head, size: int) -> tuple[Spread, float]:
    """Return the seconds of a head on one image's features, and for each image of a batch.

    Args:
        head: of the model.
        size: D, the number of features.
    """
    one, many = (np.zeros((count, size), np.float32) for count in (1, BATCH))
    alone, together = (_head_calls(head, features) for features in (one, many))
    return Spread.of(alone), Spread.of(together).p50 / BATCH


def _head_calls(head: Head, features: Features) -> list[float]:
    return time_calls(lambda: head(features), most=HEAD_CALLS, limit=HEAD_SECONDS)


def cost_of(task: TimingTask, network: Network, head: Head, device: Callable[[str], str]) -> Cost:
    """Measure what a model costs: its network's part, measured once for all of its heads, and its head's.

    Args:
        task: the model.
        network: of it.
        head: of it.
        device: returns CPU or GPU for the name of an engine.
    """
    run = task.run
    single, each = time_head(head, network.size)
    times = []
    for engine in task.engines:
        found = network.time(engine, run.precision)
        times.append(
            EngineTime(
                engine=engine,
                precision=run.precision,
                device=device(engine),
                threads=network.threads,
                batch=BATCH,
                repetitions=found.repetitions,
                ms_p50=1e3 * (found.single.p50 + single.p50),
                ms_p99=1e3 * (found.single.p99 + single.p99),
                ms_mad=1e3 * found.single.mad,
                images_per_second=1 / (found.each + each),
                others=found.others,
            )
        )
    kernels = sum(layer.kernel.size for layer in head.layers if isinstance(layer, Dense))
    own, memory = network.multiply_adds, network.memory_bytes
    return Cost(
        fingerprint=run.fingerprint,
        processor=processor_name(),
        multiply_adds=None if own is None else own + kernels,
        memory_bytes=None if memory is None else memory + 4 * head.params,
        times=times,
    )


def time_all(request: TimingRequest, threads: int, emit: Callable[[Event], None]) -> None:
    """Write the cost of every model of a request; one that cannot be timed gets a record that says why."""
    results = Path(request.results)
    files = ImageFiles(Path(request.root), request.images, request.bit_depth)
    images, network, last = list(files.raw(range(len(request.images)))), None, None
    for number, task in enumerate(request.tasks, start=1):
        run = task.run
        try:
            if network is None or network_of(run) != last:
                network, last = _network(results, run, images, threads), network_of(run)
            head = Head.load(results / "runs" / run.run_name / "head.npz")
            cost = cost_of(task, network, head, _device)
        except Exception as error:
            # A network that an engine cannot run must not cost the others their times.
            cost = Cost(fingerprint=run.fingerprint, problem=reason_of(error))
        write_json(cost_file(results, run.name), cost)
        emit(Event(kind="progress", step="timing", done=number, total=len(request.tasks)))


def _network(results: Path, run: RunRecord, images: Sequence[RGBImage], threads: int) -> Network:
    return Network(results / str(run.model), images, threads)


def _device(engine: str) -> str:
    import tensorflow as tf

    return "GPU" if engine == "keras" and tf.config.list_physical_devices("GPU") else "CPU"


def main() -> None:
    """Time the models of the request named on the command line."""
    listen_to_parent()
    emit = open_events()
    threads = min(FEW_CORES, usable_cores())
    pin(threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    request = read_record(Path(sys.argv[1]), TimingRequest)
    time_all(request, threads, emit)


if __name__ == "__main__":
    main()
