"""The functions that nodes run, together; a measurement of the scheduling puts others in their place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from steelbench.runs.ray_runner import tasks


@dataclass(frozen=True)
class Functions:
    """What nodes run, with the arguments and answers of the functions of `tasks`.

    Attributes:
        describe: an encoder.
        extract: a shard of features.
        run: a job.
    """

    describe: Callable[..., Any] = tasks.describe
    extract: Callable[..., Any] = tasks.extract_shard
    run: Callable[..., Any] = tasks.run_job
