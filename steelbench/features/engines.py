"""Engines, which compute a frozen encoder's features batch by batch: Keras and OpenVINO, one row of `ENGINES` each."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from steelbench.arrays import ImageBatch
from steelbench.errors import SteelbenchError, choose

# Maps batches float32 [B, S, S, 3], 0..255, at the encoder's size to features float32 [B, D], in order.
ComputeFeatures = Callable[[Iterable[ImageBatch]], Iterator[ImageBatch]]


@dataclass(frozen=True)
class Engine:
    """A row of `ENGINES`.

    Attributes:
        package: the package that it needs.
        batch: images per batch.
        precisions: those that it computes in.
        open: `module:function`, which returns a `ComputeFeatures` for (encoder, precision, batch). A text, so that
            the table can be read without TensorFlow.
    """

    package: str
    batch: int
    precisions: tuple[str, ...]
    open: str

    @property
    def installed(self) -> bool:
        """Return whether its package can be imported."""
        return importlib.util.find_spec(self.package) is not None

    @property
    def version(self) -> str:
        """Return the version of its package."""
        from importlib.metadata import version

        return version(self.package)


# Up to so many cores OpenVINO computes one batch at a time on all of them.
FEW_CORES = 4
# OpenVINO is fastest with small batches, several at once.
ENGINES = {
    "keras": Engine("keras", 32, ("float32", "bfloat16", "float16"), "steelbench.features.engines:open_keras"),
    "openvino": Engine("openvino", 8, ("float32", "bfloat16"), "steelbench.features.engines:open_openvino"),
}


def choose_engine(wanted: str, precision: str, gpus: int) -> str:
    """Return the name of the engine to use.

    Args:
        wanted: a name of `ENGINES`, or `auto`: OpenVINO on a machine without a GPU where it is installed, else Keras.
        precision: float32, bfloat16 or float16.
        gpus: number of GPUs that TensorFlow sees.

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


def open_engine(name: str, encoder: Any, precision: str, batch: int | None = None) -> ComputeFeatures:
    """Return a function from batches of images to features; the caller resizes the images.

    Args:
        name: a row of `ENGINES`.
        encoder: of `build_encoder`.
        precision: one of the engine's.
        batch: images per batch; None for the engine's own.
    """
    row = ENGINES[name]
    return pkgutil.resolve_name(row.open)(encoder, precision, batch or row.batch)


def open_keras(encoder: Any, precision: str, batch: int) -> ComputeFeatures:  # noqa: ARG001 - takes batches of any size
    """Return a compiled TensorFlow function; it computes on the GPU if there is one."""
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


def open_openvino(encoder: Any, precision: str, batch: int) -> ComputeFeatures:
    """Return a function that sends batches to OpenVINO on the CPU, as many at once as OpenVINO finds best."""
    return run_openvino(openvino_graph(encoder, batch), precision)


def openvino_graph(encoder: Any, batch: int) -> Any:
    """Return the encoder behind its resizing layer as an OpenVINO graph for batches of one size.

    Args:
        encoder: of `build_encoder`.
        batch: images per batch; `graph.reshape` changes it in a fraction of the time that a conversion takes.
    """
    # OpenVINO's conversion reports its use over the network from a fork of this process, and the fork keeps open every
    # file that is being written. With the reporting package hidden it does neither.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    from steelbench.models.surgery import before_pooling

    network = before_pooling(encoder)
    shape = [batch, *network.input.shape[1:]]
    with warnings.catch_warnings():
        # Keras warns that OpenVINO passes a tuple where Keras expects a tensor.
        warnings.simplefilter("ignore", UserWarning)
        return openvino.convert_model(network, input=shape)


def run_openvino(graph: Any, precision: str, threads: int | None = None) -> ComputeFeatures:
    """Compile a graph, and return a function that sends batches to it.

    Args:
        graph: of `openvino_graph`.
        precision: float32 or bfloat16.
        threads: of the processor; None for as many as it has cores.
    """
    import openvino

    compiled = openvino.Core().compile_model(
        graph,
        "CPU",
        {
            # OpenVINO's own default would be bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
            # On few cores, all cores on one batch are faster than one batch per core, because its activations stay in
            # the processor's cache (VGG19, float32, 2 cores: 11.2 images/s against 9.8).
            "PERFORMANCE_HINT": "LATENCY" if (threads or os.cpu_count() or 1) <= FEW_CORES else "THROUGHPUT",
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        },
    )

    # At least two, so that the next batch is already there when one is done.
    count = max(2, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    requests = [compiled.create_infer_request() for _ in range(count)]

    def run(batches: Iterable[ImageBatch]) -> Iterator[ImageBatch]:
        # Not OpenVINO's AsyncInferQueue: it calls back into Python from its own threads, and a call that comes while
        # the model is being freed deadlocks.
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


def _result(request: Any) -> ImageBatch:
    request.wait()
    return request.get_output_tensor(0).data.copy()
