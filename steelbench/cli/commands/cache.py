"""`steelbench cache`: show or clear the cached features."""

from __future__ import annotations

import time

from steelbench.cli.tables import show
from steelbench.errors import choose
from steelbench.features.cache import clear, spaces
from steelbench.files import cache_folder
from steelbench.inference.kept_network import clear_networks, kept_files
from steelbench.models.backbones import BACKBONES


def info() -> None:
    """Print the cache's folder, and for each feature store how it was computed, its images, MB and age in days."""
    found = spaces(cache_folder())
    print(cache_folder())
    show(
        ("backbone", "pixels", "engine", "precision", "images", "MB", "days"),
        (
            (
                space.backbone, *(str(space.description.get(key, "")) for key in ("image_size", "engine", "precision")),
                str(space.images), f"{space.size / 1e6:.1f}", f"{(time.time() - space.used) / 86400:.1f}",
            )
            for space in found
        ),
        right=("pixels", "images", "MB", "days"),
    )  # fmt: skip
    networks = [path.stat().st_size for path in kept_files()]
    if networks:
        print(f"networks that predict keeps: {sum(networks) / 1e6:.1f} MB")
    print(f"{(sum(space.size for space in found) + sum(networks)) / 1e6:.1f} MB in all")


def clear_cache(backbone: str | None, older_than_days: float) -> None:
    """Delete cached features and, without a backbone, kept networks; print the MB that were freed.

    Args:
        backbone: the only one whose features are deleted; None for all.
        older_than_days: only stores that were last written to so many days ago, or earlier.

    Raises:
        SteelbenchError: for an unknown backbone.
    """
    if backbone:
        choose("backbone", backbone, BACKBONES)
    freed = clear(cache_folder(), backbone, older_than_days)
    if not backbone:
        freed += clear_networks(older_than_days)
    print(f"{freed / 1e6:.1f} MB freed")
