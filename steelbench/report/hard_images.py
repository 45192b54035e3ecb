"""The images that rows answer wrongly, each once with all of its wrong answers, for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import ERRORS_FILE, WrongAnswer, read_errors
from steelbench.files import read_file
from steelbench.records import ThumbnailIndex, read_record


@dataclass(frozen=True)
class HardImage:
    """A test image and the wrong answers to it, best row first."""

    answers: tuple[WrongAnswer, ...]

    @property
    def first(self) -> WrongAnswer:
        """Return the answer of the best row that is wrong."""
        return self.answers[0]

    @property
    def all_wrong(self) -> bool:
        """Return whether every row that tested the image is wrong."""
        return self.first.rows_wrong == self.first.rows_tested

    @property
    def one_answer(self) -> bool:
        """Return whether all wrong answers are the same."""
        return len({answer.predicted for answer in self.answers}) == 1


@dataclass(frozen=True)
class Thumbnails:
    """The thumbnails of a results folder, by the path of the image; the paths of some images of each class."""

    folder: Path
    index: ThumbnailIndex

    def read(self, path: str) -> bytes | None:
        """Return the JPEG of an image; None if there is none."""
        name = self.index.files.get(path)
        # A name from a file: a plain one below the folder, or nothing.
        if name is None or Path(name).name != name:
            return None
        try:
            data = read_file(self.folder / name)
        except OSError:
            return None
        return data if data.startswith(b"\xff\xd8") else None


def read_hard_images(results: Path) -> list[HardImage] | None:
    """Return the images that a row answers wrongly, those that most rows fail on first; None without `errors.csv`."""
    errors = read_errors(results / ERRORS_FILE)
    return None if errors is None else group_by_image(errors)


def group_by_image(errors: Sequence[WrongAnswer]) -> list[HardImage]:
    """Put the answers to one image, which follow each other, together."""
    return [HardImage(tuple(own)) for _, own in groupby(errors, key=lambda error: error.path)]


def read_thumbnails(results: Path) -> Thumbnails:
    """Return the thumbnails that the run drew; none if their list is missing or damaged."""
    folder = results / "thumbnails"
    try:
        return Thumbnails(folder, read_record(folder / "index.json", ThumbnailIndex))
    except SteelbenchError:
        return Thumbnails(folder, ThumbnailIndex(files={}))
