"""KerasHub's image backbones by preset, `hub:resnet_18_imagenet`, kept as plain Keras networks in `.h5` files.

A preset is converted to an `.h5` of built-in layers by a process of its own, so that nothing else ever imports
KerasHub, and models that are saved with it load without. This module imports TensorFlow only in that process.
"""

from __future__ import annotations

import filecmp
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steelbench.errors import SteelbenchError
from steelbench.files import cache_folder, whole_file
from steelbench.models.hdf5_heap import refuse_endless
from steelbench.records import Record

PREFIX = "hub:"
EXAMPLE = "hub:resnet_18_imagenet"
# Attribute of the `.h5` that holds its `Preset` as JSON: one file is all that has to be copied to another machine.
ATTRIBUTE = "steelbench_preset"
# A download of some hundred megabytes over a slow line.
FETCH_SECONDS = 1800
# Exit code of the converting process for a name that the user must change.
USER_ERROR = 2
# (step, item, done, total)
Progress = Callable[[str, str, int, int], None]


class Preset(Record):
    """Description of a preset, stored in the attribute `steelbench_preset` of its `.h5`.

    Attributes:
        image_size: side of the square that its weights were trained on, pixels.
        feature_dim: channels of its last feature map.
        params: number of its weights, counted by Keras.
        scale: per channel; the network takes `pixel * scale + offset`, pixels on 0..255.
        offset: per channel.
    """

    image_size: int
    feature_dim: int
    params: int
    scale: list[float]
    offset: list[float]


def _preset_of(name: str) -> str:
    if not re.fullmatch(rf"{PREFIX}[a-z0-9][a-z0-9_.]{{0,99}}", name):
        raise SteelbenchError(f"'{name[:120]}' names no preset of KerasHub; expected such as {EXAMPLE}.")
    return name.removeprefix(PREFIX)


def network_file(name: str) -> Path:
    """Return the path of a preset's `.h5` in the cache, whether it exists or not.

    Raises:
        SteelbenchError: if the name is no `hub:PRESET`.
    """
    return cache_folder() / "hub" / f"{_preset_of(name)}.h5"


def file_name(name: str) -> str:
    """Return the name under which a folder of weights holds the preset: `hub_PRESET.h5`.

    Raises:
        SteelbenchError: if the name is no `hub:PRESET`.
    """
    return f"hub_{_preset_of(name)}.h5"


def describe(name: str) -> Preset:
    """Return the description of a preset in the cache.

    Raises:
        SteelbenchError: if the preset was not fetched, or the name is no `hub:PRESET`.
    """
    return read_description(network_file(name))


def read_description(path: Path) -> Preset:
    """Read the description of a converted preset from its `.h5`.

    Raises:
        SteelbenchError: if there is no such file, or it was not written by `save_network`.
    """
    import h5py

    if not path.is_file():
        raise SteelbenchError(
            f"{path} does not exist; run it once with a network, or bring hub_PRESET.h5 by --weights-dir."
        )
    try:
        refuse_endless(path)
        with h5py.File(path, "r") as file:
            return Preset.model_validate_json(file.attrs[ATTRIBUTE])
    except (OSError, KeyError, ValidationError):
        raise SteelbenchError(
            f"{path} is damaged or no preset that steelbench converted; make it again on a machine with a network: "
            f"steelbench weights download --backbones {EXAMPLE} --weights-dir DIR."
        ) from None


def save_network(network: Any, path: Path, description: Preset) -> None:
    """Write a Keras network with its description inside, whole or not at all.

    Args:
        network: `keras.Model` of built-in layers, from images [B, H, W, 3] to one feature map [B, h, w, D].
        path: ends in `.h5`.
        description: of the network.
    """
    import h5py

    with whole_file(path) as temporary:
        network.save(temporary)
        with h5py.File(temporary, "r+") as file:
            file.attrs[ATTRIBUTE] = description.model_dump_json()


def fetch(name: str, folders: Sequence[Path] = (), progress: Progress = lambda *_: None) -> str:
    """Put a preset into the cache: from a folder that holds it, else by KerasHub.

    Args:
        name: `hub:PRESET`.
        folders: searched for `hub_PRESET.h5`, in order, before the cache.
        progress: called with ("fetch", name, 0, 0) before KerasHub is asked.

    Returns:
        Why the preset cannot be had on this machine, or "".

    Raises:
        SteelbenchError: if there is no such preset, or plain Keras could not load it.
    """
    path = network_file(name)
    for source in (folder / file_name(name) for folder in folders):
        if source.is_file():
            _copy_network(source, path)
            return ""
    if path.is_file():
        return ""
    if find_spec("keras_hub") is None:
        return "the package keras_hub is not installed (pip install 'steelbench[hub]')"
    progress("fetch", name, 0, 0)
    command = [sys.executable, "-P", "-m", "steelbench.models.keras_hub", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"it did not come within {FETCH_SECONDS // 60} minutes"
    if done.returncode == USER_ERROR:
        raise SteelbenchError(done.stdout.strip())
    if done.returncode:
        return "it could not be fetched: " + (done.stderr.strip().splitlines() or ["no reason given"])[-1][:200]
    return ""


def export(name: str, folder: Path, progress: Progress = lambda *_: None) -> Path:
    """Write a preset to a folder as `hub_PRESET.h5`, for a machine without a network.

    Returns:
        The path of the written file.

    Raises:
        SteelbenchError: if the preset cannot be had.
    """
    if reason := fetch(name, [folder], progress):
        raise SteelbenchError(f"{name} cannot be had: {reason}.")
    target = folder / file_name(name)
    _copy_network(network_file(name), target)
    return target


def _copy_network(source: Path, target: Path) -> None:
    """Copy a converted preset unless the target is the same already; refuse any other file."""
    read_description(source)
    if target.is_file() and filecmp.cmp(source, target, shallow=False):
        return
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def convert(preset: str, path: Path) -> Preset:
    """Write a preset's network as a plain Keras `.h5`.

    Args:
        preset: a name that KerasHub knows, or a folder that holds one.
        path: of the `.h5`.

    Returns:
        Its description.

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
    description = Preset(
        image_size=(converter.image_size or (224, 224))[0],
        feature_dim=backbone.output.shape[-1],
        params=network.count_params(),
        scale=_per_channel(converter.scale, 1.0),
        offset=_per_channel(converter.offset, 0.0),
    )
    save_network(network, path, description)
    return description


def _per_channel(value: float | list[float] | None, default: float) -> list[float]:
    if value is None:
        return [default] * 3
    return [float(value)] * 3 if isinstance(value, (int, float)) else [float(part) for part in value]


def _main(name: str) -> int:
    try:
        convert(name.removeprefix(PREFIX), network_file(name))
    except SteelbenchError as error:
        print(error)
        return USER_ERROR
    except ValueError as error:
        # KerasHub's answer to an unknown name; a failed download is another kind of error.
        if "Unknown preset" not in str(error):
            raise
        print(f"KerasHub knows no preset '{name.removeprefix(PREFIX)}'; name one that it lists, such as {EXAMPLE}.")
        return USER_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
