"""Tasks on a Ray cluster: what they ask of a node, those under way, and why one was given up."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from steelbench.errors import SteelbenchError
from steelbench.runs.ray_runner.orders import Failure
from steelbench.runs.ray_runner.tasks import THREADS
from steelbench.runs.worker_process import ENVIRONMENT, worker_environment

# Times that a task is tried again whose process or node died, or that was ended for want of memory.
RETRIES = 2
GIB = 2**30
# Of a process with TensorFlow, an encoder and a batch; a worker of the local runner holds 1 to 3 GiB.
MEMORY = 2 * GIB
# Variables of the user that decide how libraries compute.
COMPUTING = ("TF_", "XLA_", "KERAS_", "OMP_", "OPENBLAS_", "MKL_")
# What a task has of a node: all of it, to train on images; one shard at a time, which uses every core, too, but lets
# networks load and heads train beside it; or one core, for those.
Share = Literal["node", "shard", "core"]
# Ray gives a process only to tasks with the same value of this variable.
PROCESSES = "STEELBENCH_PROCESSES"


def task_environment(local: bool) -> dict[str, str]:
    """Return the variables that the processes of tasks start with.

    Args:
        local: whether they run on this machine, where this package may lie in a folder of its own.
    """
    own = worker_environment()
    found = {name: value for name, value in own.items() if name in ENVIRONMENT or name.startswith(COMPUTING)}
    if "OMP_NUM_THREADS" in found:
        found[THREADS] = found["OMP_NUM_THREADS"]
    # A process that is kept for further tasks must not keep all of a GPU's memory.
    found.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    return {**found, **({"PYTHONPATH": own["PYTHONPATH"]} if local else {})}


@dataclass(frozen=True)
class Needs:
    """What tasks ask of a node, so that each fits on every one that has processors.

    Attributes:
        cpus: of the smallest node.
        gpus: of every task.
        memory: of every task, bytes.
        slots: how many shards run at once.
        ahead: whether a network may be loaded beside the shards of another.
    """

    cpus: int
    gpus: int
    memory: int
    slots: int
    ahead: bool

    @classmethod
    def of(cls, nodes: Sequence[Mapping[str, Any]]) -> Self:
        """Return what fits the nodes of `ray.nodes()`.

        Raises:
            SteelbenchError: if none has a processor for tasks.
        """
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        with_gpu = [own for own in alive if own.get("GPU", 0) >= 1]
        usable = [own for own in with_gpu or alive if own.get("CPU", 0) >= 1]
        if not usable:
            raise SteelbenchError("no node of the Ray cluster has a CPU for tasks; start one by `ray start`.")
        # One such task on each GPU, else on each node; on the smallest node as well.
        cpus = min(int(own["CPU"] // max(1, own.get("GPU", 0))) or 1 for own in usable)
        slots = sum(int(own["GPU"] if with_gpu else own["CPU"] / _cpus_of_shard(cpus)) for own in usable)
        least = min(int(own.get("memory", 2 * MEMORY)) for own in usable)
        # A task on a GPU has it for itself.
        ahead = not with_gpu and cpus > 1 and least >= 2 * MEMORY
        return cls(cpus, int(bool(with_gpu)), min(MEMORY, least), slots, ahead)

    def cpus_of(self, share: Share) -> float:
        """Return the processors that a task asks for.

        Two shards do not fit on the smallest node; one and a task of a core do, if it has 2 processors or more.
        """
        return {"node": self.cpus, "shard": _cpus_of_shard(self.cpus), "core": 0.99}[share]


def _cpus_of_shard(cpus: int) -> float:
    return cpus / 2 + 0.01


class Tasks:
    """The tasks under way, each with what hears its answers."""

    def __init__(self, needs: Needs) -> None:
        self.needs = needs
        self.remotes: dict[tuple[Callable[..., Any], Share, str], Any] = {}
        self.waiting: dict[Any, Callable[[Any], None]] = {}
        self.getting_ready: list[Any] = []

    def put(self, value: object) -> Any:
        """Return a reference to a value in Ray's object store, to be an argument of tasks."""
        import ray

        return ray.put(value)

    def start(
        self, function: Callable[..., Any], hear: Callable[[Any], None], *args: object, share: Share, processes: str
    ) -> None:
        """Start a task.

        Args:
            function: of the module `tasks`; a generator answers several times.
            hear: called with each answer, or with a `Failure` where Ray gave the task up.
            args: of the function; references are replaced by their values.
            share: of a node.
            processes: name of those that may run it, started as needed: one that has a network should not be given
                another while the first is wanted. Without `Needs.ahead` any may run it.
        """
        task = self._remote(function, share, processes).remote(*args)
        self.waiting[task] = hear

    def get_ready(self, function: Callable[[], None], processes: Sequence[str]) -> None:
        """Let processes of the nodes start and import what tasks need, before there are tasks.

        A process that may use no GPU now would not find it later: on a cluster with GPUs they start with the tasks.

        Args:
            function: of the module `tasks`.
            processes: names of those that tasks will want first, one process each.
        """
        if not self.needs.gpus:
            self.getting_ready = [self._remote(function, "core", name).remote() for name in processes]

    def _remote(self, function: Callable[..., Any], share: Share, processes: str) -> Any:
        import ray

        key = (function, share, processes)
        if key not in self.remotes:
            # Ray ends a process that used a GPU after each task; one that keeps an encoder serves all shards.
            kept = {"max_calls": 0} if self.needs.gpus and not inspect.isgeneratorfunction(function) else {}
            self.remotes[key] = ray.remote(
                **kept,
                num_cpus=self.needs.cpus_of(share),
                num_gpus=self.needs.gpus,
                memory=self.needs.memory,
                max_retries=RETRIES,
                retry_exceptions=False,
                # Where one task runs at a time, a name would only make processes, which import TensorFlow each.
                **({"runtime_env": {"env_vars": {PROCESSES: processes}}} if self.needs.ahead else {}),
            )(function)
        return self.remotes[key]

    def hear_next(self, seconds: float | None = None) -> None:
        """Wait until a task answers, for so many seconds at most, and pass its answer on."""
        import ray

        if not self.waiting:
            time.sleep(seconds or 0)
            return
        ready, _ = ray.wait(list(self.waiting), num_returns=1, timeout=seconds)
        for task in ready:
            hear = self.waiting[task]
            if not isinstance(task, ray.ObjectRefGenerator):
                del self.waiting[task]
                hear(_answer(task))
                continue
            try:
                answer = _answer(next(task))
            except StopIteration:
                del self.waiting[task]
                continue
            if isinstance(answer, Failure):
                del self.waiting[task]
            hear(answer)

    def cancel(self) -> None:
        """End the processes of all tasks under way."""
        import ray

        for task in self.waiting:
            # What cannot be cancelled ends with the connection.
            with contextlib.suppress(Exception):
                ray.cancel(task, force=True)
        self.waiting.clear()


def _answer(reference: Any) -> Any:
    """Return a task's answer, a `Failure` where Ray gave it up."""
    import ray

    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return Failure(given_up(error))


def given_up(error: Exception) -> str:
    """Return why Ray gave a task up."""
    tried = f"each of the {RETRIES + 1} times that it was tried"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "OutOfMemoryError" in kinds:
        return f"its node ran out of memory, {tried}; nodes need more memory, or fewer CPUs that Ray may use at once."
    if kinds & {"WorkerCrashedError", "NodeDiedError", "ObjectLostError", "LocalRayletDiedError"}:
        return f"its process or its node ended before it was done, {tried}."
    cause = getattr(error, "cause", None) or error
    lines = [line for line in str(cause).strip().splitlines() if line.strip()] or [""]
    return f"{type(cause).__name__}: {lines[0][:300]}"
