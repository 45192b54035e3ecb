"""What the parts of a folder hold already; a part that is damaged is deleted, so that it is made anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from steelbench.inference.archives.parts import DamagedPartError, part_numbers, part_path, read_part
from steelbench.inference.archives.record import ExtractRecord


@dataclass(frozen=True)
class Done:
    """What the whole parts of a folder hold.

    Attributes:
        paths: of their images.
        numbers: of the parts.
        unreadable: images without an embedding.
    """

    paths: set[str]
    numbers: set[int]
    unreadable: int


def read_done(out: Path, record: ExtractRecord | None, tell: Callable[[str], None]) -> Done:
    """Read the parts of a folder to their ends; one that is damaged or of something else is deleted and made anew.

    Args:
        out: the folder, whose lock the caller holds.
        record: of the folder; None for a new one.
        tell: called with a sentence for each part that is deleted.
    """
    paths, numbers, unreadable = set[str](), set[int](), 0
    for number in part_numbers(out):
        try:
            part = read_part(part_path(out, number))
            if record is None or part.embedded != record.embedded:
                raise DamagedPartError("it is of another extraction")
            if not paths.isdisjoint(part.paths):
                raise DamagedPartError("it holds images of another part")
        except DamagedPartError as error:
            tell(f"{part_path(out, number)} is damaged ({error}), and made anew.")
            part_path(out, number).unlink()
            continue
        paths.update(part.paths)
        numbers.add(number)
        unreadable += part.unreadable
    return Done(paths, numbers, unreadable)
