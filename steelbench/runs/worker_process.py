"""Workers: one process for each job, its events, its log, its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

import steelbench
from steelbench.files import write_json
from steelbench.runs.jobs import Event, Job

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "PYTHONHASHSEED": "0",
    # Large activations come and go with every batch; in huge pages the kernel hands them out in a fraction of the time
    # (Xception's fresh statistics: 42 s without, 24 s with). Other systems ignore it.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Files are written under another name and renamed; a lock adds nothing and does not work on some network disks.
    "HDF5_USE_FILE_LOCKING": "FALSE",
}


def worker_environment() -> dict[str, str]:
    """What a worker sees: ours, then the user's, and where this steelbench lies."""
    places = [str(Path(steelbench.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


class Workers:
    """The processes that are alive, so that they can be ended together."""

    def __init__(self) -> None:
        self.ended, self.alive, self.lock = False, set[subprocess.Popen[bytes]](), threading.Lock()

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Count a process in; one that comes too late is ended at once."""
        with self.lock:
            self.alive.add(process)
            if self.ended:
                process.kill()

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """It has ended by itself."""
        with self.lock:
            self.alive.discard(process)

    def end(self) -> None:
        """End all."""
        with self.lock:
            self.ended = True
            for process in self.alive:
                process.kill()


def run_job(
    job: Job,
    results: Path,
    on_event: Callable[[Event], None],
    wait_for_turn: Callable[[], None],
    workers: Workers,
) -> dict[str, str]:
    """Run one job to its end.

    Args:
        job: what to do.
        results: the results folder; the worker's log is kept there until it has ended well.
        on_event: called with every event of the worker.
        wait_for_turn: returns when the worker may see images.
        workers: where the process is counted in.

    Returns:
        The reason of failure by run name, for every task that did not finish.
    """
    folder = results / "unfinished"
    label = "-".join([job.backbone, *(str(part.image_size) for part in job.parts)])
    if job.homogenize != "none" and job.tasks:
        label += f"-s{job.tasks[0].seed}-f{job.tasks[0].fold}"
    path, log = folder / f"{label}.job.json", folder / f"{label}.log"
    write_json(path, job)
    open_tasks = {task.run_name for task in job.tasks}
    failures: dict[str, str] = {}
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            # -P: a file such as random.py in the folder that the user happens to stand in is none of ours.
            [sys.executable, "-P", "-m", "steelbench.runs.worker", str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=worker_environment(),
        ) as process,
    ):  # fmt: skip
        workers.add(process)
        for line in cast(IO[bytes], process.stdout):
            try:
                event = Event.model_validate_json(line)
            except ValidationError:
                continue
            if event.kind == "ready":
                wait_for_turn()
                _tell(process)
            if event.kind == "failed":
                failures[event.step] = event.text
            if event.kind in ("done", "failed"):
                open_tasks.discard(event.text if event.kind == "done" else event.step)
            on_event(event)
        code = process.wait()
        workers.remove(process)
    for name in sorted(open_tasks):
        failures[name] = _ending(code, log)
    if not failures:
        log.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return failures


def _tell(process: subprocess.Popen[bytes]) -> None:
    pipe = cast(IO[bytes], process.stdin)
    # It may have died while it waited; its end is told by its exit code.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(b"go\n")
        pipe.flush()


def _ending(code: int, log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1][:300] if lines else "no message"
    if code < 0:
        memory = "; the system ends a process that asks for too much memory" if code == -9 else ""
        return f"its process was ended by signal {-code}{memory}"
    return f"its process ended with {code}: {last}"
