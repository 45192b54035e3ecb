"""The settings that a layer from outside may have: each check returns what Keras gets."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

MAX_UNITS = 65_536
MAX_SIDE = 2048
ACTIVATIONS = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "celu", "silu", "swish", "mish", "tanh"),
    *("sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "softplus", "softsign", "softmax", "exponential"),
}


class NetworkError(ValueError):
    """A network that is not rebuilt; the text says why, after the file's name: "has a layer `x` of ..."."""


class UnfitError(ValueError):
    """A setting that its layer may not have."""


def whole(low: int, high: int) -> Callable[[Any], Any]:
    """Return the check of a whole number in a range."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UnfitError(f"{low} to {high}")
        return value

    return check


def pair(low: int, high: int) -> Callable[[Any], Any]:
    """Return the check of one or two whole numbers in a range; two are returned."""
    single = whole(low, high)

    def check(value: Any) -> tuple[int, int]:
        if isinstance(value, Sequence) and len(value) == 2:
            return single(value[0]), single(value[1])
        return single(value), single(value)

    return check


def word(*choices: str) -> Callable[[Any], Any]:
    """Return the check of one of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise UnfitError(" or ".join(choices))
        return value

    return check


def activation(value: Any) -> str:
    """Return the name of an activation; Keras 2 writes some as an object that names the function."""
    if isinstance(value, dict):
        value = value.get("config")
    if value is not None and (not isinstance(value, str) or value not in ACTIVATIONS):
        raise UnfitError("an activation of Keras")
    return value or "linear"


def flag(value: Any) -> bool:
    """Return whether it is true."""
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise UnfitError("true or false")
    return bool(value)


def number(value: Any) -> float:
    """Return a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UnfitError("a finite number")
    return value


def number_or_none(value: Any) -> float | None:
    """Return a finite number, or None."""
    return None if value is None else number(value)


def numbers(value: Any) -> Any:
    """Return a finite number or a short list of such; an array is written as an object that holds a list."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("value") if isinstance(value.get("config"), dict) else None
    if isinstance(value, list) and 0 < len(value) <= 16:
        return [number(item) for item in value]
    return number(value)


def numbers_or_none(value: Any) -> Any:
    """Return a finite number, a short list of such, or None."""
    return None if value is None else numbers(value)


def axis(value: Any) -> int:
    """Return the number of an axis; Keras 2 writes it in a list."""
    if isinstance(value, Sequence) and len(value) == 1:
        value = value[0]
    return whole(-4, 4)(value)


def lengths(value: Any) -> tuple[int, ...]:
    """Return one to four lengths; -1 stands for the one that follows from the others."""
    if not isinstance(value, Sequence) or not 0 < len(value) <= 4:
        raise UnfitError("one to four lengths")
    return tuple(whole(-1, 1 << 24)(item) for item in value)


def border(value: Any) -> Any:
    """Return how far an image grows or shrinks at each side."""
    if isinstance(value, Sequence) and len(value) == 2:
        return tuple(pair(0, MAX_SIDE)(side) for side in value)
    return pair(0, MAX_SIDE)(value)


def noise(value: Any) -> Any:
    """Return the shape of what a layer drops in training."""
    if value is None:
        return None
    return tuple(None if item is None else whole(1, 1 << 24)(item) for item in value)


def nothing(value: Any) -> None:
    """Refuse anything but None."""
    if value is not None:
        raise UnfitError("null")


CHANNELS_LAST = word("channels_last")
UNITS = whole(1, MAX_UNITS)
SMALL = pair(1, 64)
PADDING = word("valid", "same")
