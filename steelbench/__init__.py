"""steelbench: transfer-learning benchmarks for steel-surface-defect images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steelbench.errors import SteelbenchError

__version__ = "0.1.0"
__all__ = ["SteelbenchError", "__version__", "load_model"]

if TYPE_CHECKING:
    from steelbench.inference.model import load_model


def __getattr__(name: str) -> Any:
    # Lazily, because `load_model` brings TensorFlow with it and `steelbench --help` must not.
    if name == "load_model":
        from steelbench.inference.model import load_model

        return load_model
    raise AttributeError(f"module 'steelbench' has no attribute '{name}'")
