"""Describe the machine: memory, cores, processor, GPUs, and the versions of what a run depends on."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path
from typing import Any

import psutil

import steelbench

# Instructions that decide how fast a network runs on a processor, by their names in /proc/cpuinfo.
FAST_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
# What TensorFlow 2.21 opens to compute on a GPU.
CUDA_LIBRARIES = (
    "libcuda.so.1",
    "libcudart.so.12",
    "libcublas.so.12",
    "libcublasLt.so.12",
    "libcufft.so.11",
    "libcusolver.so.11",
    "libcusparse.so.12",
    "libcudnn.so.9",
)

PACKAGES = ("tensorflow", "keras", "openvino", "numpy", "opencv-python-headless", "scikit-learn")


def environment() -> dict[str, Any]:
    """Return versions, processor, cores, memory (GiB) and system, as `environment.json` records them."""
    return {
        "steelbench": steelbench.__version__,
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "system": platform.platform(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "memory_gib": round(total_memory_gib(), 1),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor_name() -> str:
    """Return the name of this machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def fast_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str] | None:
    """Return which of `FAST_INSTRUCTIONS` the processor has; None where the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), None)
    return None if flags is None else [name for name in FAST_INSTRUCTIONS if name in flags]


def gpu_count(driver: Path = Path("/proc/driver/nvidia/gpus"), devices: Path = Path("/dev")) -> int:
    """Return the number of NVIDIA's GPUs, whether or not TensorFlow can use them.

    Files tell it: TensorFlow would take seconds, and a call of the driver may hang where a GPU is ill. In a container
    one of the two folders may show every GPU of the host and the other those that were given to it; before a GPU's
    first use the second may show none.

    Args:
        driver: where the driver has an entry for each.
        devices: where each has a node.
    """
    listed = sum(1 for _ in driver.iterdir()) if driver.is_dir() else 0
    nodes = sum(1 for _ in devices.glob("nvidia[0-9]*"))
    return min(filter(None, (listed, nodes)), default=0)


def usable_gpus(count: int | None = None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return NVIDIA's GPUs that this process may use, by their names in `CUDA_VISIBLE_DEVICES`.

    Args:
        count: of the machine's GPUs; None to count them.
        environment: where the user may have set that variable. As in CUDA, names behind the first one that does not
            exist are not used; empty and -1 mean none.
    """
    count = gpu_count() if count is None else count
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if count == 0 or given is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in given.split(",")]
    known = list(takewhile(lambda name: name.startswith(("GPU-", "MIG-")) or _is_below(name, count), names))
    return list(dict.fromkeys(known))


def _is_below(text: str, count: int) -> bool:
    return text.isdecimal() and int(text) < count


def missing_cuda_libraries(load: Callable[[str], object] = ctypes.CDLL) -> list[str]:
    """Return those of `CUDA_LIBRARIES` that cannot be opened.

    Args:
        load: opens a library by its name, and raises OSError if it cannot.
    """
    return [name for name in CUDA_LIBRARIES if not _opens(name, load)]


def _opens(name: str, load: Callable[[str], object]) -> bool:
    try:
        load(name)
    except OSError:
        return False
    return True


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def total_memory_gib() -> float:
    """Return the machine's memory in GiB."""
    return psutil.virtual_memory().total / 2**30


def peak_memory_gib() -> float:
    """Return the largest memory that this process has held so far, in GiB."""
    memory = psutil.Process().memory_info()
    # On Windows, which lacks the module `resource`, psutil has the peak.
    if hasattr(memory, "peak_wset"):
        return memory.peak_wset / 2**30
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, Linux in KiB.
    return peak / (2**30 if platform.system() == "Darwin" else 2**20)
