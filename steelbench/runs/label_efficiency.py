"""Measure in a worker what more labelled images would bring, on the features that the run computed. No TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from steelbench.arrays import Features, RowIndices
from steelbench.evaluation.label_efficiency import label_efficiency
from steelbench.files import write_json
from steelbench.records import label_efficiency_file
from steelbench.runs.jobs import Job


def measure_label_efficiency(job: Job, features: Features) -> None:
    """Write the record of a job's backbone; nothing for an untrained one, whose rows are not ranked.

    Args:
        job: the job.
        features: float32 [N, D], of the labelled images.
    """
    splits = _splits(job)
    untrained = all(part.origin["kind"] == "random" for part in job.parts)
    if untrained or not splits or not np.isfinite(features).all():
        return
    groups = np.array([image.group for image in job.data.images], np.int64)
    found = label_efficiency(job.backbone, job.image_size, features, job.data.labels, groups, job.data.classes, splits)
    write_json(label_efficiency_file(Path(job.results), job.backbone, job.image_size), found)


def _splits(job: Job) -> list[tuple[RowIndices, RowIndices]]:
    """Return training and test rows of the splits of seed 0; homogenised features serve the one split they are of."""
    if job.homogenize == "none":
        found = [ref.split for ref in job.data.splits if ref.seed == 0]
    else:
        first = job.tasks[0].key
        found = [job.own_split] if (first.seed, first.fold) == (0, 0) else []
    return [(split.train, split.test) for split in found]
