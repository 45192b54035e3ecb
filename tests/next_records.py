"""Writes what the section "What to do next" and the maps are made of into a results folder of made-up records."""

import csv

import cv2
import numpy as np

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.embedding_file import write_embeddings
from steelbench.evaluation.label_first import LabelFirst, write_label_first
from steelbench.evaluation.predictions import write_predictions
from steelbench.files import write_json
from steelbench.records import ClassGain, EfficiencyLevel, LabelEfficiency, label_efficiency_file

IMAGES = 42


def efficiency(backbone, classes):
    """A record of which the first class gains, the second is at its end, and of the others nothing can be told."""
    gains = []
    for place, name in enumerate(classes):
        half, full, low, high = {0: (0.8, 0.9, 0.04, 0.16), 1: (1.0, 1.0, 0.0, 0.0)}.get(
            place, (0.9, 0.92, -0.03, 0.07)
        )
        gains.append(
            ClassGain(
                name=name, images=190 + place, tested=60, groups=58 - 6 * place, half=half, full=full,
                gain=full - half, gain_low=low, gain_high=high,
            )
        )  # fmt: skip
    levels = [
        EfficiencyLevel(
            share=share, images=1152 * share, accuracy=accuracy, low=accuracy - 0.02, high=accuracy + 0.01, fits=3,
            recalls=[accuracy] * len(classes),
        )
        for share, accuracy in ((0.125, 0.8), (0.25, 0.85), (0.5, 0.9), (1.0, 0.93))
    ]  # fmt: skip
    return LabelEfficiency(
        backbone=backbone, image_size=224, c=0.1, splits=1, draws=3, levels=levels, classes=gains, seconds=1.0
    )


def lines_to_label(hostile):
    return [
        LabelFirst(hostile, "crazing", 0.41, 0.99, "between crazing and patches; unlike the training images"),
        LabelFirst("b/2.png", "patches", 0.52, 0.5, "between patches and crazing"),
    ]


def write_next(folder, row, classes, hostile="b/1.png"):
    """Write the record of the row's backbone, the list of images to label, and the row's embedded test images."""
    found = efficiency(row.backbone, classes)
    write_json(label_efficiency_file(folder, row.backbone, 224), found)
    write_label_first(folder / "label_first.csv", lines_to_label(hostile))
    (folder / "label_first").mkdir()
    cv2.imwrite(str(folder / "label_first" / "1.jpg"), np.full((128, 128), 90, "u1"))
    run = folder / "runs" / row.runs[0]
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % len(classes)
    paths = [hostile, *(f"image {number}.png" for number in range(1, IMAGES))]
    probabilities = np.full((IMAGES, len(classes)), 0.01, np.float32)
    probabilities[np.arange(IMAGES), labels] = 0.9
    # The first image is taken for the second class.
    probabilities[0] = np.eye(len(classes), dtype=np.float32)[1]
    write_predictions(run / "predictions.csv", paths, [classes[label] for label in labels], probabilities, classes)
    vectors = (np.eye(16)[labels] + random.normal(0, 0.2, (IMAGES, 16))).astype(np.float32)
    write_embeddings(run, Embedded(vectors, labels, np.arange(IMAGES)), with_projection=True)
    (folder / "audit").mkdir(exist_ok=True)
    with (folder / "audit" / "groups.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerows([("file", "group"), *((path, min(number, 40)) for number, path in enumerate(paths))])
    return found
