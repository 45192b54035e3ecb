"""The runs without a network, which the parent process does itself: majority class, and HOG with a linear SVM."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.records import RunKey, RunRecord, read_record
from steelbench.runs.intact import damaged
from steelbench.runs.jobs import RunData
from steelbench.runs.run_record import describe_run, write_run
from steelbench.training.baselines import hog
from steelbench.training.baselines.majority import class_shares

# Fields of a `RunRecord` that need a network.
NO_NETWORK: dict[str, Any] = {"weights": {"kind": "none"}, "engine": "", "precision": ""}


def run_majority(results: Path, data: RunData) -> None:
    """Write the run `none-majority` of every seed and fold.

    Args:
        results: the results folder.
        data: images and splits.
    """
    for key, split in _runs(data, "majority"):
        probabilities = class_shares(data.labels, split.train, len(data.classes))
        record = describe_run(
            key,
            data,
            split,
            probabilities,
            settings={},
            fingerprint="majority",
            image_size=0,
            params=0,
            seconds={},
            **NO_NETWORK,
        )
        write_run(results / "runs" / key.run_name, record, data, split, probabilities)


def run_hog(
    results: Path,
    data: RunData,
    cache: Path,
    fingerprint: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[RunKey, str]:
    """Write the run `none-hog` of every seed and fold that is not there yet.

    Args:
        results: the results folder.
        data: images and splits.
        cache: the folder where descriptors are kept.
        fingerprint: of data and splits; a run that has it is not done again.
        progress: called with images done and the total.

    Returns:
        The reason of failure by run; empty if all is well.
    """
    runs = list(_runs(data, "hog"))
    try:
        todo = [(key, split) for key, split in runs if not _is_done(results, key, fingerprint)]
        if todo:
            _write_hog(results, data, todo, cache, fingerprint, progress)
    except (SteelbenchError, ValueError, OSError) as error:
        return {key: str(error) for key, _ in runs}
    return {}


def _write_hog(
    results: Path,
    data: RunData,
    todo: list[tuple[RunKey, Split]],
    cache: Path,
    fingerprint: str,
    progress: Callable[[int, int], None],
) -> None:
    start = time.perf_counter()
    features = hog.descriptors(data.images, Path(data.root), data.bit_depth, cache, progress)
    seconds = time.perf_counter() - start
    for key, split in todo:
        start = time.perf_counter()
        probabilities, params, notes = hog.train_svm(features, data.labels, len(data.classes), split)
        record = describe_run(
            key,
            data,
            split,
            probabilities,
            settings=hog.SETTINGS,
            fingerprint=fingerprint,
            image_size=hog.SIDE,
            params=params,
            notes=notes,
            seconds={"features": seconds, "fit": time.perf_counter() - start},
            **NO_NETWORK,
        )
        write_run(results / "runs" / key.run_name, record, data, split, probabilities)


def _runs(data: RunData, method: str) -> list[tuple[RunKey, Split]]:
    return [(RunKey(backbone="none", method=method, seed=ref.seed, fold=ref.fold), ref.split) for ref in data.splits]


def _is_done(results: Path, key: RunKey, fingerprint: str) -> bool:
    try:
        record = read_record(results / "runs" / key.run_name / "result.json", RunRecord)
    except SteelbenchError:
        return False
    return record.fingerprint == fingerprint and not damaged(results, record)
