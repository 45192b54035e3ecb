"""Classes that are too small and are left out on request."""

from __future__ import annotations

from collections.abc import Mapping


def small_classes(counts: Mapping[str, int], least: int | None) -> frozenset[str]:
    """Return the classes with fewer than `least` images or groups; none if `least` is None."""
    return frozenset(name for name, count in counts.items() if least and count < least)


def small_reason(least: int | None, what: str = "images") -> str:
    """Return why an image of such a class is left out.

    Args:
        least: of `--drop-small`.
        what: is counted, `images` or `groups`.
    """
    return f"in a class of fewer than {least} {what} (--drop-small {least})"
