"""The one door for model files from outside: inspected, bounded, rebuilt from known layers, held against the card."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from steelbench.errors import SteelbenchError
from steelbench.models.h5_file import ModelFile, ModelFileError, opened, quoted
from steelbench.models.layer_rules import NetworkError
from steelbench.models.network_graph import Graph, read_graph
from steelbench.models.network_size import MAX_OUTPUT_BYTES, check_sizes, last_layers
from steelbench.models.tensorflow_startup import start_tensorflow

if TYPE_CHECKING:
    import keras

# Side of the images that are assumed where neither the network nor the card says one, pixels.
USUAL_SIDE = 224
# Layers that run what the file brings along.
RUNNING = ("Lambda", "__lambda__", "TFOpLambda", "SlicingOpLambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer")
UNSAFE = (
    "--allow-unsafe: layers are not held to the list of known ones, and neither weights nor memory nor time are "
    "bounded before the network is built; layers that run code of the file are refused all the same."
)


def load(
    path: Path,
    *,
    classes: int | None = None,
    side: int | None = None,
    pixels: str | None = None,
    allow_unsafe: bool = False,
    output_bytes: int = MAX_OUTPUT_BYTES,
) -> keras.Model:
    """Load a model file from outside for inference.

    Args:
        path: of the `.h5`, saved as a whole by Keras 2 or 3.
        classes: number of probabilities that it must give; None for any.
        side: of the images that memory is reckoned for, pixels; None for the usual.
        pixels: a value of `model_card.PIXELS`, what the network was trained on; None for a network that prepares raw
            pixels itself. Only with it may the network take images of one size alone; images are resized then.
        allow_unsafe: leave out the list of layers and the bounds of size; no code of the file runs in any case.
        output_bytes: of the largest output of a layer for one image.

    Returns:
        From float32 [B, H, W, 3] (RGB, 0..255, any H and W) to probabilities float32 [B, classes].

    Raises:
        SteelbenchError: for any other file, with the reason.
    """
    if allow_unsafe:
        with _told(path), opened(path) as file:
            return _loaded_by_keras(path, file, classes, pixels)
    with checked_file(path, classes=classes, side=side, pixels=pixels, output_bytes=output_bytes) as (graph, file):
        start_tensorflow()
        from steelbench.models.network_builder import Pixels, build

        try:
            return build(graph, file, Pixels(pixels or "0..255", _fixed_size(graph)))
        except ModelFileError:
            raise
        except Exception as error:
            # Keras raises whatever settings that do not go together happen to cause.
            raise NetworkError(f"is not one that Keras builds ({_first_line(error)})") from None


@contextmanager
def checked_file(
    path: Path,
    *,
    classes: int | None = None,
    side: int | None = None,
    pixels: str | None = None,
    output_bytes: int = MAX_OUTPUT_BYTES,
) -> Iterator[tuple[Graph, ModelFile]]:
    """Open a model file from outside for whoever builds its network, everything checked but the weights' numbers.

    Those are checked as they are read, by `ModelFile.arrays`. Needs no TensorFlow.

    Args:
        path: of the `.h5`.
        classes: as `load`.
        side: as `load`.
        pixels: as `load`.
        output_bytes: as `load`.

    Raises:
        SteelbenchError: as `load`, also for what the caller finds.
    """
    with _told(path), opened(path) as file:
        graph = read_graph(file.config)
        _check_meaning(graph, file.keras)
        shape = check_sizes(graph, file.weights, side or USUAL_SIDE, output_bytes)
        _check_answers(graph, file, shape[0], classes)
        size = _fixed_size(graph)
        if size is not None and pixels is None:
            raise NetworkError(
                f"takes images of {size[0]}x{size[1]} pixels alone; `steelbench card {path.name} --classes A,B "
                "--pixels 0..1` writes a card by which images are resized and scaled"
            )
        yield graph, file


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what is wrong with a file into one sentence."""
    if not path.is_file():
        raise SteelbenchError(f"{path} does not exist; expected a model that steelbench saved, such as models/NAME.h5.")
    try:
        yield
    except NetworkError as error:
        raise SteelbenchError(
            f"{path} cannot be loaded: it {error}. Make it again, or have it checked where it came from."
        ) from None
    except ModelFileError as error:
        raise SteelbenchError(f"{path} cannot be loaded as a Keras model: it {error}. Copy or make it again.") from None


def inspect(path: Path) -> tuple[Graph, int]:
    """Return the graph of a model file and the number of its answers; needs no TensorFlow.

    Args:
        path: of the `.h5`.

    Raises:
        SteelbenchError: as `load`.
    """
    with _told(path), opened(path) as file:
        graph = read_graph(file.config)
        _check_meaning(graph, file.keras)
        shape = check_sizes(graph, file.weights, USUAL_SIDE)
        _check_answers(graph, file, shape[0], None)
        return graph, shape[0]


def _fixed_size(graph: Graph) -> tuple[int, int] | None:
    """Return the height and width that a network takes alone; None for any."""
    height, width, _ = graph.input_shape or (None, None, 3)
    if height is None and width is None:
        return None
    if height is None or width is None:
        raise NetworkError("takes images of which one side alone may have any length; expected both or none")
    return height, width


def _check_meaning(graph: Graph, version: str) -> None:
    """Refuse what Keras 3 computes otherwise than the Keras 2 that wrote the file.

    `hard_sigmoid` was clip(x / 5 + 1/2, 0, 1) until Keras 2.15 and is clip(x / 6 + 1/2, 0, 1) since Keras 3.
    """
    if version.startswith("3"):
        return
    for node in graph.nodes.values():
        if node.network is not None:
            _check_meaning(node.network, version)
        elif "hard_sigmoid" in node.options.values():
            raise NetworkError(
                f"has a layer {quoted(node.name)} with hard_sigmoid, which Keras 2 ({version or 'no version'} wrote "
                "the file) and Keras 3 compute differently: its answers would be others"
            )


def _check_answers(graph: Graph, file: ModelFile, found: int, classes: int | None) -> None:
    """Check that what the network gives are probabilities: by its last layers and the numbers in them."""
    if classes is not None and found != classes:
        raise NetworkError(f"gives {found} probabilities, its card names {classes} classes")
    if found < 2:
        raise NetworkError("gives a single number; expected a probability for each of two classes or more (softmax)")
    last = [node for node in last_layers(graph) if node.kind not in ("Dropout", "Flatten", "Identity")]
    if _is_softmax(last[:1]):
        return
    if _is_softmax(last[1:2]) and last[0].kind == "Dense" and last[0].options.get("activation", "linear") == "linear":
        # Votes: a mixture of probabilities is one.
        kernel, *bias = file.arrays(last[0].name) or [np.zeros((1, 1), np.float32)]
        if (kernel >= 0).all() and np.allclose(kernel.sum(axis=1), 1, atol=1e-3) and not any(map(np.any, bias)):
            return
    told = f"its last layer is {last[0].name} ({last[0].kind})" if last else "it has no last layer"
    raise NetworkError(f"does not end in a softmax, so its answers are no probabilities: {told}")


def _is_softmax(last: Any) -> bool:
    return any(
        node.options.get("activation") == "softmax"
        or (node.kind == "Softmax" and node.options.get("axis", -1) in (-1, 1))
        for node in last
    )


def _loaded_by_keras(path: Path, file: ModelFile, classes: int | None, pixels: str | None) -> keras.Model:
    """Load by Keras itself, without bounds; what runs code of the file is refused by name and by Keras's safe mode."""
    running = next((name for name in _class_names(file.config) if name in RUNNING), None)
    if running:
        raise NetworkError(
            f"has a layer {quoted(running)}, which runs code of the file; --allow-unsafe does not allow that"
        )
    start_tensorflow()
    import keras

    from steelbench.models.network_builder import Pixels

    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
        alone = isinstance(network.input, keras.KerasTensor) and isinstance(network.output, keras.KerasTensor)
        shape, answers = (network.input_shape, network.output_shape) if alone else (network.input, network.output)
    except Exception as error:
        # Keras raises whatever the file happens to cause.
        raise ModelFileError(f"is not one that Keras loads ({_first_line(error)})") from None
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3:
        raise NetworkError(f"takes {shape!a:.80}; expected one image (None, None, None, 3)")
    if not isinstance(answers, tuple) or len(answers) != 2 or (classes is not None and answers[1] != classes):
        raise NetworkError(f"gives {answers!a:.80}; expected one vector of {classes or 'some'} probabilities")
    if not all(np.isfinite(array).all() for array in network.get_weights()):
        raise NetworkError("has weights that are not numbers (NaN or infinity)")
    if pixels is None and shape[1:3] == (None, None):
        return network
    size = None if None in shape[1:3] else (shape[1], shape[2])
    images = keras.Input((None, None, 3), name="raw_image")
    return keras.Model(images, network(Pixels(pixels or "0..255", size).prepare(images)))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200] or type(error).__name__


def _class_names(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        yield from (value for key, value in config.items() if key == "class_name" and isinstance(value, str))
        for value in config.values():
            yield from _class_names(value)
    elif isinstance(config, list):
        for value in config:
            yield from _class_names(value)
