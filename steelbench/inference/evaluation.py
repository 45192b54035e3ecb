"""Scores of a saved model on a labelled folder: classes matched by name, images that it learned from counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.arrays import Features
from steelbench.audit.audit import audited_pairs
from steelbench.data.groups import crop_links, group_numbers, image_keys, pair_links
from steelbench.data.inspection import Inspected, Inspection, Skipped
from steelbench.data.readers import read_dataset
from steelbench.data.samples import Sample
from steelbench.errors import SteelbenchError
from steelbench.evaluation.metrics import learn_dependences, row_scores
from steelbench.evaluation.predictions import RowPredictions
from steelbench.evaluation.results_diff import Answered
from steelbench.experiment import DataOptions
from steelbench.inference.model import Opening
from steelbench.inference.network import Network, open_network
from steelbench.inference.stream import answers
from steelbench.models.training_digests import DIGITS, read_training_digests
from steelbench.progress import Progress, no_progress
from steelbench.records.evaluation import Evaluation

# The search for images that share pixels takes about 5 s for 1000 images.
AUDITED = 1000


@dataclass(frozen=True)
class LabelledImages:
    """A labelled folder.

    Attributes:
        options: how it was read.
        root: that paths start from.
        samples: with a label.
        groups: by path, of images that the data calls one group.
    """

    options: DataOptions
    root: Path
    samples: Sequence[Sample]

    @property
    def groups(self) -> dict[str, str]:
        """The data's own groups, by path."""
        return {sample.path: sample.group for sample in self.samples if sample.group}


@dataclass(frozen=True)
class Answers:
    """The answers of a model to the readable images of a labelled folder.

    Attributes:
        network: the model.
        images: N, with their labels and digests.
        probabilities: float32 [N, C].
        skipped: unreadable images.
    """

    network: Network
    images: Sequence[Inspected]
    probabilities: Features
    skipped: Sequence[Skipped]

    @property
    def named(self) -> list[str]:
        """The class that the model names for each image."""
        classes = self.network.card.classes
        return [classes[place] for place in self.probabilities.argmax(axis=1)]

    def only(self, chosen: Sequence[bool]) -> Answers:
        """Return the answers to some of the images."""
        rows = [row for row, own in enumerate(chosen) if own]
        return dataclasses.replace(
            self, images=[self.images[row] for row in rows], probabilities=self.probabilities[rows]
        )

    def learned(self) -> list[bool] | None:
        """Return which images have the pixels of one that the model learned from; None where its card does not say."""
        known = read_training_digests(self.network.card)
        return None if known is None else [image.pixels_digest[:DIGITS] in known for image in self.images]


def labelled_images(options: DataOptions) -> LabelledImages:
    """Read the names and labels of a folder.

    Raises:
        SteelbenchError: if it cannot be read, or holds no labelled image.
    """
    _, dataset = read_dataset(options)
    samples = [sample for sample in dataset.samples if sample.label]
    if not samples:
        raise SteelbenchError(
            f"{options.data} holds no labelled images; expected one folder for each class, or a CSV file."
        )
    return LabelledImages(options, dataset.root, samples)


def answer_images(
    path: Path,
    images: LabelledImages,
    engine: str = "auto",
    *,
    opening: Opening | None = None,
    tell: Callable[[str], None] = print,
    progress: Progress = no_progress,
) -> Answers:
    """Return the answers of a saved model to every readable image.

    Args:
        path: of the `.h5`.
        images: to answer.
        engine: `auto`, `keras` or `openvino`.
        opening: what the user says of the model.
        tell: called with a sentence where another engine computes than was meant.
        progress: called with the number of images done and the total.

    Raises:
        SteelbenchError: if the model cannot be loaded, knows none of the classes, or no image can be read.
    """
    network = open_network(path, engine, opening=opening, images=len(images.samples), tell=tell)
    classes = set(network.card.classes)
    labels = dict.fromkeys(sample.label for sample in images.samples)
    if classes.isdisjoint(labels):
        raise SteelbenchError(
            f"{network.card.name} knows none of the classes of {images.options.data} ({_some(labels)}); it knows "
            f"{_some(network.card.classes)}. Name the folders as the model names its classes."
        )
    depth = images.options.bit_depth or network.card.bit_depth
    seen, rows, skipped = [], [], []
    found = answers(network, (images.root / sample.path for sample in images.samples), depth, inspect=True)
    for done, (sample, answer) in enumerate(zip(images.samples, found, strict=True), start=1):
        if answer.seen is None:
            skipped.append(Skipped(sample.path, answer.reason))
        else:
            seen.append(dataclasses.replace(answer.seen, sample=sample))
            rows.append(answer.probabilities)
        progress("features", network.card.name, done, len(images.samples))
    if not seen:
        raise SteelbenchError(
            f"none of the {len(skipped)} images can be read ({skipped[0].reason}); name another folder."
        )
    return Answers(network, seen, np.stack(rows), skipped)


def _some(names: Any) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (" ..." if len(listed) > 6 else "")


def evaluate(found: Answers, images: LabelledImages, *, unseen: bool, progress: Progress = no_progress) -> Evaluation:
    """Score answers.

    Args:
        found: to every readable image.
        images: as they were read.
        unseen: whether images that the model learned from are left out.
        progress: of the search for images that share pixels.

    Raises:
        SteelbenchError: if `unseen` is asked for, and the card does not say what the model learned from, or nothing is
            left.
    """
    card, learned = found.network.card, found.learned()
    if unseen and learned is None:
        raise SteelbenchError(
            f"the card of {card.name} does not say which images it learned from, so --unseen cannot leave them out; "
            "models that `steelbench run` saves from now on say it."
        )
    chosen = scored(found, unseen=unseen)
    if not chosen.images:
        raise SteelbenchError(f"{card.name} learned from all {len(found.images)} images; --unseen leaves none.")
    labels = [image.sample.label for image in chosen.images]
    unknown = Counter(label for label in labels if label not in card.classes)
    own = chosen.only([label in card.classes for label in labels])
    right = sum(a == b for a, b in zip(labels, chosen.named, strict=True))
    groups, audited = _groups(chosen, images, progress)
    return Evaluation(
        model=card.name,
        sha256=card.sha256,
        data=images.options.data,
        images=len(labels),
        unreadable=dict(Counter(skipped.reason for skipped in found.skipped)),
        learned=None if learned is None else sum(learned),
        left_out=len(found.images) - len(labels),
        unknown_classes=dict(unknown),
        named_as=dict(
            Counter(name for name, label in zip(chosen.named, labels, strict=True) if label in unknown).most_common()
        ),
        missing_classes=[name for name in card.classes if name not in labels],
        classes=list(card.classes),
        accuracy_all=right / len(labels),
        groups=len(set(groups.values())),
        audited=audited,
        **(_scores(own, groups) if own.images else {}),
    )


def scored(found: Answers, *, unseen: bool) -> Answers:
    """Return the answers that are scored: without the images that the model learned from, if `unseen` is asked for."""
    learned = found.learned()
    return found.only([not own for own in learned]) if unseen and learned is not None else found


def _scores(own: Answers, groups: Mapping[str, str]) -> dict[str, Any]:
    """Return the scores of images of known classes, as of a row of the leaderboard."""
    classes = own.network.card.classes
    number = {name: place for place, name in enumerate(classes)}
    # In the order of their paths, as the answers of a row are.
    order = sorted(range(len(own.images)), key=lambda row: own.images[row].sample.path)
    rows = RowPredictions(
        [own.images[row].sample.path for row in order],
        np.array([number[own.images[row].sample.label] for row in order], np.int64),
        own.probabilities.argmax(axis=1)[order][None].astype(np.int64),
        [],
    )
    dependence = learn_dependences({"": rows}, groups, ())[""]
    return {name: value for name, value in row_scores(rows, classes, groups, dependence).items() if name != "n_test"}


def _groups(chosen: Answers, images: LabelledImages, progress: Progress) -> tuple[dict[str, str], bool]:
    """Return the group of each image by its path, and whether the images were searched for shared pixels."""
    found = sorted(chosen.images, key=lambda image: image.sample.path)
    files = [image.sample.path for image in found]
    links, audited = crop_links(files), len(files) <= AUDITED
    if audited:
        classes = tuple(sorted({image.sample.label for image in found}))
        inspection = Inspection(tuple(found), (), classes, "")
        depth = images.options.bit_depth or chosen.network.card.bit_depth
        name = str(images.options.data)
        pairs, _, _ = audited_pairs(
            images.root, inspection, depth, lambda _, done, total: progress("audit", name, done, total)
        )
        links = np.concatenate([links, pair_links(files, pairs)])
    numbers = group_numbers(image_keys(found), links)
    return {file: str(number) for file, number in zip(files, numbers, strict=True)}, audited


def answered(path: Path, images: LabelledImages, engine: str, tell: Callable[[str], None] = print) -> Answered:
    """Return the answers of a saved model by image, to compare with another's."""
    found = answer_images(path, images, engine, tell=tell)
    named = zip(found.images, found.named, strict=True)
    return Answered(path.name, {(image.sample.path, 0): (image.sample.label, name) for image, name in named})
