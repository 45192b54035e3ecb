"""TensorFlow's SavedModel: a folder that TensorFlow and TensorFlow Serving load without Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelbench.inference.exports.contract import INPUT, MEMBER, OUTPUT
from steelbench.inference.exports.formats import FORMATS, Compute, Source

SIGNATURE = "serving_default"


def write(source: Source, contract: str, folder: Path) -> None:
    """Write the folder `model`, with the contract in its `assets.extra`, the place for files of others."""
    import tensorflow as tf

    module = tf.Module()
    # What the function computes with; TensorFlow saves only what the module holds.
    module.network = source.network
    target = folder / FORMATS["savedmodel"].file
    tf.saved_model.save(module, str(target), signatures={SIGNATURE: source.function})
    (target / "assets.extra").mkdir()
    (target / "assets.extra" / MEMBER).write_text(contract, encoding="ascii")


def open_network(folder: Path) -> tuple[Compute, str]:
    """Load the folder `model` in TensorFlow."""
    import tensorflow as tf

    target = folder / FORMATS["savedmodel"].file
    loaded = tf.saved_model.load(str(target))

    def compute(images: Any) -> Any:
        # Looked up at every call: the signature alone keeps no reference to the variables that it computes with.
        return loaded.signatures[SIGNATURE](**{INPUT: tf.constant(images)})[OUTPUT].numpy()

    return compute, (target / "assets.extra" / MEMBER).read_text("ascii")
