"""Engines: what runs a frozen encoder over batches. Each is a row in `ENGINES`, named by a string."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError, choose

Batch = NDArray[np.float32]
# Maps batches float32 [B, S, S, 3] at the encoder's size to features float32 [B, D], in order.
Run = Callable[[Iterable[Batch]], Iterator[Batch]]


@dataclass(frozen=True)
class Engine:
    """A row of `ENGINES`: the package it needs, its images per batch, its precisions, the function that opens it."""

    package: str
    batch: int
    precisions: tuple[str, ...]
    open: str

    @property
    def installed(self) -> bool:
        """Whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """The version of its package."""
        from importlib.metadata import version

        return version(self.package)


FEW_CORES = 4
# OpenVINO is fastest with small batches, several at once.
ENGINES = {
    "keras": Engine("keras", 32, ("float32", "bfloat16", "float16"), "open_keras"),
    "openvino": Engine("openvino", 8, ("float32", "bfloat16"), "open_openvino"),
}


def choose_engine(wanted: str, precision: str, gpus: int) -> str:
    """The engine's name: `auto` is OpenVINO on a machine without a GPU, where it is installed.

    Raises:
        SteelbenchError: if the wanted engine is not installed or cannot compute in that precision.
    """
    if wanted == "auto":
        fast = ENGINES["openvino"]
        wanted = "openvino" if not gpus and fast.installed and precision in fast.precisions else "keras"
    row = ENGINES[choose("engine", wanted, ENGINES)]
    if not row.installed:
        raise SteelbenchError(
            f"--engine {wanted} needs the package {row.package}, which is not installed; "
            "pip install 'steelbench[fast]', or use --engine keras."
        )
    if precision not in row.precisions:
        raise SteelbenchError(
            f"--engine {wanted} does not compute in {precision}; it knows {', '.join(row.precisions)}. "
            "Use --engine keras for the others."
        )
    return wanted


def open_engine(name: str, encoder: Any, precision: str, batch: int | None = None) -> Run:
    """Open an engine for an encoder of `build_encoder`; its resizing is left to the caller.

    Args:
        name: a row of `ENGINES`.
        encoder: of `build_encoder`.
        precision: one of the engine's.
        batch: images per batch; None for the engine's own.
    """
    row = ENGINES[name]
    return getattr(importlib.import_module(__name__), row.open)(encoder, precision, batch or row.batch)


def open_keras(encoder: Any, precision: str, batch: int) -> Run:  # noqa: ARG001 - takes batches of any size
    """A compiled function; on the GPU if TensorFlow sees one."""
    import keras
    import tensorflow as tf

    from steelbench.models.surgery import before_pooling

    if precision != "float32":
        from steelbench.models.encoder import rebuild

        keras.config.set_dtype_policy(f"mixed_{precision}")
        try:
            lower = rebuild(encoder)
        finally:
            keras.config.set_dtype_policy("float32")
        encoder = lower
    network = before_pooling(encoder)

    @tf.function(jit_compile=False)
    def compute(images: Any) -> Any:
        return tf.cast(network(images, training=False), "float32")

    return lambda batches: (compute(tf.constant(batch)).numpy() for batch in batches)


def open_openvino(encoder: Any, precision: str, batch: int) -> Run:
    """Asynchronous requests on the CPU; as many batches at once as OpenVINO finds best."""
    # Its conversion reports its use over the network, from a fork of this process, which then holds every file that is
    # being written. Without the package that does it there is nothing to report.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    from steelbench.models.surgery import before_pooling

    network = before_pooling(encoder)
    shape = [batch, *network.input.shape[1:]]
    with warnings.catch_warnings():
        # Keras warns that OpenVINO hands it a tuple where it expects a tensor.
        warnings.simplefilter("ignore", UserWarning)
        graph = openvino.convert_model(network, input=shape)
    compiled = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            # OpenVINO's own default would be bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            # On few cores all of them on one batch beat a batch for each: its activations stay in the cache (VGG19 in
            # float32 on two: 11.2 images/s against 9.8).
            "PERFORMANCE_HINT": "LATENCY" if (os.cpu_count() or 1) <= FEW_CORES else "THROUGHPUT",
        },
    )

    # Two at least, so that the next batch waits inside while one is computed.
    count = max(2, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    requests = [compiled.create_infer_request() for _ in range(count)]

    def run(batches: Iterable[Batch]) -> Iterator[Batch]:
        # Not OpenVINO's own queue: it calls back into Python from its threads, and one that is late while the model is
        # being freed waits for us for ever, as we do for it.
        busy: deque[Any] = deque()
        try:
            for number, batch in enumerate(batches):
                if len(busy) == count:
                    yield _result(busy.popleft())
                request = requests[number % count]
                request.start_async({0: batch})
                busy.append(request)
            while busy:
                yield _result(busy.popleft())
        finally:
            for request in busy:
                request.wait()

    return run


def _result(request: Any) -> Batch:
    request.wait()
    return request.get_output_tensor(0).data.copy()
