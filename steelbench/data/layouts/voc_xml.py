"""One Pascal VOC file to boxes. Entities and document types are refused: they could grow without bounds."""

from __future__ import annotations

from typing import NoReturn
from xml.etree import ElementTree

from steelbench.data.annotations import AnnotationError, Box, make_box, refuse_many_boxes

MAX_XML = 4 * 1024 * 1024  # bytes
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class _WithoutDocumentType(ElementTree.TreeBuilder):
    def doctype(self, _name: str, _public: str | None, _system: str | None) -> NoReturn:
        raise AnnotationError("it declares a document type (DOCTYPE), which is not read")


def parse_voc(data: bytes) -> tuple[Box, ...] | None:
    """Return the boxes of a Pascal VOC file; None for XML of another kind.

    `xmin` to `xmax` are taken as the sides of the box, in pixels counted from 0. Where a tool counts them from 1, as
    the competition did, a crop lies one pixel off.

    Args:
        data: bytes of the file.

    Raises:
        AnnotationError: if it is no XML, declares a document type, or a box of it cannot be.
    """
    parser = ElementTree.XMLParser(target=_WithoutDocumentType())
    try:
        parser.feed(data)
        root = parser.close()
    # Besides: an unknown encoding, or characters that it has not.
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise AnnotationError(f"it is no XML ({error})") from None
    if root.tag != "annotation":
        return None
    objects = root.findall("object")
    refuse_many_boxes(len(objects))
    return tuple(map(_box, objects))


def _box(found: ElementTree.Element) -> Box:
    place = found.find("bndbox")
    if place is None:
        raise AnnotationError("an object has no bndbox")
    left, top, right, bottom = (_number(place, name) for name in CORNERS)
    return make_box(found.findtext("name", ""), left, top, right - left, bottom - top)


def _number(place: ElementTree.Element, name: str) -> float:
    text = place.findtext(name, "").strip()
    try:
        return float(text)
    except ValueError:
        raise AnnotationError(f"a box has the {name} {text[:40]!r}, which is no number") from None
