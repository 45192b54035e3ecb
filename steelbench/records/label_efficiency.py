"""The record of what more labelled images bring: RESULTS/label_efficiency/<backbone>.json."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from steelbench.errors import SteelbenchError
from steelbench.records.base import Finite, Record, Share, read_record, row_name

FOLDER = "label_efficiency"
# Files that are read; a results folder of more backbones is not shown in full.
MOST_FILES = 60


class EfficiencyLevel(Record):
    """Test accuracy of a linear classifier that learned from a share of the training images."""

    share: Share
    images: Finite = Field(description="labelled images, mean over the fits")
    accuracy: Share = Field(description="mean over the fits")
    low: Share = Field(description="lowest of the fits")
    high: Share = Field(description="highest of the fits")
    fits: int
    recalls: list[Share | None] = Field(description="by class, mean over the fits; None without a test image")


class ClassGain(Record):
    """What the second half of the training images brought to the recall of one class."""

    name: str
    images: Finite = Field(description="training images of the class, mean over the splits")
    tested: int = Field(description="test images of the class, over all splits")
    groups: int = Field(description="of those, groups that share nothing")
    half: Share = Field(description="recall with half of the training images")
    full: Share = Field(description="recall with all of them")
    gain: Finite = Field(description="full minus half")
    gain_low: Finite
    gain_high: Finite = Field(description="of the 95 % interval over groups")


class LabelEfficiency(Record):
    """Accuracy and recall of a linear classifier on a backbone's frozen features against its training images."""

    backbone: str
    image_size: int
    c: Finite = Field(description="inverse L2 strength of the classifier")
    splits: int
    draws: int
    levels: list[EfficiencyLevel] = Field(description="fewest images first")
    classes: list[ClassGain] = Field(description="in the order of the data")
    seconds: Finite


def label_efficiency_file(results: Path, backbone: str, image_size: int) -> Path:
    """Return where the record of a backbone lies."""
    return results / FOLDER / f"{row_name(backbone, str(image_size))}.json"


def read_label_efficiency(results: Path) -> list[LabelEfficiency]:
    """Read the records of all backbones, sorted by the names of their files; a damaged one is left out."""
    found = []
    for path in sorted((results / FOLDER).glob("*.json"))[:MOST_FILES]:
        try:
            found.append(read_record(path, LabelEfficiency))
        except SteelbenchError:
            continue
    return found
