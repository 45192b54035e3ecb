"""Say what to do next: classes that need images, labels to check, images to label, what more test images would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from steelbench.errors import SteelbenchError
from steelbench.evaluation.label_first import LABEL_FIRST_FILE, PICTURES, LabelFirst, read_label_first
from steelbench.files import read_file
from steelbench.records import (
    ClassGain,
    Comparison,
    LabelEfficiency,
    Record,
    Row,
    Share,
    read_record,
)
from steelbench.report.formatting import number, row_label
from steelbench.report.hard_images import HardImage
from steelbench.report.load import Records

# Of each list that the page shows.
SHOWN = 10
# A gain of recall below this is little, whatever it costs to label twice as many images.
LITTLE = 0.01
TIMES = {"2": "twice", "4": "four times"}
# Below so many groups the words name their number: they, not the images, are what little can be told from.
FEW = 30
# A thumbnail that is larger is none of ours.
MOST_BYTES = 200_000


@dataclass(frozen=True)
class NeededClass:
    """What the training images of a class brought, and what that means."""

    gain: ClassGain
    needed: bool
    words: str


class _Suspicious(Record):
    file: str
    label: str
    suggested: str
    confidence: Share
    flagged: bool


class _LabelCheck(Record):
    backbone: str = ""
    weights: str = ""
    reason: str = ""


class AuditLabels(Record):
    """What `audit/audit.json` says about labels."""

    label_check: _LabelCheck | None = None
    suspicious_labels: list[_Suspicious] = Field(default_factory=list)


@dataclass(frozen=True)
class DoubtfulLabel:
    """A label that a person should look at: what the data says, what was said instead, and by whom."""

    path: str
    label: str
    suggested: str
    reason: str


def needed_classes(found: LabelEfficiency) -> list[NeededClass]:
    """Return the classes with what their images brought, those first for which more images are shown to help."""
    told = [NeededClass(gain, gain.gain_low > 0, _words(gain)) for gain in found.classes]
    return sorted(told, key=lambda own: (not own.needed, -own.gain.gain))


def _words(gain: ClassGain) -> str:
    few = f" Only {gain.groups} independent test images tell this." if gain.groups < FEW else ""
    if gain.groups < 2:
        return "Cannot be told: its test images all share something."
    if gain.half == gain.full == 1:
        return f"Enough for these test images: half of the training images find all of them.{few}"
    if gain.gain_low > 0:
        more = min(gain.gain, 1 - gain.full)
        hope = (
            f" Twice as many images should find up to {_of_100(more)} more of 100."
            if more > 0
            else " All test images are found now; harder ones would show more."
        )
        return f"More images help: the second half found {_of_100(gain.gain)} more of 100.{hope}{few}"
    if gain.gain_high < LITTLE:
        return f"More images like these change little: fewer than {_of_100(LITTLE)} of 100.{few}"
    return (
        f"Cannot be told: the second half found {_change(gain.gain)} of 100, but anything from "
        f"{_change(gain.gain_low)} to {_change(gain.gain_high)} fits these {gain.groups} independent test images."
    )


def _of_100(share: float) -> str:
    return number(100 * share, 1)


def _change(share: float) -> str:
    return f"{_of_100(abs(share))} {'fewer' if share < 0 else 'more'}"


def doubtful_labels(hard: Sequence[HardImage] | None, audit: AuditLabels | None) -> list[DoubtfulLabel]:
    """Return labels to check, the most doubtful first, each image once.

    First those that every row names otherwise and the audit flags, then what all rows name alike, then the audit's.

    Args:
        hard: images that are answered wrongly; None where they are not recorded.
        audit: of the labels; None where there is none.
    """
    flagged = {own.file: own for own in (audit.suspicious_labels if audit else []) if own.flagged}
    found: dict[str, tuple[int, DoubtfulLabel]] = {}
    for image in hard or ():
        own = image.first
        if not (image.all_wrong and image.one_answer and own.rows_tested > 1):
            continue
        both = own.path in flagged and flagged[own.path].suggested == own.predicted
        rows = "both rows say" if own.rows_tested == 2 else f"all {own.rows_tested} rows say"
        reason = f"{rows} so" + (", and the check of labels" if both else "")
        found[own.path] = (0 if both else 1, DoubtfulLabel(own.path, own.label, own.predicted, reason))
    for path, suspicious in flagged.items():
        reason = f"the check of labels gives the label {100 * suspicious.confidence:.1f} %"
        found.setdefault(path, (2, DoubtfulLabel(path, suspicious.label, suspicious.suggested, reason)))
    return [own for _, own in sorted(found.values(), key=lambda pair: pair[0])]


def read_audit_labels(results: Path) -> AuditLabels | None:
    """Return what the audit says about labels; None if `audit/audit.json` is missing or damaged.

    Features of an untrained network tell nothing about a label: then the labels count as not checked.
    """
    try:
        found = read_record(results / "audit" / "audit.json", AuditLabels)
    except SteelbenchError:
        return None
    return AuditLabels() if found.label_check and found.label_check.weights == "random" else found


def read_pictures(results: Path, count: int) -> list[bytes | None]:
    """Return the pictures of the first lines of `label_first.csv`; None for one that is missing or no JPEG."""
    return [_picture(results / "label_first" / f"{place}.jpg") for place in range(1, 1 + min(PICTURES, count))]


def _picture(path: Path) -> bytes | None:
    try:
        data = read_file(path, MOST_BYTES)
    except OSError:
        return None
    return data if data.startswith(b"\xff\xd8") else None


def more_images(judgement: Comparison, models: Sequence[Row]) -> list[str]:
    """Return sentences on the difference that more test images would show; [] where nothing is compared."""
    smallest = judgement.smallest_difference
    if smallest is None or smallest >= 1:
        return []
    labels = {row.name: row_label(row) for row in models}
    images = next((row.n_test for row in models if row.name == judgement.best), None)
    best, rival = labels.get(judgement.best or "", ""), labels.get(judgement.rival, "")
    between = f" between {best} and {rival}" if rival else ""
    said = [
        f"The {number(images, 0)} test images show a true difference{between} of {100 * smallest:.1f} points four "
        "times out of five."
    ]
    more = [
        f"{TIMES.get(times, f'{times} times')} as many would show {100 * share:.1f} points"
        for times, share in judgement.smallest_with_more.items()
    ]
    if more:
        said.append(f"{', '.join(more)}.".capitalize())
    behind = judgement.differences.get(judgement.rival)
    if behind and judgement.rival in judgement.tied:
        seen = f"{rival} is {100 * behind:.2f} points behind {best}"
        if judgement.images_needed is None:
            said.append(f"{seen}: too little for any test set of a usual size. Choose by cost.")
        else:
            said.append(
                f"{seen}, which is not shown to be more than chance; if it is real, about "
                f"{number(judgement.images_needed, 0)} test images like these would show it."
            )
    return said


def best_efficiency(records: Records) -> LabelEfficiency | None:
    """Return the record of the backbone of the best row that has one."""
    found = {own.backbone: own for own in records.efficiencies}
    return next((found[row.backbone] for row in records.models if row.backbone in found), None)


def next_steps_context(results: Path, records: Records) -> dict[str, Any]:
    """Return the names that the template `_next.html.j2` uses."""
    best, audit = best_efficiency(records), read_audit_labels(results)
    lines = read_label_first(results / LABEL_FIRST_FILE)
    return {
        "efficiency": best,
        "needed_classes": needed_classes(best) if best else [],
        "doubtful": doubtful_labels(records.hard, audit),
        "label_check": audit.label_check if audit else None,
        "label_first": lines,
        "label_first_pictures": _with_pictures(lines or [], read_pictures(results, len(lines or []))),
        "more_images": more_images(records.summary.judgement, records.models),
        "shown_next": SHOWN,
    }


def _with_pictures(
    lines: Sequence[LabelFirst], pictures: Sequence[bytes | None]
) -> list[tuple[LabelFirst, bytes | None]]:
    return list(zip(lines, pictures, strict=False))
