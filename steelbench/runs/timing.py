"""What each saved model costs, measured at the end of a run, one model after another in a process of its own.

Not by the workers: while one of them computes features, others build networks or train heads, and a time that is
measured beside them says nothing. This step begins when all of them have ended. No TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES
from steelbench.files import write_json
from steelbench.progress import Progress
from steelbench.records import Cost, Record, RunRecord, cost_file, read_record
from steelbench.runs.jobs import RunData
from steelbench.runs.side_process import run_side_process
from steelbench.runs.worker_process import ending

# Test images that are timed in turn.
IMAGES = 8


class TimingTask(Record):
    """A saved model to time.

    Attributes:
        run: the record of its run.
        engines: those to time it on.
    """

    run: RunRecord
    engines: list[str]


class TimingRequest(Record):
    """What the timing process is told.

    Attributes:
        results: the results folder.
        root: the data folder.
        bit_depth: used bits of 16-bit files; None for all.
        images: paths of some test images.
        tasks: models that share a network follow each other.
    """

    results: str
    root: str
    bit_depth: int | None
    images: list[str]
    tasks: list[TimingTask]


def untimed(results: Path, timing: str) -> list[TimingTask]:
    """Return the saved models whose cost is not recorded, those of one network after each other.

    Args:
        results: the results folder.
        timing: own, each model on the engine that computed it; all, on every engine that is installed; off, none.
    """
    if timing == "off":
        return []
    tasks = []
    for path in sorted((results / "runs").glob("*-s0-f0/result.json")):
        try:
            record = read_record(path, RunRecord)
        except SteelbenchError:
            # The leaderboard says what is wrong with it.
            continue
        if record.model and (results / record.model).is_file():
            engines = _engines(record, timing)
            if not _is_timed(results, record, engines):
                tasks.append(TimingTask(run=record, engines=engines))
    return sorted(tasks, key=lambda task: (network_of(task.run), task.run.name))


def network_of(run: RunRecord) -> tuple[str, int, str, str]:
    """Return what the time of a network depends on; its weights do not count."""
    return (run.backbone, run.image_size, run.homogenize, run.precision)


def _engines(run: RunRecord, timing: str) -> list[str]:
    # Of an ensemble whose parts went different ways `engine` is `openvino+keras`: only Keras runs all of it.
    own = run.engine if run.engine in ENGINES else "keras"
    fit = [name for name, row in ENGINES.items() if row.installed and run.precision in row.precisions]
    return [name for name in fit if name == own or timing == "all"] or ["keras"]


def _is_timed(results: Path, run: RunRecord, engines: Sequence[str]) -> bool:
    try:
        cost = read_record(cost_file(results, run.name), Cost)
    except SteelbenchError:
        return False
    timed = {time.engine for time in cost.times}
    return cost.fingerprint == run.fingerprint and (bool(cost.problem) or timed.issuperset(engines))


def time_models(results: Path, data: RunData, timing: str, progress: Progress) -> None:
    """Time the saved models whose cost is not recorded, and write a record for each.

    A model that cannot be timed gets a record that says why; if the process dies, so do those that it did not reach.

    Args:
        results: the results folder.
        data: images and splits of the run.
        timing: as for `untimed`.
        progress: called with the models done.
    """
    tasks = untimed(results, timing)
    if not tasks:
        return
    progress("timing", "models", 0, len(tasks))
    test = data.splits[0].test[:IMAGES]
    request = TimingRequest(
        results=str(results.resolve()),
        root=data.root,
        bit_depth=data.bit_depth,
        images=[data.images[row].path for row in test],
        tasks=tasks,
    )
    path, log = results / "unfinished" / "timing.json", results / "unfinished" / "timing.log"
    write_json(path, request)
    code = run_side_process(
        "timing_worker", path, log, lambda event: progress(event.step, "models", event.done, event.total)
    )
    reason = ending(code, log)
    for task in tasks:
        if not _is_timed(results, task.run, task.engines):
            write_json(cost_file(results, task.run.name), Cost(fingerprint=task.run.fingerprint, problem=reason))
    path.unlink(missing_ok=True)
    if not code:
        log.unlink(missing_ok=True)
