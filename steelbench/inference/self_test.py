"""A test of the installation: decode, build a network, save it, load it again, compute and export it every way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import RGBImage
from steelbench.data.images import read_image
from steelbench.errors import SteelbenchError
from steelbench.features.engines import ENGINES, open_engine
from steelbench.inference.exports.formats import FORMATS, Source
from steelbench.models.head import Dense, Head
from steelbench.models.tensorflow_startup import start_tensorflow

if TYPE_CHECKING:
    import keras

# Of a small network, so that converters take a second each.
SIDE, IMAGES, CLASSES = 64, 8, 4
CONTRACT = '{"classes": []}'
# Largest difference of a probability between two ways to compute the same.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Step:
    """A step of the test that passed.

    Attributes:
        name: of the step.
        found: what was seen, in a few words.
        seconds: that it took.
    """

    name: str
    found: str
    seconds: float


class FailedStepError(SteelbenchError):
    """A step of the test failed; its text names the step and the reason."""


def self_test(folder: Path) -> Iterator[Step]:
    """Yield each step once it has passed.

    Args:
        folder: an empty one, for the files of the test.

    Raises:
        FailedStepError: by the first step that fails; those behind it need it.
    """
    images = draw_images()
    yield _timed("decode", lambda: _decode(folder, images))
    yield _timed("TensorFlow", _import_tensorflow)
    test = _NetworkTest(folder / "self_test.h5", images)
    yield _timed("model", test.build)
    yield _timed(".h5", test.reload)
    for name, engine in ENGINES.items():
        if engine.installed:
            yield _timed(name, lambda name=name: test.compute(name))  # type: ignore[misc]
    for name, row in FORMATS.items():
        if not row.missing:
            yield _timed(f"export to {name}", lambda name=name: test.export(name))  # type: ignore[misc]


def draw_images() -> list[RGBImage]:
    """Return images uint8 [SIDE, SIDE, 3] of stripes and noise, the same ones every time."""
    rng = np.random.default_rng(0)
    stripes = 60 * np.sign(np.sin(np.arange(SIDE) / 3))[None, :, None]
    noise = rng.normal(120, 20, (IMAGES, SIDE, SIDE, 1)) + rng.choice([0.0, 1.0], (IMAGES, 1, 1, 1)) * stripes
    return list(np.clip(np.rint(noise), 0, 255).astype(np.uint8).repeat(3, axis=-1))


def _timed(name: str, run: Callable[[], str]) -> Step:
    start = time.perf_counter()
    try:
        found = run()
    except Exception as error:
        # A damaged installation raises whatever its missing part happens to cause.
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise FailedStepError(f"the step '{name}' of the self-test failed: {reason}") from error
    return Step(name, found, time.perf_counter() - start)


def _decode(folder: Path, images: list[RGBImage]) -> str:
    for suffix in (".png", ".bmp", ".tif"):
        written, data = cv2.imencode(suffix, images[0][..., ::-1])
        path = folder / f"image{suffix}"
        path.write_bytes(data.tobytes() if written else b"")
        if not np.array_equal(read_image(path, None), images[0]):
            raise SteelbenchError(f"a {suffix} file comes back with other pixels; install opencv-python-headless again")
    return "PNG, BMP and TIFF come back pixel by pixel"


def _import_tensorflow() -> str:
    start_tensorflow()
    import keras
    import tensorflow as tf

    return f"TensorFlow {tf.__version__}, Keras {keras.__version__}"


class _NetworkTest:
    """A network with a random head: built, saved, loaded and computed on each engine.

    Args:
        path: of the `.h5`.
        images: uint8 [SIDE, SIDE, 3] each.
    """

    def __init__(self, path: Path, images: list[RGBImage]) -> None:
        self._path, self._images = path, images
        self._batch = np.stack(images).astype(np.float32)

    def build(self) -> str:
        """Build the network with calibrated random weights, and a head that tells the images apart."""
        from steelbench.models import saved_model
        from steelbench.models.pretrained import calibrate

        self._encoder = small_encoder()
        calibrate(self._encoder, self._batch)
        self._encoder.trainable = False
        self._features = self._encoder(self._batch, training=False).numpy()
        self._head = Head((_random_layer(self._features),))
        self._expected = self._head(self._features)
        saved_model.save(saved_model.stitch(self._encoder, self._head, "self_test"), self._path)
        return f"{self._encoder.count_params()} parameters, saved as .h5"

    def reload(self) -> str:
        """Load the saved file, and compare its answers with those before."""
        from steelbench.models import saved_model

        self._loaded = saved_model.load(self._path)
        return _compared(saved_model.probabilities(self._loaded, self._images), self._expected)

    def compute(self, engine: str) -> str:
        """Compute the features on an engine, and compare the answers from them."""
        run = open_engine(engine, self._encoder, "float32", IMAGES)
        return _compared(self._head(np.concatenate(list(run([self._batch])))), self._expected)

    def export(self, name: str) -> str:
        """Write the loaded network in another format, and compare what its own runtime answers."""
        from steelbench.inference.export import silenced

        folder, module = self._path.parent / name, FORMATS[name].load()
        folder.mkdir()
        with silenced():
            module.write(Source(self._loaded), CONTRACT, folder)
            compute, _ = module.open_network(folder)
            got = compute(self._batch)
        return _compared(got, self._expected)


def small_encoder() -> keras.Model:
    """Return an encoder of the layers that most backbones are made of, raw pixels to features [B, 32]."""
    import keras
    from keras import layers

    images = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(layers.Resizing(SIDE, SIDE, name="resizing")(images))
    for layer in (layers.Conv2D(16, 3, strides=2, use_bias=False), layers.DepthwiseConv2D(3), layers.Conv2D(32, 1)):
        x = layers.ReLU(6.0)(layers.BatchNormalization()(layer(x)))
    return keras.Model(images, layers.GlobalAveragePooling2D(name="embedding")(x), name="small")


def _random_layer(features: NDArray[np.float32]) -> Dense:
    """Return a softmax layer with logits of about unit variance on these features float32 [N, D]."""
    rng = np.random.default_rng(0)
    scale = max(float(np.sqrt((features**2).sum(axis=1).mean())), 1e-6)
    kernel = rng.normal(0, 1 / scale, (features.shape[1], CLASSES)).astype(np.float32)
    return Dense(kernel, np.zeros(CLASSES, np.float32), "softmax")


def _compared(got: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    difference = float(np.abs(got - expected).max())
    # `not <=`, because a difference that is NaN must be refused, too.
    if not difference <= TOLERANCE:
        raise SteelbenchError(f"a probability differs by {difference:.1e} from Keras's, at most {TOLERANCE:g} may be")
    return f"difference {difference:.1e}"
