"""Extraction of one network's features on a cluster: described, then computed in shards. No TensorFlow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from steelbench.data.images import UnreadableImageError
from steelbench.features.cache import FeatureStore, spaces
from steelbench.features.spec import ImageRef, Part
from steelbench.records import Notice
from steelbench.runs.jobs import Job
from steelbench.runs.ray_runner.functions import Functions
from steelbench.runs.ray_runner.orders import Described, EncoderOrder, Failure, Shard, ShardOrder
from steelbench.runs.ray_runner.parcels import StoredFeatures, pack_refs, path_there
from steelbench.runs.ray_runner.site import Site

# Images of a shard, at most; fewer where each node would get less than `ROUNDS` shards.
MOST, ROUNDS = 256, 4


class Extraction:
    """The features of one network of a run; this process alone writes them to the cache.

    Args:
        job: the first that needs them.
        part: the network.
        site: what all tasks share.
        functions: that nodes run.
        processes: name of the processes for the network.
        tell: called with each notice.

    Attributes:
        failure: why they cannot be had; "" as long as they can.
        begun: whether a node was asked to describe the encoder.
        described: what it said.
        opened: whether it is known which images are missing; until then another command may be computing them.
        finished: whether they are all in the cache, or have failed.
        todo: shards that are not with a node yet.
        under_way: shards that are with nodes.
        done: shards that came back.
        shards: number of all shards; an estimate until the encoder is described.
    """

    def __init__(
        self,
        job: Job,
        part: Part,
        site: Site,
        functions: Functions,
        processes: str,
        tell: Callable[[Notice], None],
    ) -> None:
        self.part, self.site, self.functions, self.processes, self.tell = part, site, functions, processes, tell
        self.cache, self.images = Path(job.cache), list({image.digest: image for image in job.data.everything}.values())
        self.order = EncoderOrder(part, site.starters, job.engine, job.precision, job.data.bit_depth, site.versions)
        self.failure, self.begun, self.opened, self.finished = "", False, False, False
        self.under_way, self.done = 0, 0
        self.todo: deque[list[ImageRef]] = deque()
        self.shards = -(-len(self.images) // MOST)
        self.described: Described | None = None
        self._open = ExitStack()
        self._supplies: tuple[Any, ...] = ()
        self._stored: Any = None
        self._seconds, self._memory, self._computed = 0.0, 0.0, 0

    def begin(self) -> None:
        """Have a node make the encoder and say what its features depend on."""
        self.begun = True
        try:
            self._supplies = (self.site.starter_images, *self.site.weights([self.part]))
        except (UnreadableImageError, OSError) as error:
            self.fail(f"what {self.part.backbone} is made with cannot be read any more ({error}).")
            return
        whole = frozenset(_whole_spaces(self.cache, self.part.backbone, {image.digest for image in self.images}))
        self.site.tasks.start(
            self.functions.describe,
            self._hear_description,
            self.order,
            whole,
            *self._supplies,
            share="core",
            processes=self.processes,
        )

    def _hear_description(self, found: Described | Failure) -> None:
        if isinstance(found, Failure):
            self.fail(found.reason)
            return
        self.described = found
        for notice in found.notices:
            self.tell(notice)
        store = FeatureStore(self.cache, self.part.backbone, int(found.description["dim"]), found.description)
        self.store = store
        if found.measurements:
            store.write_measurements(found.measurements)

    @property
    def lined_up(self) -> bool:
        """Return whether it was begun and not every shard is with a node yet."""
        return self.begun and not self.finished and bool(self.todo or not self.opened)

    def open(self) -> bool:
        """Find which features are missing; return whether no other command is writing to the store.

        The store is held until all is there, as the local runner does. Nothing waits for it here: this process may
        hold the store of another network, for which the other command would wait in turn.
        """
        if self.described is None:
            raise ValueError("open an extraction after its encoder is described")
        try:
            self._open.enter_context(self.store.locked(wait=False))
        except TimeoutError:
            return False
        self.opened = True
        self._write = self._open.enter_context(self.store.writer())
        missing = [image for image in self.images if image.digest not in self.store]
        self.todo.extend(self._cut(missing, self.described.batch))
        self.shards = len(self.todo)
        if not self.todo:
            self._finish()
        return True

    def _cut(self, images: Sequence[ImageRef], batch: int) -> list[list[ImageRef]]:
        """Return shards of whole batches, the same ones as those of the local runner."""
        fair = len(images) / (self.site.tasks.needs.slots * ROUNDS)
        most = min(MOST, max(1, round(fair / batch)) * batch)
        groups = self.site.cut([image.path for image in images], most, batch)
        waiting = deque(images)
        return [[waiting.popleft() for _ in group] for group in groups]

    def next_shard(self) -> None:
        """Send the next shard to a node."""
        images = self.todo.popleft()
        try:
            files = pack_refs(self.site.root, images)
        except UnreadableImageError as error:
            self.fail(f"an image that was readable before is not any more: {error}")
            return
        there = [image.model_copy(update={"path": path_there(image)}) for image in images]
        order = ShardOrder(self.order, self.store.folder.name, there)
        self.under_way += 1
        self.site.tasks.start(
            self.functions.extract,
            lambda shard: self._hear_shard(images, shard),
            order,
            self.site.tasks.put(files),
            *self._supplies,
            share="shard",
            processes=self.processes,
        )

    def _hear_shard(self, images: Sequence[ImageRef], shard: Shard | Failure) -> None:
        self.under_way -= 1
        if self.finished:
            return
        if isinstance(shard, Failure):
            self.fail(shard.reason)
            return
        self._write([image.digest for image in images], shard.features)
        self.done += 1
        self._computed += len(images)
        self._seconds += shard.seconds
        self._memory = max(self._memory, shard.memory_gib)
        if self.done == self.shards:
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        self._open.close()
        if self._computed and self.described:
            self.store.write_measurements(
                {
                    # Of one node: how many there are next time is not known.
                    "images_per_second": self._computed / max(self._seconds, 1e-9),
                    "load_seconds": self.described.load_seconds,
                    "memory_gib": self._memory,
                }
            )

    def fail(self, reason: str) -> None:
        """Give up; shards that are with nodes are not heard any more."""
        self.failure, self.finished = reason, True
        self.todo.clear()
        self._open.close()

    def close(self) -> None:
        """Write what came back so far."""
        self._open.close()

    def stored(self) -> Any:
        """Return a reference to the features of all images, after they are finished."""
        if self._stored is None:
            digests = [image.digest for image in self.images]
            found = StoredFeatures(
                self.part.backbone,
                self.store.description,
                digests,
                self.store.gather(digests),
                self.store.measurements(),
            )
            self._stored = self.site.tasks.put(found)
        return self._stored

    def release(self) -> None:
        """Let go of the features, which tasks that were started hold by themselves."""
        self._stored = None


def _whole_spaces(cache: Path, backbone: str, wanted: set[str]) -> list[str]:
    """Return the names of the stores of a network that hold all of some images."""
    found = [space for space in spaces(cache) if space.backbone == backbone and space.images >= len(wanted)]
    return [space.folder.name for space in found if wanted <= space.digests()]
