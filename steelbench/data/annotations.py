"""Annotations as every layout with boxes gives them: an image with its boxes; numbers and names are checked here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from steelbench.data.samples import Sample, clean_text
from steelbench.errors import SteelbenchError
from steelbench.printable import shown

MAX_BOXES = 1000  # of one image
MAX_NAME = 200  # characters
MAX_PIXEL = 1e6
MAX_FAULTY = 0.05


class AnnotationError(Exception):
    """Raised for an annotation that cannot be used; the message says why."""


@dataclass(frozen=True)
class Box:
    """A class and a rectangle: left, top, width and height."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its boxes.

    Attributes:
        sample: path, split and group; the label of its folder or name, empty if they say none.
        boxes: in pixels; any number of them.
        shares: whether the boxes are shares of the image's sides instead.
    """

    sample: Sample
    boxes: tuple[Box, ...]
    shares: bool = False


def make_box(label: str, x: float, y: float, width: float, height: float, *, largest: float = MAX_PIXEL) -> Box:
    """Return a box.

    Args:
        label: class name.
        x: left side.
        y: top.
        width: may be 0, as rounding leaves it.
        height: may be 0.
        largest: amount that no number may exceed.

    Raises:
        AnnotationError: if a number or the name cannot be.
    """
    numbers = {"x": x, "y": y, "width": width, "height": height}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise AnnotationError(f"a box has the {name} {value}, which is no number")
        if abs(value) > largest:
            raise AnnotationError(f"a box has the {name} {value:g}, more than {largest:g}")
    for name in ("width", "height"):
        if numbers[name] < 0:
            raise AnnotationError(f"a box has the {name} {numbers[name]:g}, less than 0")
    return Box(check_label(label), x, y, width, height)


def check_label(label: str) -> str:
    """Return a class name without blanks around it, in Unicode's composed form.

    Raises:
        AnnotationError: if it is empty, too long, or cannot stand in a CSV.
    """
    name = label.strip()
    if not name:
        raise AnnotationError("a box has no class")
    if len(name) > MAX_NAME:
        raise AnnotationError(f"a class has a name of {len(name)} characters, more than {MAX_NAME}")
    try:
        return clean_text(name, "class of a box")
    except SteelbenchError as error:
        raise AnnotationError(str(error)) from None


def refuse_many_boxes(count: int) -> None:
    """Raise `AnnotationError` if an image has more boxes than `MAX_BOXES`."""
    if count > MAX_BOXES:
        raise AnnotationError(f"it has {count} boxes, more than the {MAX_BOXES} that are read")


def count_faulty(root: Path, faults: Mapping[str, str], total: int) -> dict[str, int]:
    """Return the reason and number for `Dataset.left_out`, with the first faulty annotation.

    Args:
        root: the data folder.
        faults: what is wrong, by the name of the annotation.
        total: number of all annotations.

    Raises:
        SteelbenchError: if they are more than `MAX_FAULTY` of all.
    """
    if not faults:
        return {}
    first = min(faults)
    # Escaped here, as names and values come from outside and reasons are written to files: a name may be no UTF-8.
    told = shown(f"{first}: {faults[first]}")
    if len(faults) > MAX_FAULTY * total:
        raise SteelbenchError(
            f"{len(faults)} of {total} annotations below {root} cannot be used, at most {MAX_FAULTY:.0%} may; the "
            f"first is {told.rstrip('.')}. Repair or remove them and run again."
        )
    return {f"with an annotation that cannot be used (the first is {told})": len(faults)}
