"""OpenVINO: intermediate representation, weights in float32, run on the CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from steelbench.inference.exports.contract import INPUT, KEY, OUTPUT
from steelbench.inference.exports.formats import FORMATS, Compute, Source

# OpenVINO's own default is bfloat16 where the processor has it, which changes probabilities by up to 1e-2.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write(source: Source, contract: str, folder: Path) -> None:
    """Write `model.xml` and `model.bin`, with the contract in the `rt_info`."""
    openvino = import_openvino()
    network = openvino.convert_model(source.frozen.graph)
    network.inputs[0].tensor.set_names({INPUT})
    network.outputs[0].tensor.set_names({OUTPUT})
    save(network, contract, folder)


def save(network: Any, contract: str, folder: Path) -> None:
    """Write a network of OpenVINO's as `model.xml` and `model.bin`, weights as they are."""
    openvino = import_openvino()
    network.set_rt_info(contract, [KEY])
    openvino.save_model(network, folder / FORMATS["openvino"].file, compress_to_fp16=False)


def open_network(folder: Path) -> tuple[Compute, str]:
    """Load `model.xml` in OpenVINO on the CPU, computing in float32."""
    core = import_openvino().Core()
    network = core.read_model(folder / FORMATS["openvino"].file)
    compiled = core.compile_model(network, "CPU", EXACT)

    def compute(images: Any) -> Any:
        return compiled({INPUT: images})[OUTPUT]

    return compute, network.get_rt_info([KEY]).astype(str)


def import_openvino() -> Any:
    """Import OpenVINO without its reports over the network, as `features.engines` does."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
