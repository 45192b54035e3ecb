"""The summary of all runs, made from their records: RESULTS/results.json."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from steelbench.records.base import Count, Finite, Record, RoundedShare, Share, SparseRecord
from steelbench.records.cost import Cost
from steelbench.records.robustness import Robustness
from steelbench.records.run import SCHEMA, RunNotes, Verification, WeightsRecord
from steelbench.records.unknown import UnknownRecord


class ClassScore(Record):
    """Precision, recall and F1 of one class on the test images, in 0..1, and its number of test images."""

    name: str
    precision: Share
    recall: Share
    f1: Share
    support: Count
    recall_low: Share | None = None
    recall_high: Share | None = None
    groups: int | None = Field(None, description="groups of its test images; images of one group share pixels")
    n_effective: Finite | None = Field(None, description="independent images that would tell as much about its recall")


class ShareScore(Record):
    """A share of answers in 0..1 with its 95 % interval, and the images that it was seen on."""

    share: Share
    low: Share
    high: Share
    images: int = Field(description="distinct test images")
    n_effective: Finite = Field(description="independent images that would tell as much")


class SoundScores(Record):
    """Errors of a row where a class of sound material is among the data; None without such test images."""

    name: str = Field(description="of the class of sound material")
    escape: ShareScore | None = Field(None, description="of the images with a defect, those named sound")
    overkill: ShareScore | None = Field(None, description="of the sound images, those named as a defect")
    misnamed: ShareScore | None = Field(None, description="of the images with a defect, those named as another defect")


class ReliabilityBin(Record):
    """Test answers of like confidence: how many, their mean confidence, and the share of them that is right."""

    count: Count
    confidence: Share
    accuracy: Share


class PromiseRecord(Record):
    """A share of escapes that may be promised with 95 %, and what it takes.

    With a class of sound material the share is of the images with a defect, else of all images.
    """

    escapes: Share
    threshold: Share | None = Field(None, description="least confidence of an answer that no person looks at")
    referred: Share | None = Field(None, description="images sent to a person")
    images_needed: Count = Field(description="independent images without an escape that would show it")


class Trust(Record):
    """What the confidence of a row's models is worth on its test images, all seeds and folds together.

    An escape is an image that is looked at by nobody and, with a class of sound material, has a defect and is named
    sound; without such a class, that is named wrongly.
    """

    temperature: Finite | None = Field(None, description="of the scaling on validation images; mean over runs")
    calibration_error: Share = Field(description="expected calibration error, ten bins")
    calibration_error_raw: Share = Field(description="the same before temperature scaling")
    bins: list[ReliabilityBin] = Field(min_length=1)
    raw_bins: list[ReliabilityBin] = Field(min_length=1)
    thresholds: list[Share] = Field(description="ascending")
    referred: list[Share] = Field(description="share of images sent to a person, at each threshold")
    escaped: list[Share] = Field(
        description="share of escapes, at each threshold: among the images with a defect if `none_class` is named, "
        "else among all images"
    )
    escaped_by_class: list[list[Share]] = Field(
        description="the same among the images of each class; of `none_class` those named as a defect"
    )
    none_class: str = Field("", description='the class of sound material; "" for none')
    overkilled: list[Share] = Field(
        [], description="share of the images of `none_class` named as a defect and looked at by nobody"
    )
    class_shares: list[Share] = Field(description="share of each class among the images")
    promises: list[PromiseRecord]

    @model_validator(mode="after")
    def _refuse_other_lengths(self) -> Self:
        curves = (self.referred, self.escaped, *filter(None, self.escaped_by_class))
        if any(len(own) != len(self.thresholds) for own in curves):
            raise ValueError("its curves and thresholds are of different lengths")
        if len(self.escaped_by_class) != len(self.class_shares):
            raise ValueError("escaped_by_class and class_shares are of different lengths")
        return self


class RowDetail(Record):
    """What else the run records of a row say; weights and notes are those of seed 0, fold 0."""

    seconds: dict[str, Finite] = Field({}, description="by step")
    weights: WeightsRecord | None = None
    notes: RunNotes | None = None


class Row(Record):
    """One name's results over all of its seeds and folds; a line of `leaderboard.csv` and what the report draws."""

    name: str
    backbone: str
    method: str
    variant: str = ""
    weights: str
    status: Literal["done", "failed"]
    reason: str = ""
    accuracy: RoundedShare | None = None
    accuracy_low: RoundedShare | None = None
    accuracy_high: RoundedShare | None = None
    macro_f1: RoundedShare | None = None
    macro_f1_low: RoundedShare | None = None
    macro_f1_high: RoundedShare | None = None
    balanced_accuracy: RoundedShare | None = None
    n_test: Count | None = Field(None, description="distinct test images")
    n_effective: Finite | None = Field(None, description="independent images that would tell as much")
    naive_accuracy: RoundedShare | None = Field(None, description="of one random split that ignores what images share")
    untrained: bool | None = Field(None, description="its backbone has random weights that nothing trained")
    tied: bool | None = Field(None, description="not shown to be worse than the most accurate row")
    p_value: RoundedShare | None = Field(None, description="of the difference from the most accurate row, after Holm")
    engine: str = ""
    precision: str = ""
    params: Count | None = None
    model_bytes: Count | None = None
    seconds: Finite | None = None
    image_size: Count | None = None
    validation_accuracy: RoundedShare | None = None
    train_accuracy: RoundedShare | None = None
    model: str | None = None
    runs: list[str] = Field(default_factory=list)
    per_class: list[ClassScore] = Field(default_factory=list)
    confusion: list[list[Count]] = Field([], description="[true class][predicted class], summed over seeds and folds")
    verification: Verification | None = None
    sound: SoundScores | None = Field(None, description="escape and overkill; None without a class of sound material")
    trust: Trust | None = None
    cost: Cost | None = None
    unknown: UnknownRecord | None = Field(None, description="of `--with unknown`; None without it")
    robustness: Robustness | None = Field(None, description="of `--with robustness`")
    detail: RowDetail = RowDetail()

    @model_validator(mode="after")
    def _refuse_other_shapes(self) -> Self:
        if any(len(own) != len(self.confusion) for own in self.confusion):
            raise ValueError("its confusion matrix is not square")
        return self


class Notice(Record):
    """Something the reader must know before believing a number.

    `code` is a row of `steelbench.notices.NOTICES`; `row` is a row's name, or "" for the whole run.
    """

    level: Literal["serious", "caution", "note"]
    text: str
    row: str = ""
    code: str = ""


class DatasetSummary(Record):
    """The images of a run."""

    name: str = ""
    reader: str = Field("", description="a row of `DATASETS`")
    images: Count | None = None
    classes: dict[str, Count] = Field({}, description="images by class")
    skipped: Count = Field(0, description="unreadable images")
    left_out: dict[str, Count] = Field({}, description="images by the reason that the reader left them out for")
    digest: str = Field("", description="of all names, labels and bytes")


# `SplitSummary.kind` of a split that the data brings.
OWN_SPLIT = "own"


class SplitSummary(Record):
    """How the images were divided; the numbers of images are those of seed 0, fold 0."""

    kind: str = Field("grouped", description="grouped, random or regroup, as asked for; own if the data brings it")
    folds: Count = 1
    seeds: Count = 1
    groups: Count | None = Field(None, description="of images that share pixels")
    leaking: Share = Field(0.0, description="worst share of test images that share pixels with training images")
    naive_leaking: Share | None = Field(None, description="the same of the random split beside it")
    audit_seconds: Finite | None = None
    train: Count = 0
    validation: Count = 0
    test: Count = 0


class Comparison(SparseRecord):
    """What the comparison of the rows allows to say; everything is empty if no row finished."""

    best: str | None = Field(None, description="name of the most accurate row")
    tied: list[str] = Field([], description="rows that are not shown to be worse, the best one first")
    level: Share = Field(0.05, description="a row is worse if its p-value is at most this")
    method: str = Field("", description='of the test; "" if there was nothing to compare')
    n_effective: Finite | None = Field(None, description="independent images that tell as much about the best row")
    rival: str = Field("", description="name of the most accurate other row")
    smallest_difference: Share | None = Field(
        None, description="the smallest true difference between best and rival that is shown four times out of five"
    )
    images_needed: int | None = Field(
        None, description="test images like these that would show the difference between best and rival so often"
    )
    smallest_with_more: dict[str, Share] = Field(
        {}, description="`smallest_difference` with so many times the test images"
    )
    differences: dict[str, Finite] = Field({}, description="by name, the best row's accuracy minus the other's")
    resampled_t: dict[str, RoundedShare] = Field(
        {}, description="by name, p-values of the corrected resampled t-test over folds and seeds, after Holm"
    )
    left_out: list[str] = Field([], description="finished rows that were tested on other images")


class ThumbnailIndex(Record):
    """The thumbnails of a results folder: RESULTS/thumbnails/index.json."""

    files: dict[str, str] = Field(description="name of the JPEG by the path of the image")
    examples: dict[str, list[str]] = Field({}, description="paths of some images of each class")


class Summary(Record):
    """Everything that the report needs beside the histories: `results.json`."""

    schema_version: int = SCHEMA
    dataset: DatasetSummary
    split: SplitSummary
    rows: list[Row] = Field(description="best first; the majority class is one of them, failed rows are last")
    warnings: list[Notice] = Field(default_factory=list)
    silenced: list[str] = Field([], description="codes of notices that the command was told not to show")
    judgement: Comparison = Comparison()
    none_class: str = Field("", description='the class of sound material; "" if none is known')

    @property
    def shown_notices(self) -> list[Notice]:
        """The notices that were not silenced."""
        return [notice for notice in self.warnings if notice.code not in self.silenced]
