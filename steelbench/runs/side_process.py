"""A process beside the jobs that measures finished models: start it, pass on its events. No TensorFlow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

from pydantic import ValidationError

from steelbench.runs import worker_process
from steelbench.runs.jobs import Event


def run_side_process(module: str, request: Path, log: Path, on_event: Callable[[Event], None]) -> int:
    """Run a module of `steelbench.runs` to its end; kill it if this process is interrupted.

    Args:
        module: its name below `steelbench.runs`.
        request: the file that it is told by.
        log: gets what it writes to standard error.
        on_event: called with each of its events.

    Returns:
        Its exit code.
    """
    with log.open("wb") as errors, worker_process.start_process(module, request, errors) as process:
        try:
            for line in cast(IO[bytes], process.stdout):
                with contextlib.suppress(ValidationError):
                    on_event(Event.model_validate_json(line))
            return process.wait()
        except BaseException:
            process.kill()
            raise
