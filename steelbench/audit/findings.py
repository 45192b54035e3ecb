"""The record of an audit, its headline numbers, and its files: `audit.json`, `pairs.csv`, `groups.csv`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from steelbench.audit.image_statistics import ImageStatistics
from steelbench.audit.shortcuts import Brightness, Shortcut
from steelbench.csv_files import write_csv
from steelbench.data.groups import Kind, Pair
from steelbench.data.inspection import Inspection
from steelbench.files import write_json


@dataclass(frozen=True)
class SuspiciousLabel:
    """An image to which a classifier that has not seen it gives another label.

    Attributes:
        file: its path below the data folder.
        label: the class that the data gives.
        suggested: the class that the classifier gives.
        confidence: probability, 0..1, that the classifier gives the data's label.
        flagged: whether confident learning counts the label as wrong; the others may be hard images.
        backbone: network whose features the classifier sees.
    """

    file: str
    label: str
    suggested: str
    confidence: float
    flagged: bool
    backbone: str


@dataclass(frozen=True)
class LabelCheck:
    """The features that labels were checked with.

    Attributes:
        backbone: network whose features they are.
        weights: kind of its weights, such as `imagenet` or `random`.
        images: number of images with features.
        reason: why the labels could not be checked although there are features; empty if they were.
    """

    backbone: str
    weights: str
    images: int
    reason: str = ""


@dataclass(frozen=True)
class AuditResult:
    """Everything that the audit found.

    Attributes:
        name: of the reader.
        root: the data folder.
        inspection: the images.
        bit_depth: used bits of 16-bit files, as given.
        left_out: images that the reader did not use, counted by reason.
        pairs: files that share pixels, sorted.
        groups: number of each file's group of files that share pixels, directly or along a chain; every file has one.
        leaks: `expected_random_leakage`, 0..1, by the name of the split, such as `80/20`.
        statistics: format, size, gray levels, sharpness of each image.
        shortcuts: how well single attributes tell the class.
        brightness: of each class.
        doubtful: files that are almost black, almost white, or blurred.
        seconds: that finding the pairs took, when it was done.
        from_cache: whether the pairs were kept from an earlier audit of the same images.
        suspicious: labels that look wrong, the most suspicious first.
        label_check: None where no features of the images were cached, so that `suspicious` says nothing.
    """

    name: str
    root: Path
    inspection: Inspection
    bit_depth: int | None
    left_out: Mapping[str, int]
    pairs: list[Pair]
    groups: dict[str, int]
    leaks: dict[str, float]
    statistics: list[ImageStatistics]
    shortcuts: list[Shortcut]
    brightness: list[Brightness]
    doubtful: dict[str, list[str]]
    seconds: float
    from_cache: bool
    suspicious: Sequence[SuspiciousLabel] = field(default=())
    label_check: LabelCheck | None = None

    @property
    def conflicts(self) -> list[Pair]:
        """Pairs of the same picture in two classes; overlapping crops may rightly differ."""
        return [pair for pair in self.pairs if not pair.same_label and pair.kind != "overlap"]

    @property
    def pair_kinds(self) -> Counter[Kind]:
        """Number of pairs of each kind that occurs."""
        return Counter(pair.kind for pair in self.pairs)

    @property
    def pairs_across_classes(self) -> int:
        """Number of pairs whose files have two labels."""
        return sum(not pair.same_label for pair in self.pairs)

    @cached_property
    def group_sizes(self) -> list[int]:
        """Number of images of each group, single images included, in the order of the groups' numbers."""
        return list(Counter(self.groups.values()).values())

    @property
    def shared_groups(self) -> int:
        """Number of groups of two or more images."""
        return sum(size > 1 for size in self.group_sizes)

    @property
    def grouped_images(self) -> int:
        """Number of images that share pixels with another one."""
        return sum(size for size in self.group_sizes if size > 1)

    @property
    def flagged_labels(self) -> int:
        """Number of labels that confident learning counts as wrong."""
        return sum(label.flagged for label in self.suspicious)

    @property
    def smallest_class(self) -> str:
        """Class with the fewest images; of several the first by name."""
        counts = self.inspection.counts
        return min(counts, key=lambda label: (counts[label], label))

    @property
    def largest_class(self) -> str:
        """Class with the most images; of several the last by name."""
        counts = self.inspection.counts
        return max(counts, key=lambda label: (counts[label], label))

    @property
    def imbalance(self) -> float:
        """Images of the largest class for each image of the smallest one."""
        counts = self.inspection.counts
        return max(counts.values()) / min(counts.values())


def write_audit(out: Path, audit: AuditResult) -> None:
    """Write `pairs.csv`, `groups.csv` and, last, `audit.json` into `out`."""
    rows = [{**asdict(pair), "same_label": str(pair.same_label).lower()} for pair in audit.pairs]
    columns = list(Pair.__dataclass_fields__)
    write_csv(out / "pairs.csv", columns, ([row[name] for name in columns] for row in rows))
    write_csv(out / "groups.csv", ["file", "group"], audit.groups.items())
    write_json(out / "audit.json", summarise(audit))


def summarise(audit: AuditResult) -> dict[str, Any]:
    """Return the content of `audit.json`."""
    return {
        "schema_version": 1,
        "dataset": audit.name,
        "digest": audit.inspection.digest,
        "images": len(audit.inspection.images),
        "classes": audit.inspection.counts,
        "imbalance": {
            "smallest": audit.smallest_class,
            "largest": audit.largest_class,
            "ratio": audit.imbalance,
        },
        "pairs": {
            "total": len(audit.pairs),
            "kinds": dict(sorted(audit.pair_kinds.items())),
            "across_classes": audit.pairs_across_classes,
        },
        "groups": {
            "total": len(audit.group_sizes),
            "largest": max(audit.group_sizes),
            "images_in_pairs": audit.grouped_images,
        },
        "leak_share": audit.leaks,
        "label_conflicts": [asdict(pair) for pair in audit.conflicts],
        "shortcuts": [{**asdict(shortcut), "notable": shortcut.notable} for shortcut in audit.shortcuts],
        "brightness": [asdict(row) for row in audit.brightness],
        "doubtful_images": audit.doubtful,
        "unreadable": [{"file": file, "reason": reason} for file, reason in audit.inspection.skipped],
        "left_out": dict(audit.left_out),
        "warnings": [notice.text for notice in audit.inspection.notices],
        "label_check": asdict(audit.label_check) if audit.label_check else None,
        "suspicious_labels": [asdict(label) for label in audit.suspicious],
        "seconds": {"pairs": audit.seconds},
        "from_cache": audit.from_cache,
    }
