"""The process that measures saved models on corrupted images: read its job, write records, events on standard output.

python -m steelbench.runs.robustness_worker JOB.json      started by `robustness.measure_robustness`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Labels, RGBImage
from steelbench.data.corruptions import CORRUPTIONS, STRENGTHS, VERSION, corrupt
from steelbench.data.images import ImageFiles, resize
from steelbench.data.parallel import ordered_map
from steelbench.evaluation.predictions import FILE, read_predictions
from steelbench.evaluation.robustness import MIDDLE, Measured, describe_robustness, record_path
from steelbench.features.engines import ENGINES
from steelbench.features.extraction import batches, checked_engine
from steelbench.files import write_json
from steelbench.models import saved_model
from steelbench.models.head import Head
from steelbench.records import RunRecord, read_record
from steelbench.runs.jobs import Event
from steelbench.runs.parent import listen_to_parent, open_events, reason_of
from steelbench.runs.robustness import Measurement

# Strengths that are always measured, in this order; the others, too, if a network is done within so many seconds.
FIRST = (MIDDLE, 1, 5)
BUDGET_SECONDS = 300.0
# Decoded images that are kept.
KEPT_BYTES = 512 * 1024 * 1024


class Pixels:
    """The raw images of a measurement; those that fit into `KEPT_BYTES` are decoded once."""

    def __init__(self, job: Measurement) -> None:
        self.images = job.images
        self.files = ImageFiles(Path(job.root), [image.path for image in job.images], job.bit_depth)
        self.kept: dict[int, RGBImage] = {}
        self.free = KEPT_BYTES

    def read(self, row: int) -> RGBImage:
        """Return an image, uint8 [H, W, 3]."""
        if row in self.kept:
            return self.kept[row]
        (pixels,) = self.files.raw([row])
        if pixels.nbytes <= self.free:
            self.free -= pixels.nbytes
            self.kept[row] = pixels
        return pixels

    def corrupted(self, name: str, strength: int, change: Callable[[RGBImage], Any]) -> Iterator[Any]:
        """Yield every image under a corruption, after `change`."""

        def one(row: int) -> Any:
            return change(corrupt(name, self.read(row), strength, self.images[row].digest))

        return ordered_map(one, range(len(self.images)))


# From all images under a corruption, at a strength, to features float32 [N, D].
Extract = Callable[[str, int], Features]


def open_network(encoder: keras.Model, run: RunRecord, pixels: Pixels) -> tuple[Extract, str]:
    """Return a function that extracts features of corrupted images, and the engine that it uses.

    Args:
        encoder: raw images to features, from a saved model.
        run: its record, which says the engine.
        pixels: the images.
    """
    if run.engine not in ENGINES or "resizing" not in {layer.name for layer in encoder.layers}:
        # An ensemble resizes its images once for each part.
        def plain(name: str, strength: int) -> Features:
            return saved_model.probabilities(encoder, pixels.corrupted(name, strength, lambda image: image))

        return plain, "keras"
    size = encoder.get_layer("resizing").height

    def resized(name: str, strength: int) -> Iterator[NDArray[np.float32]]:
        return pixels.corrupted(name, strength, lambda image: resize(image, size))

    batch = ENGINES[run.engine].batch
    first = np.stack([resize(pixels.read(row % len(pixels.images)), size) for row in range(batch)])
    compute, check = checked_engine(run.engine, encoder, run.precision, first)

    def extract(name: str, strength: int) -> Features:
        counts: list[int] = []

        def fixed() -> Iterator[NDArray[np.float32]]:
            for images, count in batches(resized(name, strength), ENGINES[check.engine].batch):
                counts.append(count)
                yield images

        return np.concatenate([features[: counts.pop(0)] for features in compute(fixed())])

    return extract, check.engine


@dataclass
class Network:
    """The rows that share a network, and their answers.

    Attributes:
        runs: their records.
        heads: of the same rows.
        extract: of `open_network`.
        answers: by (corruption, strength), int [N] for each row.
    """

    runs: list[RunRecord]
    heads: list[Head]
    extract: Extract
    answers: dict[tuple[str, int], list[Labels]] = field(default_factory=dict)

    def ask(self, name: str, strength: int) -> list[Labels]:
        """Return the answers of each row to the images under a corruption."""
        features = self.extract(name, strength)
        return [head(features).argmax(axis=1) for head in self.heads]

    def measure(self, strengths: Sequence[int], step: Callable[[int], None]) -> None:
        """Measure all corruptions at these strengths."""
        for strength in strengths:
            for name in CORRUPTIONS:
                self.answers[name, strength] = self.ask(name, strength)
                step(len(self.answers))


def measure(job: Measurement, names: Sequence[str], pixels: Pixels, emit: Callable[[Event], None]) -> None:
    """Measure the rows of one network and write their records.

    Args:
        job: the images.
        names: of the rows.
        pixels: the images.
        emit: called with events of progress.
    """
    start, results = time.perf_counter(), Path(job.results)
    runs = [read_record(results / "runs" / f"{name}-s0-f0" / "result.json", RunRecord) for name in names]
    encoder = saved_model.encoder_of(saved_model.load(results / str(runs[0].model)))
    extract, engine = open_network(encoder, runs[0], pixels)
    heads = [Head.load(results / "runs" / run.run_name / "head.npz") for run in runs]
    network, total = Network(runs, heads, extract), len(CORRUPTIONS) * len(STRENGTHS)

    def step(done: int) -> None:
        images = len(job.images)
        emit(Event(kind="progress", step="robustness", run=runs[0].backbone, done=done * images, total=total * images))

    clean = network.ask(next(iter(CORRUPTIONS)), 0)
    began = time.perf_counter()
    network.measure(FIRST, step)
    rest = [strength for strength in STRENGTHS if strength not in FIRST]
    if (time.perf_counter() - began) * len(STRENGTHS) / len(FIRST) <= BUDGET_SECONDS:
        network.measure(rest, step)
    step(total)
    for place, run in enumerate(runs):
        measured = Measured(
            labels=np.array([image.label for image in job.images], np.int64),
            groups=np.array([image.group for image in job.images], np.int64),
            clean=clean[place],
            corrupted={key: answers[place] for key, answers in network.answers.items()},
        )
        record = describe_robustness(
            measured,
            job.classes,
            {name: row.title for name, row in CORRUPTIONS.items()},
            version=VERSION,
            fingerprint=run.fingerprint,
            clean_differences=_differences(results, run, job, clean[place]),
            engine=engine,
            seconds=time.perf_counter() - start,
        )
        write_json(record_path(results, run.name), record)


def _differences(results: Path, run: RunRecord, job: Measurement, answers: Labels) -> int:
    """Return how many unchanged images are answered otherwise than in the run's predictions."""
    path = results / "runs" / run.run_name / FILE
    paths, _, predicted = read_predictions(path, run.classes, run.digests.get(FILE))
    before = dict(zip(paths, predicted.tolist(), strict=True))
    return sum(before.get(image.path) != answer for image, answer in zip(job.images, answers.tolist(), strict=True))


def main() -> None:
    """Run the job named on the command line."""
    listen_to_parent()
    emit = open_events()
    job = Measurement.model_validate_json(Path(sys.argv[1]).read_bytes())
    pixels = Pixels(job)
    for names in job.networks:
        try:
            measure(job, names, pixels, emit)
        except Exception as error:
            # One network's failure is a notice; the others go on.
            emit(Event(kind="failed", run=names[0], text=reason_of(error)))


if __name__ == "__main__":
    main()
