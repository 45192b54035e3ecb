"""OpenVINO in 8-bit integers: NNCF chooses scales on calibration images; what that changes is measured, not guessed."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from steelbench.arrays import Features, ImageBatch, Labels, RGBImage
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.experiment import DataOptions
from steelbench.inference.exports.agreement import Images, answers
from steelbench.inference.exports.contract import OUTPUT
from steelbench.inference.exports.formats import Compute
from steelbench.records import Record

# NNCF's own default; its algorithms gain nothing from more.
CALIBRATION = 300
# Accuracy that may be lost, as a share of the images.
MAX_DROP = 0.01
# Changed images that are listed by name.
LISTED = 50
# Rounds of the two networks in turn, and the seconds of each: the machine's speed drifts.
ROUNDS, SECONDS = 3, 2.0


class Accuracy(Record):
    """Share of right answers on the labelled images that calibrated nothing, with its 95 % interval."""

    value: float
    low: float
    high: float


class Changed(Record):
    """An image whose class changed."""

    path: str
    label: str
    before: str
    after: str


class Int8Record(Record):
    """What 8 bits change, on labelled images.

    Attributes:
        calibration_images: that chose the scales.
        images: other ones, that the accuracies are of.
        before: accuracy in float32.
        after: accuracy in 8 bits.
        classes_changed: images whose most probable class differs.
        lost: images answered rightly before and wrongly after.
        gained: images answered wrongly before and rightly after.
        largest_difference: of a probability, 0..1.
        images_per_second_before: one image at a time, decoded already, OpenVINO in float32.
        images_per_second_after: the same in 8 bits.
        changed: the first `LISTED` images whose class changed.
    """

    calibration_images: int
    images: int
    before: Accuracy
    after: Accuracy
    classes_changed: int
    lost: int
    gained: int
    largest_difference: float
    images_per_second_before: float
    images_per_second_after: float
    changed: list[Changed]

    def told(self) -> str:
        """Return it as a clause."""
        new, old = self.after, self.before
        return (
            f"accuracy {new.value:.2%} [{new.low:.2%}, {new.high:.2%}] on {self.images} labelled images, "
            f"{old.value:.2%} [{old.low:.2%}, {old.high:.2%}] in float32; "
            f"{self.classes_changed} change their class ({self.lost} to a wrong one, {self.gained} to the right one), "
            f"a probability by up to {self.largest_difference:.2f}; "
            f"{self.images_per_second_after:.0f} images/s, {self.images_per_second_before:.0f} in float32"
        )


class Labelled(NamedTuple):
    """Labelled images, apart: those that calibrate, and those that are measured.

    Attributes:
        calibration: images that choose the scales.
        calibration_labels: int64 [M] of `calibration`, places in the model's classes.
        images: the other ones.
        labels: int64 [N] of `images`, places in the model's classes.
        names: of `images`, relative to the data folder.
        digest: of the data folder.
    """

    calibration: Images
    calibration_labels: Labels
    images: Images
    labels: Labels
    names: list[str]
    digest: str


def read_labelled(folder: Path, classes: Sequence[str], bit_depth: int | None) -> Labelled:
    """Read labelled images, and set up to `CALIBRATION` apart, spread evenly over the classes.

    Where the data has test images of its own, those are measured and others calibrate; else at most half calibrate.

    Args:
        folder: with a folder for each class, or any other layout that `steelbench run --data` reads.
        classes: of the model.
        bit_depth: used bits of 16-bit files; None for all 16.

    Raises:
        SteelbenchError: if it cannot be read, or has a class that the model does not know.
    """
    _, dataset = read_dataset(DataOptions(data=str(folder)))
    found = inspect_dataset(dataset, bit_depth)
    unknown = [name for name in found.classes if name not in classes]
    if unknown:
        raise SteelbenchError(
            f"--int8 {folder} has the class '{unknown[0]}', which the model does not know; its classes are "
            f"{', '.join(classes)}."
        )
    order = sorted(range(len(found.images)), key=lambda row: (found.images[row].sample.label, row))
    test = [row for row in order if found.images[row].sample.split == "test"]
    others = [row for row in order if row not in set(test)] if test else order
    count = min(CALIBRATION, len(others) if test else len(others) // 2)
    apart = {others[place] for place in np.linspace(0, len(others) - 1, count).round().astype(int)}
    rest = sorted(test or set(order) - apart)

    def images(rows: Iterable[int]) -> Images:
        return Images([dataset.root / found.images[row].sample.path for row in rows], bit_depth)

    def labels(rows: Iterable[int]) -> Labels:
        return np.array([classes.index(found.images[row].sample.label) for row in rows], np.int64)

    chosen, names = sorted(apart), [found.images[row].sample.path for row in rest]
    return Labelled(images(chosen), labels(chosen), images(rest), labels(rest), names, found.digest)


def quantise(network: Any, data: Labelled, max_drop: float) -> Any:
    """Return an OpenVINO network with its convolutions in 8-bit integers.

    NNCF leaves those in float32 that cost the most right answers on the calibration images, one after the other, until
    no more than `max_drop` of them are lost. Without that, mobilenet_v2 on NEU fell from 99.7 % to 95.0 %.

    Args:
        network: in float32, of `core.read_model`.
        data: whose calibration images give the ranges of all activations, and the answers that count.
        max_drop: share of the calibration images, 0..1.
    """
    logging.getLogger("nncf").setLevel(logging.ERROR)
    # NNCF draws progress bars.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        import nncf

        return nncf.quantize_with_accuracy_control(
            network,
            nncf.Dataset(data.calibration, _batch),
            nncf.Dataset(list(zip(data.calibration.paths, data.calibration_labels, strict=True))),
            lambda compiled, rows: _right(compiled, rows, data.calibration),
            max_drop=max_drop,
            subset_size=len(data.calibration),
            # The head: a thousandth of the work, and its inputs are features of very different ranges. Depthwise
            # convolutions: 7 % of mobilenet_v2's products, and with them 96.7 % of the NEU images are answered rightly
            # before any layer goes back to float32, without them 98.9 %.
            ignored_scope=nncf.IgnoredScope(types=["MatMul", "GroupConvolution"], validate=False),
            # Slower to make: 97.8 % in place of 95.0 % right answers on NEU, before any layer is left in float32.
            fast_bias_correction=False,
        )


def _batch(image: RGBImage) -> ImageBatch:
    return image[None].astype(np.float32)


def _right(compiled: Any, rows: Iterable[tuple[Path, int]], images: Images) -> tuple[float, list[float]]:
    """Return the share of right answers, and 1 or 0 for each image, as NNCF asks for them."""
    right = []
    for path, label in rows:
        (image,) = Images([path], images.bit_depth)
        right.append(float(compiled(_batch(image))[OUTPUT].argmax() == label))
    return float(np.mean(right)), right


def measure(before: Compute, after: Compute, data: Labelled, classes: Sequence[str]) -> Int8Record:
    """Compare two networks on labelled images: right answers, changed classes, images per second."""
    old, new = answers(before, data.images), answers(after, data.images)
    was, now = old.argmax(axis=1), new.argmax(axis=1)
    changed = np.flatnonzero(was != now)
    right_before, right_after = was == data.labels, now == data.labels
    speeds = _speeds((before, after), next(iter(data.images)))
    return Int8Record(
        calibration_images=len(data.calibration),
        images=len(data.images),
        before=_accuracy(old, data.labels),
        after=_accuracy(new, data.labels),
        classes_changed=len(changed),
        lost=int((right_before & ~right_after).sum()),
        gained=int((~right_before & right_after).sum()),
        largest_difference=float(np.abs(old - new).max()),
        images_per_second_before=speeds[0],
        images_per_second_after=speeds[1],
        changed=[
            Changed(
                path=data.names[row],
                label=classes[data.labels[row]],
                before=classes[was[row]],
                after=classes[now[row]],
            )
            for row in changed[:LISTED]
        ],
    )


def _accuracy(probabilities: Features, labels: Labels) -> Accuracy:
    share = float((probabilities.argmax(axis=1) == labels).mean())
    interval = proportion_interval(share, len(labels))
    return Accuracy(value=share, low=interval.low, high=interval.high)


def _speeds(networks: Sequence[Compute], image: RGBImage) -> list[float]:
    """Return the best images/s of each network over rounds in turn, one image at a time."""
    batch = _batch(image)
    best = [0.0] * len(networks)
    for _ in range(ROUNDS):
        for number, compute in enumerate(networks):
            compute(batch)
            start, count = time.perf_counter(), 0
            while time.perf_counter() - start < SECONDS or count < 3:
                compute(batch)
                count += 1
            best[number] = max(best[number], count / (time.perf_counter() - start))
    return best
