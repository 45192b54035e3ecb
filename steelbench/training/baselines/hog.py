"""The classic baseline: histograms of oriented gradients (HOG) and a linear support vector machine, without a network.

References:
    Dalal and Triggs 2005, "Histograms of Oriented Gradients for Human Detection".
    https://doi.org/10.1109/CVPR.2005.177
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Labels
from steelbench.data.images import read_image
from steelbench.data.parallel import ordered_map
from steelbench.data.splits import Split
from steelbench.features.cache import FeatureStore
from steelbench.features.spec import ImageRef
from steelbench.models.head import two_class_logits

# Side of the square that images are resized to, pixels.
SIDE = 128
# Four cells in all: where in the image a texture lies says nothing, and finer cells were worse on NEU and X-SDD.
SETTINGS: dict[str, Any] = {
    "side": SIDE,
    "orientations": 9,
    "pixels_per_cell": [64, 64],
    "cells_per_block": [2, 2],
    "c": [0.01, 0.1, 1.0, 10.0],
    "scale": [1.0, 2.0, 5.0, 10.0],
}
# Of a descriptor: cells times orientations.
LENGTH = 2 * 2 * 9


def descriptors(
    images: Sequence[ImageRef],
    root: Path,
    bit_depth: int | None,
    cache: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Features:
    """Return the descriptor of every image; each is computed once and cached by content.

    Args:
        images: N of them.
        root: the folder that their paths are relative to.
        bit_depth: used bits of 16-bit files; None for all.
        cache: the cache folder.
        progress: called with images done and the total of those that the cache lacks.

    Returns:
        float32 [N, 36].
    """
    known = {key: SETTINGS[key] for key in ("side", "orientations", "pixels_per_cell", "cells_per_block")}
    package = {"scikit-image": version("scikit-image"), "opencv": cv2.__version__}
    store = FeatureStore(cache, "hog", LENGTH, {**known, "bit_depth": bit_depth, **package})
    with store.locked():
        todo = list({image.digest: image for image in images if image.digest not in store}.values())
        with store.writer() as write:
            found = ordered_map(lambda image: descriptor(read_image(root / image.path, bit_depth)), todo)
            for done, (image, values) in enumerate(zip(todo, found, strict=True), start=1):
                write([image.digest], values[None])
                progress(done, len(todo))
    return store.gather([image.digest for image in images])


def descriptor(pixels: NDArray[np.uint8]) -> Features:
    """Return the histograms of one image; zeros for an image without any gradient.

    Args:
        pixels: uint8 [H, W, 3], RGB.

    Returns:
        float32 [36].
    """
    from skimage.feature import hog

    gray = cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return hog(
        gray,
        orientations=SETTINGS["orientations"],
        pixels_per_cell=SETTINGS["pixels_per_cell"],
        cells_per_block=SETTINGS["cells_per_block"],
    ).astype(np.float32)


def train_svm(
    features: Features, labels: Labels, num_classes: int, split: Split
) -> tuple[Features, int, dict[str, float]]:
    """Train a linear SVM, each class against the rest; C is chosen on the validation images, the smallest of equals.

    An SVM has no probabilities. These are the softmax of its decision values times a scale, the scale with the lowest
    validation log loss; the most probable class is the SVM's own.

    Args:
        features: float32 [N, D].
        labels: int64 [N], class numbers.
        num_classes: number of classes.
        split: rows of the training and validation images.

    Returns:
        Probabilities float32 [N, C] of all images, the number of weights, and the chosen `c` and `scale`.
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
    """Return probabilities float64 [N, C]; 0 for a class without training images.

    Args:
        logits: float64 [N, K].
        classes: int64 [K], the classes that have training images.
        num_classes: C.
    """
    from scipy.special import softmax

    probabilities = np.zeros((len(logits), num_classes))
    probabilities[:, classes] = softmax(logits, axis=1)
    return probabilities
