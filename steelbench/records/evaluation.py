"""The record of `steelbench evaluate`: a saved model's scores on a labelled folder, OUT/evaluation.json."""

from __future__ import annotations

from pydantic import Field

from steelbench.records.base import Finite, Record, Share
from steelbench.records.summary import ClassScore


class Evaluation(Record):
    """What `evaluate` found, as `evaluation.json` has it.

    Attributes:
        model: name on the card.
        sha256: of the model's file.
        data: as it was named.
        images: that were answered.
        unreadable: images, by the reason.
        learned: answered images with the pixels of one that the model learned from; None where its card does not say.
        left_out: images that `--unseen` left out.
        unknown_classes: images of each class that the model does not know; their answers cannot be right.
        named_as: how often it named each of its classes for them.
        missing_classes: that the model knows, and the data has no image of.
        accuracy: of the images of known classes; None without one.
        accuracy_all: where the images of unknown classes count as wrong.
        groups: of images that share pixels.
        audited: whether images were searched for shared pixels; else only equal ones are a group.
        confusion: [true class][predicted class], of known classes, in the order of `classes`.
    """

    model: str
    sha256: str
    data: str
    images: int
    unreadable: dict[str, int] = Field({})
    learned: int | None = None
    left_out: int = 0
    unknown_classes: dict[str, int] = Field({})
    named_as: dict[str, int] = Field({})
    missing_classes: list[str] = Field([])
    classes: list[str]
    accuracy: Share | None = None
    accuracy_low: Share | None = None
    accuracy_high: Share | None = None
    accuracy_all: Share | None = None
    macro_f1: Share | None = None
    macro_f1_low: Share | None = None
    macro_f1_high: Share | None = None
    balanced_accuracy: Share | None = None
    n_effective: Finite | None = None
    groups: int = 0
    audited: bool = False
    per_class: list[ClassScore] = Field([])
    confusion: list[list[int]] = Field([])
