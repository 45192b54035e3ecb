"""The network that OpenVINO computes, kept in the cache by the model's sha256: a second start needs no TensorFlow."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from steelbench.arrays import Features
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES, ComputeFeatures, run_openvino
from steelbench.files import cache_folder, write_json
from steelbench.inference.direct_graph import build_graph
from steelbench.inference.direct_layers import UnsupportedError
from steelbench.inference.model import Model, Opening, load_model
from steelbench.inference.network import Network, fitting, keras_network, refuse_other_classes
from steelbench.models.model_card import PIXELS, Card
from steelbench.models.probe import RELATIVE, TOLERANCE, Lengths, check_images
from steelbench.models.safe_load import checked_file
from steelbench.records import Record
from steelbench.records.base import read_record

# With another layout of the kept files.
VERSION = 1


class Kept(Record):
    """What is written beside a kept network, last: what it computes, and the sha256 of its two files."""

    version: int
    openvino: str
    classes: int = Field(ge=1)
    embedding: int = Field(ge=0)
    logits: int = Field(ge=0)
    size: int | None = Field(ge=1)
    xml: str
    bin: str
    difference: float

    @property
    def lengths(self) -> Lengths:
        """The lengths of the network's outputs."""
        return Lengths(self.classes, self.embedding, self.logits, self.size)


def openvino_network(
    path: Path, card: Card, opening: Opening | None, images: int | None, tell: Callable[[str], None] | None
) -> Network:
    """Return a model as a network that OpenVINO computes in float32, from the cache or newly converted and checked.

    Args:
        path: of the `.h5`.
        card: of the file, its sha256 checked.
        opening: what the user says of the model.
        images: that will be computed, if known.
        tell: called with the reason where Keras computes instead; None to raise.

    Raises:
        SteelbenchError: if the model cannot be loaded, and without `tell` if OpenVINO cannot compute it.
    """
    _hide_telemetry()
    key, batch = key_of(card, opening), fitting("openvino", images)
    found = read_kept(key)
    if found is None:
        direct = directly(path, card, opening, batch)
        if direct is not None:
            keep(key, *direct[1:])
            return direct[0]
        model = load_model(path, opening)
        try:
            graph, kept = converted(model)
        except SteelbenchError as error:
            if tell is None:
                raise SteelbenchError(f"--engine openvino cannot be used: {error} Use --engine keras.") from None
            tell(f"{error} Keras computes instead.")
            return keras_network(model, images)
        keep(key, graph, kept)
        found = graph, kept.lengths
    graph, lengths = found
    refuse_other_classes(path, card, lengths.classes)
    if lengths.size is not None:
        graph.reshape([batch, lengths.size, lengths.size, 3])
    return Network(card, "openvino", lengths, batch, run_openvino(graph, "float32"))


def directly(path: Path, card: Card, opening: Opening | None, batch: int) -> tuple[Network, Any, Kept] | None:
    """Return a model's network built without TensorFlow and Keras, if it answers as Keras did when it was saved.

    Importing TensorFlow takes longer than everything else at a first start.

    Args:
        path: of the `.h5`.
        card: of the file, its sha256 checked.
        opening: what the user says of the model.
        batch: images of a batch.

    Returns:
        The network, its graph, and what is written beside that; None where Keras must build it: without answers on the
        card, for a network of other layers, for other answers.

    Raises:
        SteelbenchError: if the file cannot be loaded.
    """
    if card.probe is None or card.pixels is not None or (opening and opening.allow_unsafe):
        return None
    try:
        with checked_file(path, classes=len(card.classes), side=card.image_size) as (described, file):
            graph, lengths = build_graph(described, file)
        graph.reshape([batch, lengths.size, lengths.size, 3])
        run = run_openvino(graph, "float32")
        vectors = _in_batches(run, check_images(lengths.size), batch)
    except (UnsupportedError, RuntimeError):
        # OpenVINO raises RuntimeError for what it cannot connect or compile.
        return None
    difference = card.probe.agrees(lengths, vectors)
    if difference is None:
        return None
    return Network(card, "openvino", lengths, batch, run), graph, _described(lengths, difference)


def _in_batches(run: ComputeFeatures, images: Features, batch: int) -> Features:
    """Return the vectors of images, computed in full batches."""
    missing = -len(images) % batch
    filled = np.concatenate([images, np.zeros((missing, *images.shape[1:]), np.float32)])
    return np.concatenate(list(run(np.split(filled, len(filled) // batch))))[: len(images)]


def key_of(card: Card, opening: Opening | None) -> str:
    """Return the name of a model's kept files: its sha256, and what else its network depends on.

    A file of Keras's is rebuilt for the pixels that its card names, and one that was opened with `--allow-unsafe` must
    not be found without it.
    """
    more = [PIXELS.index(card.pixels)] if card.pixels else []
    return "-".join([card.sha256, *map(str, more), *(["unsafe"] if opening and opening.allow_unsafe else [])])


def networks_folder() -> Path:
    """Return the folder of the cache that networks are kept in."""
    return cache_folder() / "networks"


def kept_files() -> list[Path]:
    """Return the files of all kept networks."""
    return [path for path in networks_folder().glob("*") if path.suffix in (".json", ".xml", ".bin")]


def clear_networks(older_than_days: float) -> int:
    """Delete the files of kept networks, and return the bytes that were freed.

    Args:
        older_than_days: only files that were written so many days ago, or earlier.
    """
    freed = 0
    for path in kept_files():
        found = path.stat()
        if time.time() - found.st_mtime >= older_than_days * 86400:
            path.unlink(missing_ok=True)
            freed += found.st_size
    return freed


def read_kept(key: str) -> tuple[Any, Lengths] | None:
    """Read the network of a model from the cache; None if it is not there, damaged, or of another OpenVINO.

    Args:
        key: of `key_of`.
    """
    import openvino

    beside = networks_folder() / f"{key}.json"
    try:
        kept = read_record(beside, Kept)
        xml, weights = (beside.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin"))
    except (SteelbenchError, OSError):
        return None
    same = (kept.version, kept.openvino) == (VERSION, ENGINES["openvino"].version)
    if not same or _digest(xml) != kept.xml or _digest(weights) != kept.bin:
        return None
    return openvino.Core().read_model(beside.with_suffix(".xml")), kept.lengths


def keep(key: str, graph: Any, kept: Kept) -> None:
    """Write a network into the cache; what says that it is whole comes last.

    A cache that cannot be written costs time at the next start, and no answer.
    """
    import openvino

    folder = networks_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            made = Path(work) / "network.xml"
            openvino.save_model(graph, made, compress_to_fp16=False)
            digests = {}
            for suffix in (".xml", ".bin"):
                digests[suffix[1:]] = _digest(made.with_suffix(suffix).read_bytes())
                made.with_suffix(suffix).replace(folder / f"{key}{suffix}")
        write_json(folder / f"{key}.json", kept.model_copy(update=digests))
    except (OSError, RuntimeError):
        return


def converted(model: Model) -> tuple[Any, Kept]:
    """Convert a loaded model, and compare it with Keras on `check_images`.

    Returns:
        OpenVINO's graph for batches of any number of images, and what it computes.

    Raises:
        SteelbenchError: if OpenVINO cannot convert it, or computes something else than Keras.
    """
    _hide_telemetry()
    import keras
    import openvino

    from steelbench.models.network_outputs import joined_outputs
    from steelbench.models.saved_model import compiled

    joined, lengths = joined_outputs(model.network)
    side = lengths.size or -1
    behind = joined
    if lengths.size:
        resizing = next(layer for layer in joined.layers if isinstance(layer, keras.layers.Resizing))
        behind = keras.Model(resizing.output, joined.output)
        behind.trainable = False
    try:
        with warnings.catch_warnings():
            # Keras warns that OpenVINO passes a tuple where Keras expects a tensor.
            warnings.simplefilter("ignore", UserWarning)
            graph = openvino.convert_model(behind, input=[-1, side, side, 3])
        images = check_images(lengths.size)
        (found,) = run_openvino(graph, "float32")([images])
    except Exception as error:
        # OpenVINO raises whatever the unknown layer happens to cause.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise SteelbenchError(f"OpenVINO cannot convert {model.card.name} ({reason}).") from None
    difference = compare(lengths, found, compiled(joined)(images).numpy(), model.card.name)
    return graph, _described(lengths, difference)


def _described(lengths: Lengths, difference: float) -> Kept:
    """Return what is written beside a network, without the digests of its files."""
    version = ENGINES["openvino"].version
    return Kept(version=VERSION, openvino=version, **vars(lengths), xml="", bin="", difference=difference)


def compare(lengths: Lengths, found: Features, expected: Features, name: str) -> float:
    """Return the largest difference of a probability.

    Args:
        lengths: of the outputs.
        found: float32 [N, C + E + C], of OpenVINO.
        expected: the same of Keras.
        name: of the model, for the message.

    Raises:
        SteelbenchError: if probabilities, classes, embeddings or logits differ.
    """
    ends = np.cumsum([lengths.classes, lengths.embedding])
    ours, theirs = np.split(found, ends, axis=1), np.split(expected, ends, axis=1)
    difference = float(np.abs(ours[0] - theirs[0]).max())
    apart = [
        float((np.linalg.norm(a - b, axis=1) / (np.linalg.norm(b, axis=1) + 1e-6)).max())
        for a, b in zip(ours[1:], theirs[1:], strict=True)
        if a.shape[1]
    ]
    # Not `>`: of a difference that is not a number every comparison is False.
    if not difference <= TOLERANCE or not all(own <= RELATIVE for own in apart):
        raise SteelbenchError(
            f"OpenVINO's answers of {name} differ from Keras's by up to {max(difference, *apart, 0.0):.2g}, more than "
            f"{TOLERANCE:g} of a probability or {RELATIVE:g} of an embedding."
        )
    return difference


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hide_telemetry() -> None:
    # As in `features.engines.openvino_graph`: its reports fork this process.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
