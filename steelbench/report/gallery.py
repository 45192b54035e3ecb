"""The images of a page: each thumbnail embedded once, as a style class that any number of places may name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steelbench.report.hard_images import HardImage, Thumbnails
from steelbench.report.page_template import data_uri

if TYPE_CHECKING:
    from markupsafe import Markup

# Of JPEGs, before base64 makes them a third larger: the figures of four backbones take some 3 MB beside them, and a
# page of more than 15 MB is refused by many mail servers.
EMBEDDED_BYTES = 8_000_000


@dataclass(frozen=True)
class Gallery:
    """The thumbnails that a page embeds.

    Attributes:
        pictures: JPEGs by the names of their files.
        names: name of the file by the path of the image, also of images that are not embedded.
    """

    pictures: dict[str, bytes]
    names: dict[str, str]
    _places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Number the pictures."""
        object.__setattr__(self, "_places", {name: place for place, name in enumerate(self.pictures)})

    def style_class(self, path: str) -> str:
        """Return the style class that shows an image as background; "" if it is not embedded."""
        place = self._places.get(self.names.get(path, ""))
        return "" if place is None else f"t{place}"

    def rules(self) -> Markup:
        """Return the style rules of all pictures."""
        from markupsafe import Markup

        # Base64 has no character that ends a style sheet.
        lines = (
            f'.t{self._places[name]}{{background-image:url("{data_uri("jpeg", jpeg)}")}}'
            for name, jpeg in self.pictures.items()
        )
        return Markup("\n".join(lines))


def collect(thumbnails: Thumbnails, paths: Iterable[str], budget: int = EMBEDDED_BYTES) -> Gallery:
    """Read the thumbnails of images until they take `budget` bytes.

    Args:
        thumbnails: of the results folder.
        paths: of images, the most important first; duplicates count once.
        budget: bytes of all JPEGs together. An image without a thumbnail costs nothing.
    """
    names = thumbnails.index.files
    pictures: dict[str, bytes] = {}
    left = budget
    for path in dict.fromkeys(paths):
        name = names.get(path)
        jpeg = None if name is None or name in pictures else thumbnails.read(path)
        if name is not None and jpeg is not None and len(jpeg) <= left:
            pictures[name] = jpeg
            left -= len(jpeg)
    return Gallery(pictures, names)


def shown_paths(thumbnails: Thumbnails, hard: list[HardImage] | None, dossiers: int, examples: int) -> Iterator[str]:
    """Yield the paths of the images of a page: examples, the first dossiers with their neighbours, other errors.

    Args:
        thumbnails: of the results folder.
        hard: images that are answered wrongly, hardest first.
        dossiers: how many of them have a dossier.
        examples: of each class.
    """
    for paths in thumbnails.index.examples.values():
        yield from paths[:examples]
    found = hard or []
    for image in found[:dossiers]:
        yield from (image.first.path, *image.first.neighbours)
    yield from (image.first.path for image in found[dossiers:])
