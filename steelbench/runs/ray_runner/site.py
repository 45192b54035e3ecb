"""What all tasks of a run share: images, weights and splits in Ray's object store, put there when first needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from steelbench.data.crops import locate
from steelbench.features.spec import Part
from steelbench.runs.jobs import RunData
from steelbench.runs.ray_runner.cluster import Tasks
from steelbench.runs.ray_runner.orders import Starters, own_versions
from steelbench.runs.ray_runner.parcels import pack_files, pack_images
from steelbench.runs.ray_runner.tasks import weights_path

# Images that travel together; a node holds so much of them at once beside what it has unpacked.
PARCEL_BYTES = 64 * 2**20
PARCEL_IMAGES = 256


class Site:
    """The shared inputs of a run's tasks, as references.

    Args:
        data: images and splits of the run.
        tasks: of the cluster.
    """

    def __init__(self, data: RunData, tasks: Tasks) -> None:
        self.run_data, self.tasks, self.root = data, tasks, Path(data.root)
        self.versions, self.starters = own_versions(), Starters.of(data)
        self.data = tasks.put(data)
        self._images: dict[tuple[int, ...], tuple[Any, ...]] = {}
        self._weights: dict[str, Any] = {}

    @cached_property
    def starter_images(self) -> Any:
        """Return a parcel with the files that encoders are made and checked with.

        Raises:
            UnreadableImageError: for a file that is gone.
        """
        return self.tasks.put(pack_images(self.root, [image.path for image in self.starters.images]))

    def images(self, rows: Sequence[int]) -> tuple[Any, ...]:
        """Return parcels with the files of some rows.

        Raises:
            UnreadableImageError: for a file that is gone.
        """
        key = tuple(rows)
        if key not in self._images:
            paths = [self.run_data.images[row].path for row in rows]
            parcels = (pack_images(self.root, group) for group in self.cut(paths, PARCEL_IMAGES, 1))
            self._images[key] = tuple(self.tasks.put(parcel) for parcel in parcels)
        return self._images[key]

    def cut(self, paths: Sequence[str], most: int, batch: int) -> Iterator[Sequence[str]]:
        """Yield paths in groups that travel together.

        Args:
            paths: of images.
            most: images in a group, a multiple of `batch`.
            batch: a group but the last holds a multiple of it.
        """
        start = 0
        while start < len(paths):
            end, size = start, 0
            while end < len(paths) and end - start < most and size < PARCEL_BYTES:
                size += sum(self._bytes(path) for path in paths[end : end + batch])
                end += batch
            yield paths[start:end]
            start = end

    def weights(self, parts: Sequence[Part]) -> tuple[Any, ...]:
        """Return parcels with the files of the networks' weights; none for random ones."""
        found = []
        for part in parts:
            name = weights_path(part)
            if name and name not in self._weights:
                self._weights[name] = self.tasks.put(pack_files({name: Path(part.origin["path"])}))
            if name:
                found.append(self._weights[name])
        return tuple(found)

    def _bytes(self, path: str) -> int:
        """Return the bytes of an image's file, 0 if it is gone."""
        try:
            return locate(self.root / path)[0].stat().st_size
        except OSError:
            return 0
