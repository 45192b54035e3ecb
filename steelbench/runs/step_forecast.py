"""Forecast of what follows the runs: the test with unknown defects, the timing of models, corrupted images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steelbench.data.corruptions import CORRUPTIONS, STRENGTHS
from steelbench.evaluation.robustness import IMAGES
from steelbench.records import EngineCheckRecord, RunRecord
from steelbench.runs.forecast import HEAD_SECONDS, Forecast
from steelbench.runs.jobs import Job, RunData
from steelbench.runs.robustness import together, unmeasured
from steelbench.runs.timing import network_of, untimed

# Rough, for two cores: a process that imports TensorFlow; a network that is opened, converted and timed on an engine,
# and each further model on it; an image decoded and corrupted.
START_SECONDS, NETWORK_SECONDS, MODEL_SECONDS, CORRUPT_SECONDS = 8.0, 8.0, 1.0, 0.01
# Of a network that was never measured, images per second.
SLOW_RATE = 10.0


def forecast_steps(
    jobs: Sequence[Job], found: Sequence[Forecast], results: Path, data: RunData, timing: str, robust: Sequence[str]
) -> dict[str, float]:
    """Return the seconds of each step that has something to do, by its name.

    Args:
        jobs: that are to do, with the rows that are tested with unknown defects.
        found: the forecast of each job.
        results: the results folder; models of finished runs are timed and measured, too.
        data: images and splits.
        timing: as for `timing.untimed`.
        robust: names of the rows that are measured on corrupted images.
    """
    steps = {
        # A head for each class that is left out.
        "unknown defects": sum(len(job.unknown) for job in jobs) * len(data.classes) * HEAD_SECONDS,
        "timing": _timing(jobs, results, timing),
        "robustness": _robustness(jobs, found, results, data, robust),
    }
    return {name: seconds for name, seconds in steps.items() if seconds}


def _timing(jobs: Sequence[Job], results: Path, timing: str) -> float:
    if timing == "off":
        return 0.0
    offered = [[task for task in job.tasks if task.offered] for job in jobs]
    waiting = untimed(results, timing)
    networks = sum(map(bool, offered)) + len({network_of(task.run) for task in waiting})
    models = sum(map(len, offered)) + len(waiting)
    return START_SECONDS + networks * NETWORK_SECONDS + models * MODEL_SECONDS if models else 0.0


def _robustness(
    jobs: Sequence[Job], found: Sequence[Forecast], results: Path, data: RunData, robust: Sequence[str]
) -> float:
    rates = [
        one.rate or SLOW_RATE
        for job, one in zip(jobs, found, strict=True)
        # Untrained networks are not measured.
        if {part.origin["kind"] for part in job.parts} != {"random"}
        and any(task.offered and task.key.name in robust for task in job.tasks)
    ]
    waiting = {run.name: run for run in unmeasured(results, robust)}
    rates += [_rate(waiting[names[0]]) for names in together(list(waiting.values()))]
    images = min(IMAGES, len(data.splits[0].test)) * (len(CORRUPTIONS) * len(STRENGTHS) + 1)
    return START_SECONDS + sum(images * (1 / rate + CORRUPT_SECONDS) for rate in rates) if rates else 0.0


def _rate(run: RunRecord) -> float:
    check = run.notes.engine_check
    checks = [check] if isinstance(check, EngineCheckRecord) else list((check or {}).values())
    known = [own.images_per_second for own in checks if own.images_per_second]
    return 1 / sum(1 / rate for rate in known) if known else SLOW_RATE
