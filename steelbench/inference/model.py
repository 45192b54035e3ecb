"""A saved model with its card: load it, check raw pixels, return probabilities and embeddings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage
from steelbench.data.images import UnreadableImageError, read_image
from steelbench.errors import SteelbenchError, choose
from steelbench.models.model_card import PIXELS, Card, card_of, read_card_file

# Images from files that are in memory at a time, and models of a folder that a message names.
CHUNK = 64
NAMED = 5


@dataclass(frozen=True)
class Opening:
    """What the user says of a model file.

    Attributes:
        classes: names, of a file without a card, in the order of its answers.
        pixels: what it was trained on, a value of `PIXELS`.
        allow_unsafe: leave out the list of layers and the bounds of size (`--allow-unsafe`).
    """

    classes: tuple[str, ...] = ()
    pixels: str | None = None
    allow_unsafe: bool = False

    def card(self, path: Path) -> Card:
        """Return the card of a file that has none.

        Args:
            path: of the `.h5`.

        Raises:
            SteelbenchError: if classes or pixels are not given, or cannot be.
        """
        if not self.classes or self.pixels is None:
            missing = "--pixels " + "|".join(PIXELS) if self.classes else "--classes A,B,C (or a file of names)"
            raise SteelbenchError(f"{path} has no card, so it needs {missing} as well.")
        fields = {"name": path.stem, "classes": list(self.classes), "pixels": choose("pixels", self.pixels, PIXELS)}
        return card_of({**fields, "sha256": _digest(path)}, path)


class Model:
    """A saved classifier with its card.

    Attributes:
        card: record of the model: metrics, seeds, versions, origin of the weights.
        classes: class names, in the order of the probabilities.
        bit_depth: used bits of the 16-bit files that it was trained on; None means all 16.
        network: the `keras.Model`; its layer `embedding` gives the embeddings.
    """

    def __init__(self, network: Any, card: Card) -> None:
        from steelbench.models.saved_model import compiled

        self.network, self.card = network, card
        self.classes = list(card.classes)
        self.bit_depth = card.bit_depth
        self._compute = compiled(network)
        self._embed: Any = None

    def predict(self, images: Any, *, refuse_scaled: bool = True) -> NDArray[np.float32]:
        """Return class probabilities of raw images.

        Args:
            images: one array [N, H, W, 3] or [H, W, 3], or a list of arrays [H, W, 3] of any sizes; RGB, 0..255,
                uint8 or float. Or the path of an image file, or a list of paths.
            refuse_scaled: False for pixels that are known to come straight from a file.

        Returns:
            float32 [N, C], each row sums to 1; C in the order of `classes`.

        Raises:
            SteelbenchError: for other shapes, or values that are not 0..255: scaled to 0..1, standardised, 16 bit; for
                a file that cannot be read, and for paths among arrays.
        """
        return self._computed(self._compute, images, refuse_scaled)

    def embed(self, images: Any, *, refuse_scaled: bool = False) -> NDArray[np.float32]:
        """Return embeddings of raw images, the output of the layer `embedding`.

        Args:
            images: as for `predict`.
            refuse_scaled: True for pixels that may not come straight from a file.

        Returns:
            float32 [N, E].

        Raises:
            SteelbenchError: as `predict`.
        """
        import keras

        from steelbench.models.saved_model import compiled, layer_named

        if self._embed is None:
            inner = layer_named(self.network, "embedding")
            if len(inner.output.shape) != 2:
                raise SteelbenchError(
                    f"the layer 'embedding' of {self.card.name} gives {inner.output.shape[1:]} numbers for an image; "
                    "expected one vector."
                )
            self._embed = compiled(keras.Model(self.network.input, inner.output))
        return self._computed(self._embed, images, refuse_scaled)

    def _computed(self, compute: Any, images: Any, refuse_scaled: bool) -> NDArray[np.float32]:
        """Return what the network makes of images; those of files are read and forgotten in pieces."""
        from steelbench.models.saved_model import same_size

        parts = _parts(images, self.bit_depth, refuse_scaled)
        answers = np.concatenate([compute(batch).numpy() for part in parts for batch in same_size(part)])
        if not np.isfinite(answers).all():
            # Finite weights may still overflow.
            raise SteelbenchError(
                f"the model {self.card.name} answers with NaN or infinity; its weights are damaged. "
                "Copy or make it again."
            )
        return answers

    def __repr__(self) -> str:
        return f"<steelbench model {self.card.name}: {', '.join(self.classes)}>"


def load_model(path: str | Path, opening: Opening | None = None) -> Model:
    """Load an `.h5` that steelbench saved, or that Keras did, and its card beside it.

    Args:
        path: of the `.h5`.
        opening: what the user says of a file without a card; None for a model with its card.

    Raises:
        SteelbenchError: if either is missing, or the file is not the one that the card describes, or holds what the
            door for files from outside refuses (`steelbench.models.safe_load`).
    """
    path, opening = Path(path), opening or Opening()
    card = read_card(path, opening)
    # Only after the cheap checks: TensorFlow takes seconds to import.
    from steelbench.models import safe_load

    network = safe_load.load(
        path,
        classes=len(card.classes),
        side=card.image_size,
        pixels=card.pixels,
        allow_unsafe=opening.allow_unsafe,
    )
    return Model(network, card)


def read_card(path: Path, opening: Opening | None = None) -> Card:
    """Read the card beside a model file, and check that it describes this file; needs no TensorFlow.

    Args:
        path: of the `.h5`.
        opening: what the user says of a file without a card.

    Raises:
        SteelbenchError: if either is missing or damaged, or their sha256 differ.
    """
    if path.is_dir():
        raise SteelbenchError(f"{path} is a folder; {_models_in(path)}")
    if not path.is_file():
        raise SteelbenchError(f"{path} does not exist; expected a model that steelbench saved, such as models/NAME.h5.")
    beside, opening = _card_path(path), opening or Opening()
    # What is no file, or a link that leads nowhere, is not missing; reading it says what it is.
    there = beside.exists() or beside.is_symlink()
    if opening.classes or opening.pixels:
        if there:
            raise SteelbenchError(
                f"{beside} is the card of {path.name} and says its classes; leave out --classes and --pixels."
            )
        return opening.card(path)
    if not there:
        raise SteelbenchError(
            f"{beside} is missing, the card with the class names; copy it along with {path.name}. A model that "
            "steelbench did not save needs --classes A,B,C (or a file of names) in the order of its answers, and "
            f"--pixels {'|'.join(PIXELS)}, what it was trained on; `steelbench card {path.name}` with both writes one."
        )
    digest = _digest(path)
    card = read_card_file(beside)
    if digest != card.sha256:
        raise SteelbenchError(
            f"{path} is not the file that its card describes (sha256 differs): damaged or replaced. Copy both again."
        )
    return card


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _models_in(folder: Path) -> str:
    found = sorted({*folder.glob("*.h5"), *folder.glob("models/*.h5")})
    if not found:
        return "it holds no model, neither itself nor in models/. Name a model's .h5."
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return f"name one of the models in it: {', '.join(map(str, found[:NAMED]))}{more}."


def _card_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _parts(images: Any, bit_depth: int | None, refuse_scaled: bool) -> Iterator[Sequence[NDArray[Any]]]:
    """Yield the images, those of files in pieces; no file is read before all paths are known to be paths."""
    paths = _as_paths(images)
    if not paths:
        yield check_raw_images(images, refuse_scaled=refuse_scaled)
    for start in range(0, len(paths), CHUNK):
        yield [_read(path, bit_depth) for path in paths[start : start + CHUNK]]


def _as_paths(images: Any) -> list[Path]:
    """Return the paths that were given in place of images; [] for arrays."""
    given = [images] if isinstance(images, str | Path) else images
    if not isinstance(given, list | tuple):
        return []
    paths = [Path(item) for item in given if isinstance(item, str | Path)]
    if 0 < len(paths) < len(given):
        raise SteelbenchError(
            f"{len(paths)} of the {len(given)} images are paths, the others are not; give paths or arrays, not both."
        )
    return paths


def _read(path: Path, bit_depth: int | None) -> RGBImage:
    try:
        return read_image(path, bit_depth)
    except UnreadableImageError as error:
        what = "is a folder; name image files" if path.is_dir() else f"cannot be read ({error}); name image files"
        raise SteelbenchError(f"{path} {what}.") from None


def check_raw_images(images: Any, *, refuse_scaled: bool) -> list[NDArray[Any]]:
    """Return raw images as a list of arrays [H, W, 3].

    Args:
        images: as for `Model.predict`.
        refuse_scaled: whether values that are all 0..1 are refused.

    Raises:
        SteelbenchError: for other shapes, types, or values.
    """
    checked = [_check_shape(image) for image in _as_list(images)]
    _check_values(checked, refuse_scaled)
    return checked


def _as_list(images: Any) -> Sequence[Any]:
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if not isinstance(images, (list, tuple)):
        raise SteelbenchError(
            f"images are {type(images).__name__}; expected a NumPy array [N, H, W, 3], a list of "
            "arrays [H, W, 3], or paths of image files."
        )
    return images


def _check_shape(image: Any) -> NDArray[Any]:
    try:
        array = np.asarray(image)
    except ValueError:
        raise SteelbenchError("an image is no rectangle of numbers; expected an array (height, width, 3).") from None
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise SteelbenchError(
            f"an image has the shape {array.shape}; expected (height, width, 3), RGB. "
            "Repeat a gray image three times: numpy.repeat(image[..., None], 3, axis=-1)."
        )
    if array.dtype.kind not in "uif":
        raise SteelbenchError(f"an image has the type {array.dtype}; expected uint8 or float with values 0..255.")
    return array


def _check_values(images: Sequence[NDArray[Any]], refuse_scaled: bool) -> None:
    if not images:
        raise SteelbenchError("there are no images; give at least one.")
    low = min(float(image.min()) for image in images)
    high = max(float(image.max()) for image in images)
    if not np.isfinite([low, high]).all():
        raise SteelbenchError("the images hold values that are not numbers (NaN or infinity); expected 0..255.")
    if low < 0:
        raise SteelbenchError(
            f"the smallest value is {low:g}: the images look standardised. Give raw pixels 0..255; the model "
            "preprocesses them itself."
        )
    if high > 255:
        raise SteelbenchError(
            f"the largest value is {high:g}: expected 0..255. Divide 12-bit images by 16, 16-bit images by 257."
        )
    if refuse_scaled and 0 < high <= 1:
        raise SteelbenchError(
            f"the largest value is {high:g}: the images look scaled to 0..1. Give raw pixels 0..255; the model "
            "scales them itself."
        )
