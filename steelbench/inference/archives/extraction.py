"""Embed an archive of any size: lists it, leaves out what is there, and writes what the actors return, part by part.

The command is the only writer of its folder. An actor that outlives a killed command writes nothing, so no image comes
twice: the next start reads the parts that are there, under the folder's lock, and shares out the other images alone.
A part is worked on as a whole, and its number is free or the one that it had before, so a folder that was killed and
continued holds the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import count
from pathlib import Path

import steelbench
from steelbench.data.parallel import ordered_map
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES, choose_engine
from steelbench.features.spec import CALIBRATION_IMAGES
from steelbench.inference.archives.archive import Archive, found_archive, no_images, printable_path
from steelbench.inference.archives.done import Done, read_done
from steelbench.inference.archives.encoder import Encoder, EncoderSpec, read_resized
from steelbench.inference.archives.parts import (
    DamagedPartError,
    Part,
    Row,
    read_part,
    sweep,
    write_part,
)
from steelbench.inference.archives.record import (
    CheckedImage,
    Embedded,
    ExtractRecord,
    read_extract,
    refuse_other,
    write_extract,
)
from steelbench.inference.archives.shards import SentFiles, has_gpus, refuse_missing, words_hidden, worked
from steelbench.models import keras_hub
from steelbench.models.backbones import check_image_size, find_backbone
from steelbench.models.tensorflow_startup import QUIET
from steelbench.models.weight_files import Origin, resolve, search_folders
from steelbench.progress import Progress
from steelbench.ray_session import connected
from steelbench.runs.results_folder import locked

# Images of a part: a thousand parts of an archive, within bounds. A part is what a kill loses, and what an actor holds
# in memory, at most 2048 embeddings of 2560 numbers or 21 MB; multiples of every engine's batch.
PARTS, LEAST, MOST = 1000, 256, 2048


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What `steelbench extract` is asked for.

    Attributes:
        data: a folder or a URL of fsspec.
        backbone: its name.
        out: local folder for the parts.
        weights: as `weight_files.resolve` takes it.
        weights_dir: looked through first.
        image_size: side of the square that the backbone sees, pixels; None for its usual one.
        engine: auto, keras or openvino.
        precision: float32, bfloat16 or float16.
        bit_depth: used bits of 16-bit files; None for all.
        address: of a Ray cluster; None starts a local one.
    """

    data: str
    backbone: str
    out: Path
    weights: str = "imagenet"
    weights_dir: Path | None = None
    image_size: int | None = None
    engine: str = "auto"
    precision: str = "float32"
    bit_depth: int | None = None
    address: str | None = None

    @property
    def size(self) -> int:
        """Return the side of the square that the backbone sees, pixels."""
        return self.image_size or find_backbone(self.backbone).image_size


@dataclass(frozen=True)
class Outcome:
    """What is in the folder at the end.

    Attributes:
        images: rows of all parts.
        unreadable: those without an embedding.
        new: rows that this command added.
        seconds: that it took for them, from the start of Ray.
    """

    images: int
    unreadable: int
    new: int
    seconds: float


@dataclass(frozen=True)
class Work:
    """What is to be done.

    Attributes:
        archive: that holds the images.
        origin: where the weights come from.
        first: readable images, for the check of the engine and for random weights.
        todo: paths of the images that no part holds.
        done: what the parts hold.
        record: of the folder; None for a new one.
    """

    archive: Archive
    origin: Origin
    first: list[CheckedImage]
    todo: Sequence[str]
    done: Done
    record: ExtractRecord | None


def extract_archive(asked: Extraction, progress: Progress, tell: Callable[[str], None]) -> Outcome:
    """Embed the images of an archive that a folder lacks.

    Args:
        asked: what of, and where to.
        progress: called with the images that are done.
        tell: called with sentences for the user.

    Raises:
        SteelbenchError: for every mistake of the user's; what was written until then is kept.
    """
    refuse_missing("steelbench extract")
    _refuse_options(asked)
    archive = found_archive(asked.data)
    origin = _origin(asked, progress)
    with locked(asked.out, "--out"):
        record = read_extract(asked.out)
        if record is not None:
            _refuse_others(asked, archive, origin, record)
        sweep(asked.out)
        progress("list", archive.url, 0, 0)
        paths = archive.paths()
        progress("list", archive.url, 1, 1)
        if not paths:
            raise SteelbenchError(no_images(asked.data))
        done = read_done(asked.out, record, tell)
        todo = [path for path in paths if printable_path(path) not in done.paths]
        if done.paths:
            tell(f"{len(done.paths)} images are in {asked.out} already, {len(todo)} are to do.")
        if not todo:
            return Outcome(len(done.paths), done.unreadable, 0, 0.0)
        calibration = record.calibration if record and origin.kind == "random" else None
        first = calibration or _first_images(archive, paths, asked)
        return _extract(asked, Work(archive, origin, first, todo, done, record), progress, tell)


def _refuse_options(asked: Extraction) -> None:
    # A path joins the two slashes of a URL.
    if ":/" in asked.out.as_posix():
        raise SteelbenchError(f"--out {asked.out} is a URL; the parts are written to a local folder.")
    if "+" in asked.backbone:
        raise SteelbenchError(f"--backbone {asked.backbone} is an ensemble; extract takes one backbone at a time.")
    if not asked.backbone.startswith(keras_hub.PREFIX):
        check_image_size(asked.backbone, asked.size)
    choose_engine(asked.engine, asked.precision, gpus=0)


def _origin(asked: Extraction, progress: Progress) -> Origin:
    """Return where the weights come from; fetch them if they are missing."""
    if asked.backbone.startswith(keras_hub.PREFIX):
        reason = keras_hub.fetch(asked.backbone, search_folders(asked.weights_dir), progress)
        if reason:
            raise SteelbenchError(f"{asked.backbone} cannot be had: {reason}.")
        check_image_size(asked.backbone, asked.size)
    return resolve(asked.backbone, asked.weights, asked.weights_dir, lambda *step: progress("fetch", *step))


def _refuse_others(asked: Extraction, archive: Archive, origin: Origin, record: ExtractRecord) -> None:
    """Refuse a folder with embeddings of anything else than what is asked for."""
    embedded = record.embedded
    source = {key: value for key, value in embedded.weights.items() if key in ("kind", "file", "md5")}
    for what, before, now in (
        ("images of", record.data, archive.url),
        ("the backbone", embedded.backbone, asked.backbone),
        ("weights", _words(source), _words(origin.record)),
        ("the image size", embedded.image_size, asked.size),
        ("the precision", embedded.precision, asked.precision),
        ("the bit depth", embedded.bit_depth, asked.bit_depth),
        # With `auto` a folder goes on as it began.
        ("the engine", record.asked_engine, record.asked_engine if asked.engine == "auto" else asked.engine),
        ("Keras", embedded.keras, version("keras")),
        ("the engine's version", embedded.engine_version, _version(embedded.engine)),
    ):
        refuse_other(asked.out, what, before, now)


def _version(engine: str) -> str:
    """Return the version of an engine's package, "none" where it is not installed."""
    row = ENGINES.get(engine)
    return row.version if row and row.installed else "none"


def _words(source: Mapping[str, object]) -> str:
    return " ".join(str(value) for value in source.values())


def _extract(asked: Extraction, work: Work, progress: Progress, tell: Callable[[str], None]) -> Outcome:
    """Let actors embed the images that are to do, and write what they return."""
    record, done, new, unreadable = work.record, len(work.done.paths), 0, work.done.unreadable
    part_images = record.part_images if record else _part_images(len(work.todo))
    with words_hidden(), connected(asked.address, QUIET, tell):
        start = time.perf_counter()
        spec = _spec(asked, work)
        progress("features", asked.backbone, done, done + len(work.todo))
        shards = dict(_shards(work.todo, part_images, work.done.numbers))
        for number, data in worked(Encoder, {"spec": spec}, shards, ordered=False, on_gpus=spec.engine == "keras"):
            part = _arrived(number, data)
            if record is None:
                record = _record(spec, part_images, part, tell)
                write_extract(asked.out, record)
            _refuse_mixture(part.embedded, record.embedded)
            write_part(asked.out, number, data)
            new, unreadable = new + len(part.paths), unreadable + part.unreadable
            progress("features", asked.backbone, done + new, done + len(work.todo))
        return Outcome(done + new, unreadable, new, time.perf_counter() - start)


def _spec(asked: Extraction, work: Work) -> EncoderSpec:
    """Return what the actors are made of, once Ray is connected."""
    chosen = choose_engine(asked.engine, asked.precision, int(has_gpus()))
    return EncoderSpec(
        data=work.archive.url,
        backbone=asked.backbone,
        image_size=asked.size,
        bit_depth=asked.bit_depth,
        engine=work.record.asked_engine if work.record else chosen,
        precision=asked.precision,
        origin=work.origin,
        files=SentFiles.of([Path(work.origin.path)] if work.origin.path else []),
        first=work.first,
    )


def _arrived(number: int, data: bytes) -> Part:
    try:
        return read_part(data)
    except DamagedPartError as error:
        raise SteelbenchError(
            f"part {number} came damaged ({error}); the same command goes on where it stopped."
        ) from None


def _first_images(archive: Archive, paths: Sequence[str], asked: Extraction) -> list[CheckedImage]:
    """Return the first readable images by path, at most `CALIBRATION_IMAGES`."""

    def read(path: str) -> tuple[str, Row]:
        return path, read_resized(archive, path, asked.size, asked.bit_depth).row

    first: list[CheckedImage] = []
    reason = ""
    for path, row in ordered_map(read, paths, ahead=8):
        reason = reason or row.reason
        if not row.reason:
            first.append(CheckedImage(path=path, sha256=row.sha256))
        if len(first) == CALIBRATION_IMAGES:
            break
    if not first:
        raise SteelbenchError(
            f"none of the {len(paths)} images below {archive.url} can be read ({reason}); name another folder."
        )
    return first


def _part_images(images: int) -> int:
    """Return the images of a part, a multiple of `LEAST`."""
    return min(MOST, LEAST * max(1, -(-images // (PARTS * LEAST))))


def _shards(todo: Sequence[str], size: int, taken: set[int]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield shards of images with the lowest numbers that no part has."""
    free = (number for number in count() if number not in taken)
    for start in range(0, len(todo), size):
        yield next(free), todo[start : start + size]


def _record(spec: EncoderSpec, part_images: int, part: Part, tell: Callable[[str], None]) -> ExtractRecord:
    if part.note:
        tell(f"{spec.backbone}: {part.note}. Keras computes instead.")
    return ExtractRecord(
        data=spec.data,
        asked_engine=spec.engine,
        part_images=part_images,
        calibration=spec.first if spec.origin.kind == "random" else [],
        embedded=part.embedded,
        steelbench=steelbench.__version__,
    )


def _refuse_mixture(found: Embedded, expected: Embedded) -> None:
    """Refuse embeddings of an actor whose node has another version, engine or outcome of its check."""
    before, now = expected.model_dump(), found.model_dump()
    for name, value in before.items():
        if now[name] != value:
            raise SteelbenchError(
                f"a node computes with {name} {now[name]}, and the parts that are there were made with {value}; give "
                "all nodes the same packages and processors, or name the engine that they share by --engine."
            )
