"""Which images without labels to label first: candidates of each run, and the list of the best row. No TensorFlow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from steelbench.arrays import Features
from steelbench.data.splits import Split
from steelbench.evaluation.label_first import (
    CANDIDATES_FILE,
    LABEL_FIRST_FILE,
    PICTURES,
    Candidate,
    choose,
    read_candidates,
    write_candidates,
    write_label_first,
)
from steelbench.evaluation.label_ranking import distances_from, rank_candidates
from steelbench.experiment import RunOptions
from steelbench.files import whole_file
from steelbench.records import Row, Summary
from steelbench.runs.thumbnails import draw

if TYPE_CHECKING:
    from steelbench.runs.jobs import RunData

# In the results folder: JPEGs `1.jpg` and so on, of the first lines of the list.
FOLDER = "label_first"


class _Head(Protocol):
    def __call__(self, features: Features) -> Features: ...

    def embed(self, features: Features) -> Features: ...


def write_run_candidates(
    folder: Path, head: _Head, features: Features, unlabelled: Features, data: RunData, split: Split
) -> None:
    """Write the images without labels that a run's model is least sure of and least familiar with.

    Images that share pixels with a labelled one are left out: their label is known.

    Args:
        folder: of the run.
        head: from features to probabilities.
        features: float32 [N, D], of the labelled images.
        unlabelled: float32 [U, D], of those without labels.
        data: of the run.
        split: of the run.
    """
    given = data.unlabelled
    if given is None:
        return
    groups = np.array([image.group for image in given.images], np.int64)
    rows = np.flatnonzero(~np.isin(groups, given.ties) & np.isfinite(unlabelled).all(axis=1))
    own = unlabelled[rows]
    distances, familiar = distances_from(
        head.embed(features[split.train]), head.embed(own), head.embed(features[split.validation])
    )
    root = Path(given.folder)
    paths = [Path(given.images[row].path).relative_to(root).as_posix() for row in rows]
    write_candidates(
        folder / CANDIDATES_FILE,
        rank_candidates(paths, groups[rows].tolist(), head(own), distances, familiar, data.classes),
    )


def list_images_to_label(options: RunOptions, summary: Summary) -> None:
    """Write `label_first.csv` from the candidates of the best row that has some, and pictures of its first images.

    Both are deleted where there are no candidates.

    Args:
        options: of the run.
        summary: its rows, best first.
    """
    results = options.results
    shutil.rmtree(results / FOLDER, ignore_errors=True)
    found = next((own for row in summary.rows if (own := _candidates(results, row)) is not None), None)
    if found is None or options.unlabelled is None:
        (results / LABEL_FIRST_FILE).unlink(missing_ok=True)
        return
    lines = choose(found)
    write_label_first(results / LABEL_FIRST_FILE, lines)
    root = options.unlabelled.expanduser()
    for number, line in enumerate(lines[:PICTURES], start=1):
        jpeg = draw(root / line.path, options.bit_depth)
        if jpeg is not None:
            with whole_file(results / FOLDER / f"{number}.jpg") as temporary:
                temporary.write_bytes(jpeg)


def _candidates(results: Path, row: Row) -> list[Candidate] | None:
    first = next((run for run in row.runs if run.endswith("-s0-f0")), None)
    if row.status != "done" or row.untrained or first is None:
        return None
    return read_candidates(results / "runs" / first / CANDIDATES_FILE)
