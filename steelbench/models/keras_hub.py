"""KerasHub's image backbones by preset, `hub:resnet_18_imagenet`: fetched once, kept as plain Keras networks.

A preset is turned into an `.h5` of built-in layers by a process of its own, so that nothing else ever imports
KerasHub, and what is saved with it loads without. This module knows TensorFlow only in that process.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.files import cache_folder, whole_file, write_json
from steelbench.records import Record, read_record

PREFIX = "hub:"
EXAMPLE = "hub:resnet_18_imagenet"
# A download of some hundred megabytes over a slow line.
FETCH_SECONDS = 1800
MISTAKE = 2
# (step, what it works on, done, total)
Progress = Callable[[str, str, int, int], None]


class Preset(Record):
    """What is known of a preset.

    Attributes:
        image_size: side of the square that its weights were trained on, pixels.
        feature_dim: channels of its last feature map.
        params: its weights, counted by Keras.
        scale: per channel; the network takes `pixel * scale + offset`, pixels on 0..255.
        offset: per channel.
    """

    image_size: int
    feature_dim: int
    params: int
    scale: list[float]
    offset: list[float]


def network_file(name: str) -> Path:
    """The `.h5` of a preset; its description lies beside it.

    Raises:
        SteelbenchError: if the name is no `hub:PRESET`.
    """
    if not re.fullmatch(rf"{PREFIX}[a-z0-9][a-z0-9_.]{{0,99}}", name):
        raise SteelbenchError(f"'{name[:120]}' names no preset of KerasHub; expected such as {EXAMPLE}.")
    return cache_folder() / "hub" / f"{name.removeprefix(PREFIX)}.h5"


def describe(name: str) -> Preset:
    """What is known of a preset that was fetched before.

    Raises:
        SteelbenchError: if it was not, or the name is no `hub:PRESET`.
    """
    return read_record(network_file(name).with_suffix(".json"), Preset)


def fetch(name: str, progress: Progress = lambda *_: None) -> str:
    """Make a preset ready; returns why it cannot be had on this machine, or "".

    Raises:
        SteelbenchError: if there is no such preset, or one that plain Keras could not load.
    """
    path = network_file(name)
    if path.with_suffix(".json").is_file():
        return ""
    if find_spec("keras_hub") is None:
        return "the package keras_hub is not installed (pip install 'steelbench[hub]')"
    progress("fetch", name, 0, 0)
    command = [sys.executable, "-P", "-m", "steelbench.models.keras_hub", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not come within {FETCH_SECONDS // 60} minutes"
    if done.returncode == MISTAKE:
        raise SteelbenchError(done.stdout.strip())
    if done.returncode:
        return "it could not be fetched: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    return ""


def convert(preset: str, path: Path) -> Preset:
    """Write a preset's network as a plain Keras `.h5`, its description last.

    Args:
        preset: a name that KerasHub knows, or a folder that holds one.
        path: of the `.h5`.

    Raises:
        SteelbenchError: if it is no image backbone, or made of layers that plain Keras does not have.
    """
    import keras
    import keras_hub  # type: ignore[import-not-found]

    backbone = keras_hub.models.Backbone.from_preset(preset)
    if not isinstance(backbone.output, keras.KerasTensor) or len(backbone.output.shape) != 4:
        raise SteelbenchError(f"{preset} is no image backbone with one feature map; name one such as {EXAMPLE}.")
    network = keras.Model(backbone.inputs[0], backbone.output)
    for layer in network.layers:
        if not type(layer).__module__.startswith("keras."):
            raise SteelbenchError(
                f"{preset} has layers of its own ({type(layer).__name__}), which plain Keras could not load from a "
                f"saved model; name a preset of built-in layers, such as {EXAMPLE}."
            )
    converter = keras_hub.layers.ImageConverter.from_preset(preset)
    with whole_file(path) as temporary:
        network.save(temporary)
    found = Preset(
        image_size=(converter.image_size or (224, 224))[0],
        feature_dim=backbone.output.shape[-1],
        params=network.count_params(),
        scale=_per_channel(converter.scale, 1.0),
        offset=_per_channel(converter.offset, 0.0),
    )
    write_json(path.with_suffix(".json"), found)
    return found


def _per_channel(value: float | list[float] | None, default: float) -> list[float]:
    if value is None:
        return [default] * 3
    return [float(value)] * 3 if isinstance(value, (int, float)) else [float(part) for part in value]


def _main(name: str) -> int:
    try:
        convert(name.removeprefix(PREFIX), network_file(name))
    except SteelbenchError as error:
        print(error)
        return MISTAKE
    except ValueError as error:
        # What KerasHub says to a name that it does not know; a failed download is another kind of error.
        if "Unknown preset" not in str(error):
            raise
        print(f"KerasHub knows no preset '{name.removeprefix(PREFIX)}'; name one that it lists, such as {EXAMPLE}.")
        return MISTAKE
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
