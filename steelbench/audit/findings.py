"""What an audit found, and its files: `audit.json`, `pairs.csv`, `groups.csv`."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from steelbench.audit.image_statistics import ImageStatistics
from steelbench.audit.shortcuts import Brightness, Shortcut
from steelbench.data.groups import Pair
from steelbench.data.inspection import Inspection
from steelbench.files import write_json, write_text


@dataclass(frozen=True)
class Doubt:
    """An image whose label a classifier doubts that has not seen it.

    `confidence` is the probability, 0..1, that it gives the label; `suggested` is the class that it would give.
    `flagged` says that the label counts as wrong; the others may be hard images. `backbone` names the features.
    """

    file: str
    label: str
    suggested: str
    confidence: float
    flagged: bool
    backbone: str


@dataclass(frozen=True)
class LabelCheck:
    """By what the labels were judged: cached features of a backbone, their weights, and of how many images.

    `reason` says why they could not be judged although there are features.
    """

    backbone: str
    weights: str
    images: int
    reason: str = ""


@dataclass(frozen=True)
class AuditResult:
    """Everything that the audit found.

    `leaks` maps a split's name to the share of its test images, 0..1. `label_check` is None where no features of the
    images were cached, so that `suspicious` says nothing.
    """

    name: str
    root: Path
    inspection: Inspection
    bit_depth: int | None
    left_out: Mapping[str, int]
    pairs: list[Pair]
    groups: dict[str, int]
    leaks: dict[str, float]
    looks: list[ImageStatistics]
    shortcuts: list[Shortcut]
    brightness: list[Brightness]
    doubtful: dict[str, list[str]]
    seconds: float
    from_cache: bool
    suspicious: Sequence[Doubt] = field(default=())  # most suspicious first
    label_check: LabelCheck | None = None

    @property
    def conflicts(self) -> list[Pair]:
        """Pairs of the same picture in two classes; overlapping crops may rightly differ."""
        return [pair for pair in self.pairs if not pair.same_label and pair.kind != "overlap"]


def write_audit(out: Path, audit: AuditResult) -> None:
    """Write `pairs.csv`, `groups.csv` and, last, `audit.json` into `out`."""
    rows = [{**asdict(pair), "same_label": str(pair.same_label).lower()} for pair in audit.pairs]
    write_text(out / "pairs.csv", _csv(list(Pair.__dataclass_fields__), rows))
    groups = [{"file": file, "group": group} for file, group in audit.groups.items()]
    write_text(out / "groups.csv", _csv(["file", "group"], groups))
    write_json(out / "audit.json", summarise(audit))


def _csv(columns: list[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def summarise(audit: AuditResult) -> dict[str, Any]:
    """The audit as plain numbers and names."""
    counts = audit.inspection.counts
    sizes = Counter(audit.groups.values())
    return {
        "schema_version": 1,
        "dataset": audit.name,
        "digest": audit.inspection.digest,
        "images": len(audit.inspection.images),
        "classes": counts,
        "imbalance": {
            "smallest": min(counts, key=lambda label: (counts[label], label)),
            "largest": max(counts, key=lambda label: (counts[label], label)),
            "ratio": max(counts.values()) / min(counts.values()),
        },
        "pairs": {
            "total": len(audit.pairs),
            "kinds": dict(sorted(Counter(pair.kind for pair in audit.pairs).items())),
            "across_classes": sum(not pair.same_label for pair in audit.pairs),
        },
        "groups": {
            "total": len(sizes),
            "largest": max(sizes.values()),
            "images_in_pairs": sum(size for size in sizes.values() if size > 1),
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
        "suspicious_labels": [asdict(doubt) for doubt in audit.suspicious],
        "seconds": {"pairs": audit.seconds},
        "from_cache": audit.from_cache,
    }
