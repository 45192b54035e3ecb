"""The records of the test with unknown defects: RESULTS/unknown/<row>.json, and what of it stands on a model's card."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from steelbench.errors import SteelbenchError
from steelbench.records.base import Finite, Record, RoundedShare, Share, read_record
from steelbench.records.run import SCHEMA

# Raised where a score is computed in another way, so that no old number stands beside a new one.
UNKNOWN_VERSION = 1
ScoreName = Literal["max_probability", "energy", "knn", "mahalanobis"]


class Detection(Record):
    """How well one score tells images of an unknown class from those of known classes; higher scores are unfamiliar."""

    auroc: RoundedShare = Field(description="probability that an unknown image scores higher than a known one")
    auroc_low: RoundedShare
    auroc_high: RoundedShare
    false_alarms: RoundedShare = Field(description="known test images at the threshold that 95 % of the unknown reach")
    false_alarms_low: RoundedShare
    false_alarms_high: RoundedShare
    detected: RoundedShare = Field(description="unknown images above the threshold that validation images chose")
    flagged: RoundedShare = Field(description="known test images above the same threshold")


class LeftOutClass(Record):
    """One class that a head was trained without, and how well its images were told from the known ones."""

    name: str
    images: int = Field(description="of the class, that share no pixels with an image that was learned from")
    excluded: int = Field(description="of the class, that do")
    known: int = Field(description="test images of the other classes")
    scores: dict[ScoreName, Detection] = Field(description="empty if no image is left")


class Unfamiliar(Record):
    """The threshold above which a saved model calls an image unfamiliar.

    Attributes:
        score: by which.
        threshold: an image that scores higher is unfamiliar.
        flagged: share of known validation images that the threshold was chosen to flag at most.
        detected: share of the images of a left-out class that such a threshold found, mean over classes.
        neighbours: k, of the distance to the k-th nearest training image.
        sha256: of the file NAME.unfamiliar.npz beside the model, which holds what the score compares with; "" for a
            score that needs none.
    """

    score: ScoreName
    threshold: Finite
    flagged: Share
    detected: RoundedShare
    neighbours: int | None = Field(None, ge=1, le=1000)
    sha256: str = ""


class UnknownRecord(Record):
    """The test of one row with unknown defects: every class left out once, from the images of seed 0, fold 0."""

    schema_version: int = SCHEMA
    version: int = UNKNOWN_VERSION
    name: str
    fingerprint: str = Field(description="of the run of seed 0, fold 0")
    reason: str = Field("", description='why the row was passed over; "" if it was measured')
    classes: list[LeftOutClass] = Field(default_factory=list)
    mean: dict[ScoreName, Detection] = Field({}, description="over the classes")
    best: ScoreName | None = Field(None, description="the score of the highest mean AUROC")
    seconds: Finite = 0.0
    card: Unfamiliar | None = Field(None, description="for the saved model")

    @property
    def worst(self) -> LeftOutClass | None:
        """Return the class that the best score finds least, None if none was measured."""
        best = self.best
        if best is None:
            return None
        measured = [own for own in self.classes if best in own.scores]
        return min(measured, key=lambda own: own.scores[best].auroc, default=None)


def unknown_file(results: Path, name: str) -> Path:
    """Return the path of a row's record."""
    return results / "unknown" / f"{name}.json"


def read_unknown(results: Path, name: str, fingerprint: str) -> UnknownRecord | None:
    """Read a row's record; None if it is missing, damaged, or of another run: `--with unknown` then makes it anew.

    Args:
        results: the results folder.
        name: of the row.
        fingerprint: of its run of seed 0, fold 0.
    """
    try:
        record = read_record(unknown_file(results, name), UnknownRecord)
    except SteelbenchError:
        return None
    same = (record.fingerprint, record.version) == (fingerprint, UNKNOWN_VERSION)
    return record if same else None
