"""Export a saved model to other runtimes; a file that answers otherwise than the `.h5` is not kept."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelbench.arrays import Features
from steelbench.errors import SteelbenchError
from steelbench.files import write_text
from steelbench.inference.exports import quantised
from steelbench.inference.exports.agreement import TOLERANCE, Agreement, Images, answers, compare
from steelbench.inference.exports.contract import Contract
from steelbench.inference.exports.formats import INT8, Format, Source
from steelbench.inference.exports.scripts import script
from steelbench.inference.exports.target import (
    ExportRecord,
    digests,
    finish,
    is_there,
    locked,
    read_export,
    refuse_other,
    unfinished,
)
from steelbench.inference.model import Opening, load_model, read_card

INT8_NAME = "openvino-int8"


@dataclass(frozen=True)
class Exported:
    """What became of one format.

    Attributes:
        format: its name.
        path: of the exported file or folder.
        reason: why it was not kept; "" if it is there.
        record: of what is there; None if it was not kept.
        int8: what 8 bits change, also where they are not kept for it.
        made: False for what was there already.
    """

    format: str
    path: Path
    reason: str = ""
    record: ExportRecord | None = None
    int8: quantised.Int8Record | None = None
    made: bool = True


class NotKeptError(Exception):
    """Raised for a file that does not do what the `.h5` does; the message is the reason."""

    def __init__(self, reason: str, int8: quantised.Int8Record | None = None) -> None:
        super().__init__(reason)
        self.int8 = int8


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        model: path of the `.h5`.
        formats: rows of `FORMATS` by name.
        out: folder that gets a folder for each format.
        images: of the comparison, readable ones.
        labelled: folder of images that calibrate and measure an 8-bit network; None for none.
        force: replace older exports of another model.
        max_drop: accuracy that 8 bits may lose, 0..1.
        opening: what the user says of the model.
    """

    model: Path
    formats: Mapping[str, Format]
    out: Path
    images: Sequence[Path]
    labelled: Path | None = None
    force: bool = False
    max_drop: float = quantised.MAX_DROP
    opening: Opening | None = None


def export_model(request: Request, tell: Callable[[str], None] = lambda _: None) -> Iterator[Exported]:
    """Export a model, format by format; each is loaded in its own runtime and compared on images before it is kept.

    Args:
        request: what to export.
        tell: called with what is being done.

    Yields:
        What became of each format.

    Raises:
        SteelbenchError: if the model cannot be loaded, or a target holds something else; before anything is written.
    """
    card = read_card(request.model, request.opening)
    data = None
    if request.labelled is not None:
        tell(f"reading {request.labelled}")
        data = quantised.read_labelled(request.labelled, card.classes, card.bit_depth)
    wanted = {name: "" for name in request.formats} | ({INT8_NAME: data.digest} if data else {})
    there = {name for name, digest in wanted.items() if is_there(request.out / name, card.sha256, digest)}
    for name in wanted.keys() - there:
        refuse_other(request.out / name, force=request.force)
    for name in sorted(there):
        target = request.out / name
        yield Exported(name, target / _row(name, request.formats).file, record=read_export(target), made=False)
    if len(there) == len(wanted):
        return
    with locked(request.out):
        yield from _Exporter(request, data, tell).export([name for name in wanted if name not in there])


def _row(name: str, formats: Mapping[str, Format]) -> Format:
    return INT8 if name == INT8_NAME else formats[name]


class _Exporter:
    """Loads the model once, and exports it to one format after the other."""

    def __init__(self, request: Request, data: quantised.Labelled | None, tell: Callable[[str], None]) -> None:
        self.request, self.data, self.tell = request, data, tell
        model = load_model(request.model, request.opening)
        self.contract = Contract.of(model.card)
        self.source = Source(model.network)
        self.images = Images(request.images, model.card.bit_depth)
        tell(f"answering {len(self.images)} images with {request.model.name}")
        self.expected: Features = answers(_keras(model.network), self.images.with_crops())

    def export(self, names: Sequence[str]) -> Iterator[Exported]:
        """Yield what became of each format."""
        for name in names:
            row = _row(name, self.request.formats)
            path = self.request.out / name / row.file
            self.tell(f"exporting to {name}")
            try:
                with unfinished(self.request.out) as folder:
                    record = self._written(name, row, folder)
                    finish(folder, self.request.out / name, record)
                yield Exported(name, path, record=record, int8=record.int8)
            except Exception as error:
                # Converters raise whatever a network happens to cause. A full disk is not the format's fault.
                if isinstance(error, SteelbenchError) or getattr(error, "errno", None):
                    raise
                yield Exported(name, path, reason=_first_line(error), int8=getattr(error, "int8", None))

    def _written(self, name: str, row: Format, folder: Path) -> ExportRecord:
        """Write a format and what lies beside it, check it, and return its record."""
        write_text(folder / "predict.py", script(name))
        checked: dict[str, Any]
        if name == INT8_NAME and self.data is not None:
            checked = {"int8": self._quantised(folder, self.data), "calibration": self.data.digest}
        else:
            checked = {"agreement": self._converted(row, folder)}
        versions = {package: _version(package) for package in ("tensorflow", "keras", *row.packages)}
        return ExportRecord(format=name, contract=self.contract, versions=versions, files=digests(folder), **checked)

    def _converted(self, row: Format, folder: Path) -> Agreement:
        module = row.load()
        with silenced():
            module.write(self.source, self.contract.text(), folder)
            compute, contract = module.open_network(folder)
            if contract != self.contract.text():
                raise NotKeptError("the file does not give back the labels that were written into it")
            got = answers(compute, self.images.with_crops())
        found = compare(got, self.expected, self.contract.classes, len(self.images))
        if not found.holds:
            raise NotKeptError(_disagreement(found))
        return found

    def _quantised(self, folder: Path, data: quantised.Labelled) -> quantised.Int8Record:
        from steelbench.inference.exports import openvino_file

        with silenced(), unfinished(folder.parent) as exact:
            # The written out resizing is in float32, and NNCF would put 8 bits into it.
            source = Source(self.source.network, own_resizing=True)
            openvino_file.write(source, self.contract.text(), exact)
            network = openvino_file.import_openvino().Core().read_model(exact / INT8.file)
            openvino_file.save(quantised.quantise(network, data, self.request.max_drop), self.contract.text(), folder)
            before, _ = openvino_file.open_network(exact)
            after, _ = openvino_file.open_network(folder)
            found = quantised.measure(before, after, data, self.contract.classes)
        drop = found.before.value - found.after.value
        if drop > self.request.max_drop:
            raise NotKeptError(f"more is lost than --max-drop {self.request.max_drop:g}: {found.told()}", found)
        return found


def _keras(network: Any) -> Any:
    from steelbench.models.saved_model import compiled

    compute = compiled(network)
    return lambda images: compute(images).numpy()


def _disagreement(found: Agreement) -> str:
    if found.largest_difference is None:
        return f"on {found.images} images it gives probabilities that are no numbers"
    worst = max(found.by_class, key=lambda name: found.by_class[name] or 0.0)
    return (
        f"on {found.images} images a probability (class '{worst}') differs from the .h5 by "
        f"{found.largest_difference:.1e}, {TOLERANCE:g} is allowed, and {found.classes_changed} change their class"
    )


def _version(package: str) -> str | None:
    from importlib.metadata import packages_distributions, version

    names = packages_distributions().get(package)
    return version(names[0]) if names else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:400].rstrip(". ")


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Keep what converters and runtimes write by themselves, from Python and from C++, off the terminal."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    logging.disable(logging.WARNING)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)
        logging.disable(logging.NOTSET)
