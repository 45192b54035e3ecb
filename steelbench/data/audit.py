"""The audit of a data set: pairs that share pixels, what they do to a random split, shortcuts, doubtful images."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from steelbench.data.audit_looks import Look, doubtful_images, look_at_images
from steelbench.data.datasets import read_dataset
from steelbench.data.images import read_image
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.data.overlaps import Kind, Pair, Picture, Progress, find_pairs, group_files, quiet
from steelbench.data.shortcuts import Brightness, Shortcut, brightness_by_class, find_shortcuts
from steelbench.results import write_json, write_text
from steelbench.storage import cache_folder

VERSION = 1  # of what finds pairs; another one makes kept audits void
SPLITS = {"80/20": 0.2, "70/30": 0.3}
DRAWS = 20


@dataclass(frozen=True)
class Doubt:
    """An image whose label a model doubts: the label, what the model would say, and how sure it is of the label."""

    file: str
    label: str
    suggested: str
    confidence: float


@dataclass(frozen=True)
class AuditResult:
    """Everything that the audit found; `leaks` maps a split's name to the share of its test images, 0..1."""

    name: str
    root: Path
    inspection: Inspection
    bit_depth: int | None
    left_out: Mapping[str, int]
    pairs: list[Pair]
    groups: dict[str, int]
    leaks: dict[str, float]
    looks: list[Look]
    shortcuts: list[Shortcut]
    brightness: list[Brightness]
    doubtful: dict[str, list[str]]
    seconds: float
    from_cache: bool
    suspicious: Sequence[Doubt] = field(default=())

    @property
    def conflicts(self) -> list[Pair]:
        """Pairs of the same picture in two classes; overlapping crops may rightly differ."""
        return [pair for pair in self.pairs if not pair.same_label and pair.kind != "overlap"]


def audit_data(
    data: str,
    out: Path,
    *,
    include_none: bool = False,
    bit_depth: int | None = None,
    progress: Progress = quiet,
) -> AuditResult:
    """Read `--data`, audit it and write the tables; the page is written by `steelbench.report.audit_page`.

    Args:
        data: a folder, a CSV file or `demo`.
        out: gets `audit.json`, `pairs.csv`, `groups.csv`.
        include_none: as `steelbench run --include-none`.
        bit_depth: as `steelbench run --bit-depth`.
        progress: called with a stage's name, what is done and the total.

    Raises:
        SteelbenchError: if the data cannot be read.
    """
    name, dataset = read_dataset(data, include_none)
    total = len(dataset.samples)
    inspection = inspect_dataset(dataset, bit_depth, lambda done: progress("reading", done, total))
    audit = audit_inspected(name, dataset.root, inspection, dataset.left_out, bit_depth=bit_depth, progress=progress)
    write_audit(out, audit)
    return audit


def audit_inspected(
    name: str,
    root: Path,
    inspection: Inspection,
    left_out: Mapping[str, int],
    *,
    bit_depth: int | None = None,
    progress: Progress = quiet,
) -> AuditResult:
    """Audit images that are already inspected."""
    pairs, seconds, from_cache = audited_pairs(root, inspection, bit_depth, progress)
    files = [image.sample.path for image in inspection.images]
    labels = {image.sample.path: image.sample.label for image in inspection.images}
    groups = group_files(files, pairs)
    total = len(files)
    looks = look_at_images(root, inspection.images, bit_depth, lambda done: progress("attributes", done, total))
    return AuditResult(
        name=name,
        root=root,
        inspection=inspection,
        bit_depth=bit_depth,
        left_out=left_out,
        pairs=pairs,
        groups=groups,
        leaks={split: leak_share(labels, pairs, share) for split, share in SPLITS.items()},
        looks=looks,
        shortcuts=find_shortcuts(looks, [groups[file] for file in files]),
        brightness=brightness_by_class(looks),
        doubtful=doubtful_images(looks),
        seconds=seconds,
        from_cache=from_cache,
    )


def audited_pairs(
    root: Path, inspection: Inspection, bit_depth: int | None = None, progress: Progress = quiet
) -> tuple[list[Pair], float, bool]:
    """The pairs that share pixels, kept by content: a set that was audited before costs nothing.

    Returns:
        Pairs, the seconds that finding them took (when it was done), and whether they were kept from an earlier run.
    """
    kept = cache_folder() / "audit" / f"{_digest(inspection)}.json"
    known = _read_kept(kept, {image.sample.path for image in inspection.images})
    if known:
        return *known, True
    start = time.perf_counter()
    pictures = [
        Picture(
            image.sample.path,
            image.sample.label,
            image.pixels_digest,
            partial(read_image, root / image.sample.path, bit_depth),
        )
        for image in inspection.images
    ]
    pairs = find_pairs(pictures, progress)
    seconds = time.perf_counter() - start
    write_json(kept, {"version": VERSION, "seconds": seconds, "pairs": [asdict(pair) for pair in pairs]})
    return pairs, seconds, False


def _digest(inspection: Inspection) -> str:
    digest = hashlib.sha256(f"audit {VERSION}\n".encode())
    for image in inspection.images:
        values = (image.sample.path, image.sample.label, image.bytes_digest, image.pixels_digest)
        digest.update(("\0".join(values) + "\n").encode())
    return digest.hexdigest()


def _read_kept(path: Path, files: set[str]) -> tuple[list[Pair], float] | None:
    """A damaged file is no file: what it held can be computed."""
    try:
        found = json.loads(path.read_bytes())
        pairs = [Pair(**pair) for pair in found["pairs"]]
        seconds = float(found["seconds"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    known = all({p.file_a, p.file_b} <= files and p.kind in get_args(Kind) for p in pairs)
    return (pairs, seconds) if known and found.get("version") == VERSION else None


def leak_share(labels: Mapping[str, str], pairs: Sequence[Pair], test_share: float, seed: int = 0) -> float:
    """The share of test images that share pixels with a training image, mean over random stratified splits.

    Args:
        labels: label of each file.
        pairs: files that share pixels.
        test_share: of each class's images.
        seed: of the draws.
    """
    number = {file: place for place, file in enumerate(labels)}
    ends = np.array([(number[pair.file_a], number[pair.file_b]) for pair in pairs], int).reshape(-1, 2)
    classes = [np.flatnonzero(np.array(list(labels.values())) == label) for label in sorted(set(labels.values()))]
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(DRAWS):
        test = np.zeros(len(labels), bool)
        for members in classes:
            test[rng.permutation(members)[: round(test_share * len(members))]] = True
        split = ends[test[ends[:, 0]] != test[ends[:, 1]]].ravel()
        shares.append(len(np.unique(split[test[split]])) / max(test.sum(), 1))
    return float(np.mean(shares))


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
        "warnings": list(audit.inspection.warnings),
        "suspicious_labels": [asdict(doubt) for doubt in audit.suspicious],
        "seconds": {"pairs": audit.seconds},
        "from_cache": audit.from_cache,
    }
