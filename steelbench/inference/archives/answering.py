"""Answers of a saved model to images of any number, computed by Ray in shards, in order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from steelbench.errors import SteelbenchError
from steelbench.inference.archives.archive import StoredImage
from steelbench.inference.archives.shards import SentFiles, ShardWorker, worked
from steelbench.inference.model import Opening
from steelbench.inference.network import Network, open_network
from steelbench.inference.stream import Address, Answer, answers
from steelbench.inference.unfamiliar import Recogniser, recogniser_of
from steelbench.models.tensorflow_startup import QUIET
from steelbench.models.unfamiliar_file import unfamiliar_file
from steelbench.ray_session import connected

# Images of a shard, a multiple of every engine's batch: the answers come in shards.
SHARD = 256


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What an actor needs to answer as a command on one machine does.

    Attributes:
        path: of the `.h5` on the machine of the command.
        files: the model, its card, and what says which images are unfamiliar.
        opening: what the user says of the model.
        engine: auto, keras or openvino.
        images: in all, if known; they bound the batch.
        bit_depth: used bits of 16-bit files; None for all.
    """

    path: Path
    files: SentFiles
    opening: Opening | None
    engine: str
    images: int | None
    bit_depth: int | None


def files_of(path: Path) -> list[Path]:
    """Return the files of a model: its `.h5`, and those beside it that are there."""
    return [path, *(own for own in (path.with_suffix(".json"), unfamiliar_file(path)) if own.is_file())]


class Answerer(ShardWorker):
    """Answers shards, which are lists of addresses.

    Args:
        spec: the same for all actors.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.told: list[str] = []

    def work(self, items: list[list[str]]) -> bytes:
        """Return the pickled answers, and sentences for the user."""
        network, recogniser = self._opened
        found = answers(network, map(_address, items), self.spec.bit_depth, judge=recogniser)
        return pickle.dumps((list(found), self.told))

    @cached_property
    def _opened(self) -> tuple[Network, Recogniser | None]:
        spec = self.spec
        with spec.files.unpacked() as folder:
            path = folder / spec.path.name

            def tell(text: str) -> None:
                self.told.append(text.replace(str(folder), str(spec.path.parent)))

            try:
                network = open_network(path, spec.engine, opening=spec.opening, images=spec.images, tell=tell)
            except SteelbenchError as error:
                raise SteelbenchError(str(error).replace(str(folder), str(spec.path.parent))) from None
            return network, recogniser_of(network, path, tell)


def answers_by_ray(
    model: Path,
    images: Sequence[Address],
    *,
    engine: str,
    opening: Opening | None,
    count: int | None,
    bit_depth: int | None,
    address: str | None,
    tell: Callable[[str], None],
) -> Generator[Answer, None, None]:
    """Yield the answer to each image, in order; to be closed, which ends the work of the cluster.

    Args:
        model: path of the `.h5`.
        images: paths that every node can read, or images of archives.
        engine: auto, keras or openvino.
        opening: what the user says of the model.
        count: images in all as a command on one machine knows it, None for a list without an end: it bounds the batch.
        bit_depth: used bits of 16-bit files; None for all.
        address: of a Ray cluster; None starts a local one.
        tell: called with sentences for the user, each once.

    Raises:
        SteelbenchError: as `open_network`, or if a storage does not answer.
    """
    items = [_item(image) for image in images]
    shards = {number: items[start : start + SHARD] for number, start in enumerate(range(0, len(items), SHARD))}
    said: set[str] = set()
    with connected(address, QUIET, tell):
        spec = ModelSpec(
            path=model,
            files=SentFiles.of(files_of(model)),
            opening=opening,
            engine=engine,
            images=count,
            bit_depth=bit_depth,
        )
        for number, data in worked(Answerer, {"spec": spec}, shards, ordered=True, on_gpus=engine != "openvino"):
            found, told = pickle.loads(data)
            for text in told:
                if text not in said:
                    said.add(text)
                    tell(text)
            for image, answer in zip(images[number * SHARD :], found, strict=False):
                yield replace(answer, path=image)


def _item(address: Address) -> list[str]:
    if isinstance(address, StoredImage):
        return [address.url, address.path]
    # Of an actor the working directory is another one.
    return ["", str(address.absolute())]


def _address(item: list[Any]) -> Address:
    url, path = item
    return StoredImage(url, path) if url else Path(path)
