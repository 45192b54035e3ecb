"""Where rows looked on the images that they answer wrongly, as transparent pictures to lay over a thumbnail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.evaluation.error_tables import WrongAnswer
from steelbench.records import ActivationMap, ActivationMaps, activation_map_file, read_record
from steelbench.report.hard_images import HardImage
from steelbench.report.page_template import data_uri

# Rows of an image whose maps are on the page. A map of 7 x 7 cells takes 1.5 kB, the largest 6 kB: with 24 dossiers 0.5
# to 1.6 MB.
SHOWN_ROWS = 6
# Pixels for each cell, so that no browser shows the cells as diamonds, and of a side; opacity of the least and the
# largest share.
ENLARGED = 3
MOST_PIXELS = 32
FAINT, STRONG = 0.5, 0.62
# A thumbnail shows at most so many times its shorter side (`runs/thumbnails.py`).
LONGEST = 4
HEIGHTS, WIDTHS = ("upper", "middle", "lower"), ("left", "middle", "right")


@dataclass(frozen=True)
class Overlay:
    """The map of one class, to lay over the whole thumbnail.

    Attributes:
        name: of the class.
        uri: of a transparent PNG.
        where: the part of the image that speaks most for the class, in words.
    """

    name: str
    uri: str
    where: str


@dataclass(frozen=True)
class Looked:
    """Where one row looked on one image.

    Attributes:
        row: name of the row.
        width: of the part of the image that its thumbnail shows, pixels.
        height: of the same.
        across: width of the whole image, in percent of that part.
        down: height of the same.
        overlays: for the answer and for the label.
    """

    row: str
    width: int
    height: int
    across: float
    down: float
    overlays: tuple[Overlay, Overlay]


@dataclass(frozen=True)
class LookedAt:
    """The maps of a page, by image.

    Attributes:
        maps: by the path of the image, best row first.
        problems: why a row has none, by its name.
    """

    maps: dict[str, list[Looked]]
    problems: dict[str, str]


def read_looked_at(results: Path, hard: Sequence[HardImage]) -> LookedAt:
    """Read the maps of the rows that answer these images wrongly; of another answer than theirs there are none.

    Args:
        results: the results folder.
        hard: the images that have a dossier.
    """
    names = dict.fromkeys(answer.row for image in hard for answer in image.answers)
    records = {name: record for name in names if (record := _read(results, name))}
    known = {(name, own.path): own for name, record in records.items() for own in record.maps}
    maps = {image.first.path: _looked(image.answers, known) for image in hard}
    problems = {name: record.problem for name, record in records.items() if record.problem}
    return LookedAt({path: own for path, own in maps.items() if own}, problems)


def _read(results: Path, name: str) -> ActivationMaps | None:
    # The name is from a file: a plain one, or nothing.
    path = activation_map_file(results, name)
    if path.parent.name != "activation_maps" or path.name != f"{name}.json":
        return None
    try:
        return read_record(path, ActivationMaps)
    except SteelbenchError:
        return None


def _looked(answers: Sequence[WrongAnswer], known: dict[tuple[str, str], ActivationMap]) -> list[Looked]:
    found = []
    for answer in answers:
        own = known.get((answer.row, answer.path))
        if own is not None and (own.predicted, own.label) == (answer.predicted, answer.label):
            found.append(_describe(answer.row, own))
        if len(found) == SHOWN_ROWS:
            break
    return found


def _describe(row: str, own: ActivationMap) -> Looked:
    short = min(own.width, own.height)
    width, height = (min(side, LONGEST * short) for side in (own.width, own.height))
    overlays = [
        Overlay(name, overlay_uri(heat), place_in_words(heat))
        for name, text in ((own.predicted, own.for_predicted), (own.label, own.for_label))
        for heat in [np.frombuffer(bytes.fromhex(text), np.uint8).reshape(own.rows, own.columns)]
    ]
    return Looked(
        row=row, width=width, height=height, across=100 * own.width / width, down=100 * own.height / height,
        overlays=(overlays[0], overlays[1]),
    )  # fmt: skip


def overlay_uri(heat: NDArray[np.uint8]) -> str:
    """Return a map as a transparent PNG: yellow and light where it is strong, blue and dark where it is weak.

    The colours are those of cividis, whose lightness only rises: they tell apart without colours, too.

    Args:
        heat: uint8 [h, w].
    """
    import cv2
    from matplotlib import colormaps

    height, width = heat.shape
    times = min(ENLARGED, MOST_PIXELS / max(height, width))
    size = (max(1, round(times * width)), max(1, round(times * height)))
    smooth = cv2.resize(heat, size, interpolation=cv2.INTER_LINEAR if times >= 1 else cv2.INTER_AREA) / 255
    red, green, blue, _ = np.moveaxis(colormaps["cividis"](smooth), -1, 0)
    opacity = FAINT + (STRONG - FAINT) * smooth
    pixels = np.rint(255 * np.stack([blue, green, red, opacity], axis=-1)).astype(np.uint8)
    return data_uri("png", cv2.imencode(".png", pixels)[1].tobytes())


def place_in_words(heat: NDArray[np.uint8]) -> str:
    """Return the ninth of an image where a map is strongest, in words.

    Args:
        heat: uint8 [h, w].
    """
    if not heat.any():
        return "nothing in the image speaks for it"
    if heat.min() == heat.max():
        return "everywhere alike"
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    # The ninth that the middle of the cell lies in.
    up, side = (
        names[3 * (2 * int(place) + 1) // (2 * count)]
        for names, place, count in ((HEIGHTS, row, heat.shape[0]), (WIDTHS, column, heat.shape[1]))
    )
    return "most in the middle" if up == side else f"most in the {up} {side}"
