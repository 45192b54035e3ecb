"""Work on shards of an archive by Ray Data: actors, one on each node or GPU, answer shard after shard."""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

from steelbench.errors import SteelbenchError

# Times that a shard is tried again when its process ends, as for want of memory, or its node; without a bound, as is
# Ray Data's default, an image that ends every process would be tried for ever.
RETRIES = 3


class ShardWorker:
    """What an actor does with each shard; opened when the first one comes.

    Not when the actor is made: an error of a constructor reaches the command as the end of an actor, without its
    words.
    """

    def work(self, items: list[Any]) -> bytes:
        """Return the answer to the items of a shard."""
        raise NotImplementedError

    def __call__(self, shard: Any) -> Any:
        """Return the answer to a shard as a row of Arrow; the user's mistake, or a fault of ours, as a sentence."""
        import pyarrow
        from ray.exceptions import RayError

        answer, problem, fault = b"", "", ""
        try:
            answer = self.work(json.loads(shard["items"][0].as_py()))
        except SteelbenchError as error:
            problem = str(error)
        except RayError:
            # Such as a file that was sent and lost with its node: Ray tries again.
            raise
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"
        return pyarrow.table(
            {
                "number": shard["number"],
                "answer": pyarrow.array([answer], pyarrow.large_binary()),
                "problem": [problem],
                "fault": [fault],
            }
        )


class SentFiles(NamedTuple):
    """Files that go to every node with the work, so that nodes need no disk in common for them.

    Attributes:
        contents: name -> where Ray's object store holds its bytes.
    """

    contents: Mapping[str, Any]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Self:
        """Put files into the object store of the Ray that is connected."""
        if not paths:
            return cls({})
        import ray

        return cls({path.name: ray.put(path.read_bytes()) for path in paths})

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """Yield a folder of this node that holds the files, until the end of the block."""
        with TemporaryDirectory(prefix="steelbench-") as folder:
            if self.contents:
                import ray

                for name, content in self.contents.items():
                    Path(folder, name).write_bytes(ray.get(content))
            yield Path(folder)


def refuse_missing(what: str, otherwise: str = "") -> None:
    """Raise if what Ray Data needs is not installed.

    Args:
        what: needs it, such as a command.
        otherwise: what works without it, as the end of a sentence.

    Raises:
        SteelbenchError: with what to install.
    """
    for package in ("ray", "pyarrow", "fsspec"):
        if importlib.util.find_spec(package) is None:
            raise SteelbenchError(
                f"{what} needs the package {package}, which is not installed; pip install 'steelbench[cluster]'"
                f"{otherwise}."
            )


def worked(
    worker: type[ShardWorker],
    arguments: Mapping[str, Any],
    shards: Mapping[int, Sequence[Any]],
    *,
    ordered: bool,
    on_gpus: bool,
) -> Iterator[tuple[int, bytes]]:
    """Yield the answer to each shard, while Ray is connected.

    What is in memory at a time are the shards that the actors work on and the few answers that were not taken yet: Ray
    Data holds the actors back when answers wait.

    Args:
        worker: class of the actors.
        arguments: of its constructor.
        shards: number -> items, which are JSON values.
        ordered: whether answers come in the order of the shards; else as they are ready.
        on_gpus: whether an actor needs a GPU.

    Raises:
        SteelbenchError: the user's mistake that an actor found, or a shard whose processes end every time.
        RuntimeError: a fault of the program in an actor.
    """
    import ray
    import ray.data

    # It writes about every execution to the terminal.
    logging.getLogger("ray.data").setLevel(logging.CRITICAL + 1)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = ordered
    rows = [{"number": number, "items": json.dumps(items)} for number, items in shards.items()]
    # Surrogates of file names survive in JSON's escapes, not in a text of Arrow. One block for each shard: an answer is
    # passed on at the end of a block.
    size, resources = _actors(on_gpus)
    with warnings.catch_warnings():
        # Of the bound on tries.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            worker,
            batch_size=1,
            batch_format="pyarrow",
            fn_constructor_kwargs=dict(arguments),
            compute=ray.data.ActorPoolStrategy(size=min(size, len(rows))),
            **resources,
            **_bounded(ray.data.Dataset.map_batches),
        )
    for row in _rows(found):
        if row["problem"]:
            raise SteelbenchError(row["problem"])
        if row["fault"]:
            raise RuntimeError(row["fault"])
        yield row["number"], row["answer"]


def _bounded(map_batches: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments that bound how often an actor and its tasks are tried again.

    Ray announces that its version 2.64 takes none; then a shard is tried until it is done.
    """
    retries = RETRIES
    if "ray_remote_args_fn" not in inspect.signature(map_batches).parameters:
        return {}
    return {"ray_remote_args_fn": lambda: {"max_restarts": retries, "max_task_retries": retries}}


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    from ray.exceptions import RayError

    try:
        for table in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from table.to_pylist()
    except RayError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise SteelbenchError(
            f"a process of Ray ended {RETRIES + 1} times at its work ({(lines or [type(error).__name__])[0][:200]}); "
            "mostly its node lacks memory. The same command goes on where it stopped."
        ) from None


def _actors(on_gpus: bool) -> tuple[int, dict[str, float]]:
    """Return how many actors the cluster has room for, and the resources that each is given.

    A network computes one batch on all cores of its node, as in `steelbench run`; Ray would give OpenMP one thread.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if on_gpus and gpus:
        return gpus, {"num_gpus": 1}
    cores = [int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1]
    if not cores:
        raise SteelbenchError("the cluster of Ray has no processor for this work; add a node by `ray start`.")
    least = min(cores)
    return sum(own // least for own in cores), {"num_cpus": least}


@contextmanager
def words_hidden() -> Iterator[None]:
    """Send what Ray prints to standard output to nowhere; results stand there.

    It prints an error of a task, also of one that it tries again, from a thread of its own. With STEELBENCH_DEBUG set
    that goes to standard error.
    """
    debugged = bool(os.environ.get("STEELBENCH_DEBUG"))
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(sys.stderr if debugged else nowhere):
        yield


def has_gpus() -> bool:
    """Return whether the connected cluster has GPUs."""
    import ray

    return ray.cluster_resources().get("GPU", 0) >= 1
