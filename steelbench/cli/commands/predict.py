"""`steelbench predict MODEL PATH...`: path, class, probability, whether a person must look, and why, as CSV or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from steelbench.cli.terminal import say
from steelbench.csv_files import csv_line, escaped
from steelbench.errors import SteelbenchError, choose
from steelbench.inference.image_paths import named_images
from steelbench.printable import shown

if TYPE_CHECKING:
    from steelbench.inference.model import Opening
    from steelbench.inference.stream import Address, Answer
    from steelbench.models.model_card import Card

FIRST = ("path", "class", "probability", "reason", "uncertain", "unfamiliar")
# The classes behind the first; their probabilities stand in the columns `second_probability` and so on.
PLACES = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
RUNNERS = ("local", "ray")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What `predict` is asked for.

    Attributes:
        bit_depth: used bits of 16-bit files; None for those of the images that the model was trained on.
        top: classes of each image, 1 to 10.
        threshold: least probability of an answer that needs no person; None for the card's.
        json: whether each line is a JSON object.
        out: file in place of standard output.
        engine: `auto`, `keras` or `openvino`.
        runner: `local` or `ray`.
        ray_address: of a cluster, for `ray`; None starts a local one.
    """

    bit_depth: int | None = None
    top: int = 3
    threshold: float | None = None
    json: bool = False
    out: Path | None = None
    engine: str = "auto"
    runner: str = "local"
    ray_address: str | None = None


def predict_files(
    model_path: Path, images: Iterable[str | Path], wanted: Wanted, opening: Opening | None = None
) -> int:
    """Print a line for each image; one that cannot be read has a reason in place of its class.

    Args:
        model_path: of the `.h5`.
        images: images, crops, folders, patterns, URLs of images or folders, or `-` for a list on standard input.
        wanted: how.
        opening: what the user says of the model.

    Returns:
        The exit code: 1 if an image could not be read.
    """
    _refuse_runner(wanted)
    if wanted.out is not None:
        from steelbench.runs.results_folder import refuse_unwritable_file

        refuse_unwritable_file("--out", wanted.out)
    given, count = named_images(list(map(str, images)))
    deep, unreadable, columns = DeepImages(), False, _columns(wanted.top)
    with _output(wanted.out) as file, _answers(model_path, given, count, wanted, opening) as (card, found):
        write = _writer(file, columns, wanted)
        for answer in found:
            write(_row(card, answer, wanted))
            deep.add(answer)
            unreadable |= bool(answer.reason)
    if deep.look_like_12_bit and (wanted.bit_depth or card.bit_depth) is None:
        say(
            f"no value of the {deep.count} 16-bit images exceeds 4095, as in 12-bit data; read as 16 bit they are "
            "almost black, and the answers worthless. If the camera gives 12 bits, add --bit-depth 12."
        )
    return int(unreadable)


@dataclass
class DeepImages:
    """The 16-bit images among those read: how many, and their largest value."""

    count: int = 0
    largest: int = 0

    def add(self, image: Answer) -> None:
        """Count an image if it has 16 bits."""
        if image.bits == 16:
            self.count, self.largest = self.count + 1, max(self.largest, image.largest)

    @property
    def look_like_12_bit(self) -> bool:
        """Return whether there are some, and none needs more than 12 bits."""
        return self.count > 0 and self.largest <= 4095


def _refuse_runner(wanted: Wanted) -> None:
    """Raise for a runner that is unknown or not installed, and an address without one."""
    if choose("runner", wanted.runner, RUNNERS) == "ray":
        from steelbench.inference.archives.shards import refuse_missing

        refuse_missing("--runner ray", ", or use --runner local")
    elif wanted.ray_address is not None:
        raise SteelbenchError(f"--ray-address {wanted.ray_address} is for --runner ray; add it, or leave this out.")


@contextmanager
def _answers(
    path: Path, images: Iterable[Address], count: int | None, wanted: Wanted, opening: Opening | None
) -> Iterator[tuple[Card, Iterator[Answer]]]:
    """Open the model, here or on the nodes of a cluster; yield its card, and the answers in order, shown as progress.

    The model was opened before the block begins, so that nothing is printed for one that cannot be.
    """
    if wanted.runner == "ray":
        from steelbench.inference.archives.answering import answers_by_ray
        from steelbench.inference.archives.shards import words_hidden
        from steelbench.inference.model import read_card

        card = read_card(path, opening)
        found = answers_by_ray(
            path,
            list(images),
            engine=wanted.engine,
            opening=opening,
            count=count,
            bit_depth=wanted.bit_depth or card.bit_depth,
            address=wanted.ray_address,
            tell=say,
        )
        with words_hidden(), closing(found), _progress() as progress:
            first = list(islice(found, 1))
            yield card, _counted(chain(first, found), card, count, progress)
        return
    from steelbench.inference.network import open_network
    from steelbench.inference.stream import answers
    from steelbench.inference.unfamiliar import recogniser_of

    network = open_network(path, wanted.engine, opening=opening, images=count, tell=say)
    judge = recogniser_of(network, path, say)
    here = answers(network, images, wanted.bit_depth or network.card.bit_depth, judge=judge)
    with _progress() as progress:
        yield network.card, _counted(here, network.card, count, progress)


def _counted(found: Iterable[Answer], card: Card, count: int | None, progress: Any) -> Iterator[Answer]:
    """Yield the answers, and report how many were taken."""
    for number, answer in enumerate(found, start=1):
        yield answer
        if progress:
            progress("features", card.name, number, count or 0)


def _columns(top: int) -> list[str]:
    behind = [name for place in PLACES[: top - 1] for name in (place, f"{place}_probability")]
    return [*FIRST, *behind, "model"]


def _row(card: Card, answer: Answer, wanted: Wanted) -> dict[str, Any]:
    """Return the columns of an image; None where there is nothing to say."""
    row: dict[str, Any] = dict.fromkeys(_columns(wanted.top))
    row |= {"path": str(answer.path), "reason": answer.reason, "model": card.sha256}
    if answer.reason:
        return row
    # Of equals the first, as argmax.
    order = (-answer.probabilities).argsort(kind="stable")[: wanted.top]
    for place, number in zip(("class", *PLACES), order, strict=False):
        name = "probability" if place == "class" else f"{place}_probability"
        row |= {place: card.classes[number], name: float(answer.probabilities[number])}
    threshold = _threshold(card, wanted)
    row["uncertain"] = None if threshold is None else row["probability"] < threshold
    row["unfamiliar"] = answer.unfamiliar
    return row


def _threshold(card: Card, wanted: Wanted) -> float | None:
    if wanted.threshold is not None:
        return wanted.threshold
    return None if card.decision is None else card.decision.threshold


def _writer(file: TextIO, columns: list[str], wanted: Wanted) -> Callable[[dict[str, Any]], None]:
    """Return a function that writes one row."""
    # What reads a file sees the names as they are. Not asked for each row: of Ray standard output is hidden meanwhile.
    plain = shown if wanted.out is None and file.isatty() else str
    if wanted.json:

        def write_json(row: dict[str, Any]) -> None:
            # Escaped to ASCII, so that no name reaches a terminal as a command of it.
            rounded = {key: round(own, 6) if isinstance(own, float) else own for key, own in row.items()}
            print(json.dumps(rounded), file=file, flush=True)

        return write_json
    file.write(csv_line(columns))

    def write_row(row: dict[str, Any]) -> None:
        file.write(csv_line([plain(_cell(name, row)) for name in columns]))
        file.flush()

    return write_row


def _cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6f}"
    if name == "uncertain" and not row["reason"]:
        return "unknown"
    return "" if value is None else str(escaped(value))


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    """Yield standard output, or a file that is there when it is whole."""
    if path is None:
        yield sys.stdout
        return
    from steelbench.files import whole_file

    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        yield file


def _progress() -> Any:
    """Return progress on standard error, where that is a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    from steelbench.cli.progress import ProgressDisplay

    return ProgressDisplay()
