"""Import TensorFlow without its messages: it writes to the terminal while it starts, whatever its settings say."""

from __future__ import annotations

import os
import sys

from steelbench.errors import SteelbenchError

# Environment that keeps TensorFlow's C++ messages off the terminal; read when TensorFlow is imported.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3"}


def start_tensorflow() -> None:
    """Import TensorFlow and Keras and look for GPUs, with the process's standard error redirected meanwhile.

    Raises:
        SteelbenchError: if the environment asks for Keras 2, which steelbench does not work with.
    """
    legacy = os.environ.get("TF_USE_LEGACY_KERAS", "")
    if legacy.strip().lower() not in ("", "0", "false", "f", "no"):
        raise SteelbenchError(
            f"TF_USE_LEGACY_KERAS={legacy[:20]} asks TensorFlow for Keras 2; steelbench works with Keras 3. Unset it "
            "and run the same command again."
        )
    if "keras" in sys.modules:
        return
    os.environ.update({**QUIET, **os.environ})
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras  # noqa: F401
        import tensorflow as tf

        tf.config.list_physical_devices("GPU")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
    from absl import logging

    # Keras recommends another file format at every save; .h5 is what people reuse.
    logging.set_verbosity(logging.ERROR)
