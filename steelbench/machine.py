"""Describe the machine: memory, cores, processor, and the versions of what a run depends on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

import steelbench

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
