"""Which images of the embeddings' maps get a thumbnail besides wrong answers: those with relatives, and a sample."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

from steelbench.csv_files import iterate_csv
from steelbench.evaluation.predictions import read_groups
from steelbench.records import Summary

# With the wrong answers and examples, which come first, the page's budget of pictures is not exceeded.
MOST_RELATIVES, SAMPLE = 120, 80


def mapped_pictures(results: Path, summary: Summary) -> list[str]:
    """Return the paths of some test images of seed 0, fold 0: those that share a group, then a sample by their names.

    Args:
        results: the results folder.
        summary: its rows; [] where none has an embedding.
    """
    firsts = (run for row in summary.rows if row.status == "done" for run in row.runs if run.endswith("-s0-f0"))
    run = next(
        (results / "runs" / run for run in firsts if (results / "runs" / run / "embeddings.npz").is_file()), None
    )
    if run is None:
        return []
    paths = [row["path"] for row in iterate_csv(run / "predictions.csv")]
    groups = read_groups(results)
    sizes = Counter(groups.values())
    paths.sort(key=lambda path: hashlib.sha256(path.encode()).digest())
    related = [path for path in paths if sizes[groups.get(path, "")] > 1][:MOST_RELATIVES]
    return [*related, *[path for path in paths if path not in set(related)][:SAMPLE]]
