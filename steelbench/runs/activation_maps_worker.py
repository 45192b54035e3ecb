"""The process that computes where saved models looked: read the request, write a record for each row.

python -m steelbench.runs.activation_maps_worker REQUEST.json      started by `activation_maps.write_activation_maps`
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import AnyArray, Floats, RGBImage
from steelbench.data.images import UnreadableImageError, read_image
from steelbench.files import write_json
from steelbench.models import saved_model
from steelbench.models.activation_map import add_maps, class_maps, rectified, score_gradients
from steelbench.models.feature_maps import before_average
from steelbench.models.head import Head
from steelbench.records import ActivationMap, ActivationMaps, activation_map_file, read_record
from steelbench.runs.activation_maps import MapRequest, MapTask, NetworkTask, RowTask
from steelbench.runs.jobs import Event
from steelbench.runs.parent import listen_to_parent, open_events, reason_of

# Images that go through a network together, if they have one size, and their pixels: as float32 four times as much.
BATCH = 8
BATCH_BYTES = 64 * 1024 * 1024
# The feature maps of each network, float32 [N, h, w, D].
Parts = Sequence[NDArray[np.float32]]


def read_batches(paths: Sequence[str], request: MapRequest) -> Iterator[tuple[list[str], list[RGBImage]]]:
    """Yield images of one size with their paths; one that can no longer be read has no picture on the page either."""
    waiting: dict[str, RGBImage] = {}
    for path in paths:
        try:
            pixels = read_image(Path(request.root) / path, request.bit_depth)
        except UnreadableImageError:
            continue
        full = len(waiting) == BATCH or (len(waiting) + 1) * pixels.nbytes > BATCH_BYTES
        if waiting and (full or pixels.shape != next(iter(waiting.values())).shape):
            yield list(waiting), list(waiting.values())
            waiting = {}
        waiting[path] = pixels
    if waiting:
        yield list(waiting), list(waiting.values())


def look(heads: Sequence[Head], parts: Parts, classes: Sequence[int]) -> Floats:
    """Return the shares of each place of an image in the scores of classes, float64 [K, h, w].

    Args:
        heads: whose mean it is.
        parts: of one image.
        classes: K numbers.
    """
    features = np.concatenate([part.mean(axis=(1, 2)) for part in parts], axis=1)
    gradients = np.mean([score_gradients(head, features, np.array([classes])) for head in heads], axis=0)
    ends = np.cumsum([part.shape[-1] for part in parts])[:-1]
    pieces = np.split(gradients, ends, axis=2)
    return np.asarray(add_maps([class_maps(part, own) for part, own in zip(parts, pieces, strict=True)])[0])


def describe(task: MapTask, maps: Floats, image: RGBImage) -> ActivationMap | None:
    """Return the record of one image; None where the network gives numbers that are not finite."""
    try:
        (predicted, label), peak = rectified(maps)
    except ValueError:
        return None
    height, width = image.shape[:2]
    rows, columns = predicted.shape
    return ActivationMap(
        path=task.path, predicted=task.predicted, label=task.label, width=width, height=height, columns=columns,
        rows=rows, peak=peak, for_predicted=predicted.tobytes().hex(), for_label=label.tobytes().hex(),
    )  # fmt: skip


def compute_maps(
    network: NetworkTask, maps_of: Callable[[AnyArray], Parts], request: MapRequest, step: Callable[[int], None]
) -> dict[str, list[ActivationMap]]:
    """Return the maps of each row; feature maps of an image are computed once.

    Args:
        network: rows and images.
        maps_of: from a batch of images to their feature maps.
        request: says where the images lie.
        step: called with the number of images after each batch.
    """
    runs = {run for row in network.rows for image in row.images for run in image.runs}
    heads = {run: Head.load(Path(request.results) / "runs" / run / "head.npz") for run in runs}
    tasks: dict[str, list[tuple[RowTask, MapTask]]] = defaultdict(list)
    for row in network.rows:
        for image in row.images:
            tasks[image.path].append((row, image))
    found: dict[str, list[ActivationMap]] = {row.row: [] for row in network.rows}
    for paths, images in read_batches(network.paths, request):
        batch = maps_of(np.stack(images))
        for place, (path, pixels) in enumerate(zip(paths, images, strict=True)):
            parts = [part[place : place + 1] for part in batch]
            for row, task in tasks[path]:
                classes = [row.classes.index(name) for name in (task.predicted, task.label)]
                record = describe(task, look([heads[run] for run in task.runs], parts, classes), pixels)
                found[row.row] += [record] if record else []
        step(len(paths))
    return found


def main() -> None:
    """Run the request named on the command line."""
    listen_to_parent()
    emit = open_events()
    request = read_record(Path(sys.argv[1]), MapRequest)
    total, done = sum(len(network.paths) for network in request.networks), 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        emit(Event(kind="progress", step="maps", done=done, total=total))

    for network in request.networks:
        start, problem = time.perf_counter(), ""
        found: dict[str, list[ActivationMap]] = {}
        try:
            model = saved_model.load(Path(request.results) / network.model)
            found = compute_maps(network, before_average(saved_model.encoder_of(model)), request, step)
        except Exception as error:
            # One network's failure is told on the page; the others go on.
            problem = reason_of(error)
        seconds = time.perf_counter() - start
        for row in network.rows:
            record = ActivationMaps(
                fingerprint=row.fingerprint, maps=found.get(row.row, []), seconds=seconds, problem=problem
            )
            write_json(activation_map_file(Path(request.results), row.row), record)


if __name__ == "__main__":
    main()
