"""Keras's own format, version 3."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelbench.inference.exports.contract import add_member, read_member
from steelbench.inference.exports.formats import FORMATS, Compute, Source


def write(source: Source, contract: str, folder: Path) -> None:
    """Write `model.keras`, with the contract as one more file of the archive."""
    path = folder / FORMATS["keras"].file
    source.network.save(path, include_optimizer=False)
    add_member(path, contract)


def open_network(folder: Path) -> tuple[Compute, str]:
    """Load `model.keras` in Keras."""
    import keras

    from steelbench.models.saved_model import compiled

    path = folder / FORMATS["keras"].file
    network: Any = compiled(keras.models.load_model(path, compile=False))
    return lambda images: network(images).numpy(), read_member(path)
