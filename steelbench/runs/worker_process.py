"""Start the worker process of one job, pass on its events, and tell why runs of it failed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

import steelbench
from steelbench.files import disk_full_sentence, is_disk_full_text, write_json
from steelbench.models.tensorflow_startup import QUIET
from steelbench.records import RunKey
from steelbench.runs.jobs import Event, Job

ENVIRONMENT = {
    **QUIET,
    "PYTHONHASHSEED": "0",
    # Several workers with a thread pool of linear algebra each wait for each other's threads: with two of them a
    # logistic regression took eight times as long as with one.
    "OPENBLAS_NUM_THREADS": "1",
    # Large activations are allocated and freed with every batch; in huge pages the kernel does that in a fraction of
    # the time (statistics of Xception with random weights: 42 s without, 24 s with). Other systems ignore it.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # Files are written under another name and renamed; a lock adds nothing and does not work on some network disks.
    "HDF5_USE_FILE_LOCKING": "FALSE",
    # Otherwise TensorFlow takes all of a GPU's memory at once, and a second worker on it finds none.
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
}
# Last lines of a log that may say that the disk is full; others follow while a process ends.
FULL_LINES = 20


def worker_environment(gpus: Sequence[str] = ()) -> dict[str, str]:
    """Return a worker's environment: `ENVIRONMENT`, overruled by the user's, the path of this package, its GPUs.

    Args:
        gpus: that it has to itself, by their names in `CUDA_VISIBLE_DEVICES`; none leaves that variable as it is.
    """
    places = [str(Path(steelbench.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    own = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
    return {**ENVIRONMENT, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places)), **own}


class Workers:
    """The worker processes that are alive, so that they can be ended together."""

    def __init__(self) -> None:
        self.ended, self.alive, self.lock = False, set[subprocess.Popen[bytes]](), threading.Lock()

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """Add a process; kill it at once if `end` was called before."""
        with self.lock:
            self.alive.add(process)
            if self.ended:
                process.kill()

    def remove(self, process: subprocess.Popen[bytes]) -> None:
        """Remove a process that has ended by itself."""
        with self.lock:
            self.alive.discard(process)

    def end(self) -> None:
        """Kill all."""
        with self.lock:
            self.ended = True
            for process in self.alive:
                process.kill()


def run_job(
    job: Job,
    results: Path,
    on_event: Callable[[Event], None],
    wait_for_turn: Callable[[], object],
    workers: Workers,
) -> dict[RunKey, str]:
    """Run one job in a process of its own, to its end.

    Args:
        job: the job; its data are in the file already (`run_jobs` writes it).
        results: the results folder; the worker's log is kept there if a run fails.
        on_event: called with every event of the worker.
        wait_for_turn: returns when the worker may extract features.
        workers: the process is added to it.

    Returns:
        The reason of failure of every run that did not finish.
    """
    folder, name = results / "unfinished", _file_name(job)
    path, log = folder / f"{name}.job.json", folder / f"{name}.log"
    write_json(path, job)
    running = {task.key.run_name: task.key for task in job.tasks}
    failures: dict[RunKey, str] = {}
    with log.open("wb") as errors, start_process("worker", path, errors, job.gpus) as process:
        workers.add(process)
        for line in cast(IO[bytes], process.stdout):
            try:
                event = Event.model_validate_json(line)
            except ValidationError:
                continue
            if event.kind == "ready":
                wait_for_turn()
                _give_turn(process)
            if event.kind in ("done", "failed"):
                key = running.pop(event.run, None)
                if key and event.kind == "failed":
                    failures[key] = event.text
            on_event(event)
        code = process.wait()
        workers.remove(process)
    failures |= {key: ending(code, log) for key in running.values()}
    if not failures:
        log.unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    return failures


def _file_name(job: Job) -> str:
    """Return a name that no other job of the run has."""
    name = "-".join([job.backbone, *(str(part.image_size) for part in job.parts)])
    if job.homogenize != "none" and job.tasks:
        name += f"-s{job.tasks[0].key.seed}-f{job.tasks[0].key.fold}"
    # Windows takes no colon in a file's name, and `hub:PRESET` has one.
    return name.replace(":", "_")


def start_process(module: str, request: Path, errors: IO[bytes], gpus: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a module of `steelbench.runs` in a process of its own, with pipes to its standard input and output.

    Args:
        module: its name below `steelbench.runs`.
        request: the file that it is told by.
        errors: gets what it writes to standard error.
        gpus: as for `worker_environment`.
    """
    # -P: Python must not import a file such as random.py from the current folder.
    command = [sys.executable, "-P", "-m", f"steelbench.runs.{module}", str(request)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=worker_environment(gpus)
    )


def _give_turn(process: subprocess.Popen[bytes]) -> None:
    pipe = cast(IO[bytes], process.stdin)
    # If it died while it waited, its exit code says so later.
    with contextlib.suppress(BrokenPipeError):
        pipe.write(b"go\n")
        pipe.flush()


def ending(code: int, log: Path) -> str:
    """Return why a worker process ended before its time, by its exit code and its log."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1][:300] if lines else "no message"
    if is_disk_full_text("\n".join(lines[-FULL_LINES:])):
        return disk_full_sentence()
    if code < 0:
        memory = "; the system ends a process that asks for too much memory" if code == -9 else ""
        return f"its process was ended by signal {-code}{memory}"
    return f"its process ended with {code}: {last}"
