"""Workers: one process for each job, its events, its log, its end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from steelbench.results import write_json
from steelbench.training.job import Event, Job

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONHASHSEED": "0",
    # Large activations come and go with every batch; in huge pages the kernel hands them out in a fraction of the time
    # (Xception's fresh statistics: 42 s without, 24 s with). Other systems ignore it.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


def run_job(job: Job, results: Path, on_event: Callable[[Event], None]) -> dict[str, str]:
    """Run one job to its end.

    Args:
        job: what to do.
        results: the results folder; the worker's log is kept there until it has ended well.
        on_event: called with every event of the worker.

    Returns:
        The reason of failure by run name, for every task that did not finish.
    """
    folder = results / "unfinished"
    label = f"{job.backbone}-{job.image_size}"
    path, log = folder / f"{label}.job.json", folder / f"{label}.log"
    write_json(path, job)
    open_tasks = {task.run_name for task in job.tasks}
    failures: dict[str, str] = {}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "steelbench.training.worker", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
            env=ENVIRONMENT | os.environ,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            try:
                event = Event.model_validate_json(line)
            except ValidationError:
                continue
            if event.kind == "failed":
                failures[event.step] = event.text
            if event.kind in ("done", "failed"):
                open_tasks.discard(event.text if event.kind == "done" else event.step)
            on_event(event)
        code = process.wait()
    for name in sorted(open_tasks):
        failures[name] = _ending(code, log)
    if not failures:
        log.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return failures


def _ending(code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1][:300] if lines else "no message"
    if code < 0:
        memory = "; the system ends a process that asks for too much memory" if code == -9 else ""
        return f"its process was ended by signal {-code}{memory}"
    return f"its process ended with {code}: {last}"
