"""The audit of a data set: pairs that share pixels, what they do to a random split, shortcuts, doubtful images."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import numpy as np

from steelbench.audit.duplicates.search import Progress, find_pairs, no_progress
from steelbench.audit.findings import AuditResult
from steelbench.audit.image_statistics import doubtful_images, measure_images
from steelbench.audit.shortcuts import brightness_by_class, find_shortcuts
from steelbench.audit.sources import source_images, with_crops
from steelbench.data.groups import Kind, Pair, crop_links, group_files, pair_links
from steelbench.data.images import read_image
from steelbench.data.inspection import Inspected, Inspection, inspect_dataset, left_out_counts
from steelbench.data.leakage import expected_random_leakage
from steelbench.data.readers import read_dataset
from steelbench.experiment import DataOptions
from steelbench.files import cache_folder, read_json, write_json

VERSION = 1  # of the search for pairs; another one makes kept pairs void
SPLITS = {"80/20": 0.2, "70/30": 0.3}


def audit_data(
    options: DataOptions | str,
    progress: Progress = no_progress,
) -> AuditResult:
    """Read `--data` and audit it; `write_audit` writes the tables, `steelbench.report.audit_page` the page.

    Args:
        options: `data` and how it is read; a text stands for `data` with the usual options.
        progress: called with a stage's name, the number of images or pairs done and their total.

    Raises:
        SteelbenchError: if the data cannot be read.
    """
    if isinstance(options, str):
        options = DataOptions(data=options)
    bit_depth = options.bit_depth
    name, dataset = read_dataset(options)
    total = len(dataset.samples)
    inspection = inspect_dataset(dataset, bit_depth, lambda done: progress("reading", done, total), options.drop_small)
    left_out = left_out_counts(dataset, inspection)
    return audit_inspected(name, dataset.root, inspection, left_out, bit_depth=bit_depth, progress=progress)


def audit_inspected(
    name: str,
    root: Path,
    inspection: Inspection,
    left_out: Mapping[str, int],
    *,
    bit_depth: int | None = None,
    progress: Progress = no_progress,
) -> AuditResult:
    """Audit images that are already inspected; their labels are checked by `steelbench.audit.labels`.

    Args:
        name: of the reader or the data, for the tables.
        root: folder that relative paths of the images start from.
        inspection: the images.
        left_out: images that the reader did not use, counted by reason.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with a stage's name, the number of images or pairs done and their total.
    """
    pairs, seconds, from_cache = audited_pairs(root, inspection, bit_depth, progress)
    files = [image.sample.path for image in inspection.images]
    groups, total = group_files(files, pairs), len(files)
    links = np.concatenate([pair_links(files, pairs), crop_links(files)])
    statistics = measure_images(root, inspection.images, bit_depth, lambda done: progress("attributes", done, total))
    return AuditResult(
        name=name,
        root=root,
        inspection=inspection,
        bit_depth=bit_depth,
        left_out=left_out,
        pairs=pairs,
        groups=groups,
        leaks={split: expected_random_leakage(inspection.labels, links, share) for split, share in SPLITS.items()},
        statistics=statistics,
        shortcuts=find_shortcuts(statistics, [groups[file] for file in files]),
        brightness=brightness_by_class(statistics),
        doubtful=doubtful_images(statistics),
        seconds=seconds,
        from_cache=from_cache,
    )


def audited_pairs(
    root: Path, inspection: Inspection, bit_depth: int | None = None, progress: Progress = no_progress
) -> tuple[list[Pair], float, bool]:
    """Return the pairs that share pixels, from the cache if the same images were searched before.

    Of crops, the images that they were cut out of are compared, and named.

    Args:
        root: folder that relative paths of the images start from.
        inspection: the images.
        bit_depth: used bits of 16-bit files; None means all 16.
        progress: called with a stage's name, the number of images or pairs done and their total.

    Returns:
        Pairs sorted by file names, the seconds that finding them took (when it was done), and whether they come from
        the cache.
    """
    sources = source_images(root, inspection.images, bit_depth, lambda done, total: progress("reading", done, total))
    kept = cache_folder() / "audit" / f"{_digest(sources)}.json"
    known = _read_kept(kept, {image.sample.path for image in sources})
    if known:
        pairs, seconds = known
        return with_crops(pairs, inspection.images), seconds, True
    start = time.perf_counter()
    pairs = find_pairs(sources, lambda image: read_image(root / image.sample.path, bit_depth), progress)
    seconds = time.perf_counter() - start
    write_json(kept, {"version": VERSION, "seconds": seconds, "pairs": [asdict(pair) for pair in pairs]})
    return with_crops(pairs, inspection.images), seconds, False


def _digest(images: Sequence[Inspected]) -> str:
    digest = hashlib.sha256(f"audit {VERSION}\n".encode())
    for image in images:
        values = (image.sample.path, image.sample.label, image.bytes_digest, image.pixels_digest)
        digest.update(("\0".join(values) + "\n").encode())
    return digest.hexdigest()


def _read_kept(path: Path, files: set[str]) -> tuple[list[Pair], float] | None:
    """Return kept pairs and seconds; None for a damaged file, whose content can be computed again."""
    try:
        found = read_json(path)
        pairs = [Pair(**pair) for pair in found["pairs"]]
        whole = found["version"] == VERSION and all(_plausible(pair, files) for pair in pairs)
        return (pairs, float(found["seconds"])) if whole else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _plausible(pair: Pair, files: set[str]) -> bool:
    numbers = isinstance(pair.overlap, float) and isinstance(pair.dy, int) and isinstance(pair.dx, int)
    return numbers and {pair.file_a, pair.file_b} <= files and pair.kind in get_args(Kind)
