"""The classic baseline: histograms of oriented gradients and a linear support vector machine, without any network."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.data.images import read_image
from steelbench.data.inspection import Inspected, Inspection
from steelbench.data.parallel import ordered_map
from steelbench.data.split_plan import labels_of
from steelbench.data.splits import Split
from steelbench.features.cache import FeatureStore
from steelbench.models.head import two_class_logits
from steelbench.records import RunRecord, read_record
from steelbench.training.baselines.majority import write_run

Array = NDArray[np.float32]
# Four cells in all: a texture has no place in the image, and finer cells did worse on NEU and X-SDD.
SIDE = 128
SETTINGS: dict[str, Any] = {
    "side": SIDE,
    "orientations": 9,
    "pixels_per_cell": [64, 64],
    "cells_per_block": [2, 2],
    "c": [0.01, 0.1, 1.0, 10.0],
    "scale": [1.0, 2.0, 5.0, 10.0],
}
LENGTH = 2 * 2 * 9


def run_hog(
    results: Path,
    inspection: Inspection,
    splits: dict[tuple[int, int], Split],
    root: Path,
    bit_depth: int | None,
    cache: Path,
    fingerprint: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the run `none-hog` of every seed and fold that is not there yet.

    Args:
        results: the results folder.
        inspection: the images.
        splits: by seed and fold.
        root: the data folder.
        bit_depth: used bits of 16-bit files.
        cache: where descriptors are kept.
        fingerprint: of data and splits; a run that has it is not done again.
        progress: called with images done and the total.

    References:
        Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection".
        https://doi.org/10.1109/CVPR.2005.177
    """
    todo = {key: split for key, split in splits.items() if not _is_done(results, *key, fingerprint)}
    if not todo:
        return
    start = time.perf_counter()
    features = descriptors(inspection.images, root, bit_depth, cache, progress)
    seconds = time.perf_counter() - start
    labels = labels_of(inspection)
    for (seed, fold), split in todo.items():
        start = time.perf_counter()
        probabilities, params, notes = train_svm(features, labels, len(inspection.classes), split)
        write_run(
            results, inspection, split, probabilities, method="hog", seed=seed, fold=fold, settings=SETTINGS,
            fingerprint=fingerprint, image_size=SIDE, params=params, notes=notes,
            seconds={"features": seconds, "fit": time.perf_counter() - start},
        )  # fmt: skip


def _is_done(results: Path, seed: int, fold: int, fingerprint: str) -> bool:
    path = results / "runs" / f"none-hog-s{seed}-f{fold}" / "result.json"
    return path.is_file() and read_record(path, RunRecord).fingerprint == fingerprint


def descriptors(
    images: tuple[Inspected, ...],
    root: Path,
    bit_depth: int | None,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Array:
    """The descriptor of every image, float32 [N, 36]; each image is seen once and kept by content."""
    known = {key: SETTINGS[key] for key in ("side", "orientations", "pixels_per_cell", "cells_per_block")}
    package = {"scikit-image": version("scikit-image"), "opencv": cv2.__version__}
    space = FeatureStore(cache, "hog", LENGTH, {**known, "bit_depth": bit_depth, **package})
    with space.locked():
        missing = [image for image in images if image.bytes_digest not in space]
        todo = list({image.bytes_digest: image for image in missing}.values())
        with space.writer() as write:
            found = ordered_map(lambda image: descriptor(read_image(root / image.sample.path, bit_depth)), todo)
            for done, (image, values) in enumerate(zip(todo, found, strict=True), start=1):
                write([image.bytes_digest], values[None])
                progress(done, len(todo))
    return space.gather([image.bytes_digest for image in images])


def descriptor(pixels: NDArray[np.uint8]) -> Array:
    """The histograms of one image uint8 [H, W, 3], float32 [36]; zeros for an image without any gradient."""
    from skimage.feature import hog

    gray = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return hog(
        gray,
        orientations=SETTINGS["orientations"],
        pixels_per_cell=SETTINGS["pixels_per_cell"],
        cells_per_block=SETTINGS["cells_per_block"],
    ).astype(np.float32)


def train_svm(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split
) -> tuple[Array, int, dict[str, float]]:
    """One linear SVM against the rest for each class; C is chosen on the validation images, the smallest of equals.

    An SVM knows no probabilities: those given are the softmax of its decision values times a scale, the one with
    the lowest validation log loss. The most probable class is the SVM's own.

    Returns:
        Probabilities float32 [N, C] of all images, the number of weights, and what was chosen.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import log_loss
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    truth = labels[split.validation]
    tried: list[tuple[float, float, Any]] = []
    for c in SETTINGS["c"]:
        model = make_pipeline(StandardScaler(), LinearSVC(C=c, random_state=0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features[split.train], labels[split.train])
        accuracy = float(np.mean(model.predict(features[split.validation]) == truth))
        tried.append((accuracy, c, model))
    _, c, model = max(tried, key=lambda trial: trial[0])
    decisions = np.asarray(model.decision_function(features))
    if decisions.ndim == 1:
        decisions = two_class_logits(decisions)
    scale = min(
        SETTINGS["scale"],
        key=lambda scale: log_loss(
            truth, _softmax(scale * decisions[split.validation], model.classes_, num_classes), labels=range(num_classes)
        ),
    )
    svm = model[-1]
    return (
        _softmax(scale * decisions, model.classes_, num_classes).astype(np.float32),
        int(svm.coef_.size + svm.intercept_.size),
        {"c": c, "scale": scale},
    )


def _softmax(logits: NDArray[np.float64], classes: NDArray[np.int64], num_classes: int) -> NDArray[np.float64]:
    """Probabilities [N, C]; a class that was not trained has none."""
    from scipy.special import softmax

    probabilities = np.zeros((len(logits), num_classes))
    probabilities[:, classes] = softmax(logits, axis=1)
    return probabilities
