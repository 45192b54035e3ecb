"""The feature store on disk: features by image content, in files that are whole or absent, for several processes.

A *space* is the folder of one `FeatureStore`; its name is a digest of everything that the features depend on.

CACHE/features/<backbone>/<space>/space.json        what the features depend on beside the image
CACHE/features/<backbone>/<space>/<checksum>.npy    a shard: records of (sha256 of the image's bytes, feature)
CACHE/features/<backbone>/<space>/extraction.json   measured by the last extraction: rate, memory, engine difference
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from steelbench.arrays import Features
from steelbench.files import read_json, whole_file, write_json

# A shard is written when it is so large, or so long after the last one.
SHARD_BYTES = 32 * 1024 * 1024
SHARD_SECONDS = 15.0
MEASUREMENTS = "extraction.json"
# The file's name until version 0.1; caches from then are still read.
OLD_MEASUREMENTS = "check.json"
# Takes digests and their features float32 [N, D].
Write = Callable[[Sequence[str], NDArray[np.float32]], None]


class FeatureStore:
    """The cached features of one encoder, computed in one way.

    Args:
        root: the cache folder.
        backbone: the network's name, which names the folder, too.
        dim: length of a feature.
        depends_on: everything that the features depend on beside the image's bytes; JSON values.
    """

    def __init__(self, root: Path, backbone: str, dim: int, depends_on: dict[str, Any]) -> None:
        text = json.dumps({**depends_on, "backbone": backbone, "dim": dim}, sort_keys=True)
        self.folder = root / "features" / backbone / hashlib.sha256(text.encode()).hexdigest()[:24]
        self.record = np.dtype([("digest", "S64"), ("feature", "<f4", (dim,))])
        self.description = json.loads(text)
        self._where: dict[str, tuple[NDArray[Any], int]] = {}

    @contextmanager
    def locked(self, wait: bool = True) -> Iterator[None]:
        """Hold the store's file lock. The operating system releases it if the process dies.

        Args:
            wait: for another process that holds it.

        Raises:
            TimeoutError: if another holds it and `wait` is false.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock", timeout=-1 if wait else 0):
            self._remove_leftovers()
            self.read()
            if not (self.folder / "space.json").exists():
                write_json(self.folder / "space.json", self.description)
            yield

    def __contains__(self, digest: str) -> bool:
        return digest in self._where

    def __len__(self) -> int:
        return len(self._where)

    def _remove_leftovers(self) -> None:
        """Delete temporary files of killed processes; only for the holder of the lock."""
        for path in self.folder.glob(".*.npy"):
            path.unlink(missing_ok=True)

    def read(self) -> None:
        """Open all shards on disk; afterwards `digest in store` says what is there."""
        for path in sorted(self.folder.glob("[!.]*.npy")):
            shard = self._open(path)
            if shard is not None:
                self._where.update((key.decode(), (shard, row)) for row, key in enumerate(shard["digest"]))

    def _open(self, path: Path) -> NDArray[Any] | None:
        """Return a shard as a memory map; delete a damaged one, so that its images are computed again."""
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
            whole = shard.dtype == self.record and shard.ndim == 1 and _checksum(shard) == path.stem
        except (OSError, ValueError, EOFError):
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
            return None
        return shard

    def write_measurements(self, measured: Mapping[str, float | None]) -> None:
        """Write values that an extraction measured; those of other names are kept.

        Args:
            measured: difference and cosine (of the engine to Keras), images_per_second, load_seconds, memory_gib.
        """
        write_json(self.folder / MEASUREMENTS, {**self.measurements(), **measured})

    def measurements(self) -> dict[str, float]:
        """Return what `write_measurements` wrote, by whichever process; empty if nothing."""
        return read_measurements(self.folder)

    @contextmanager
    def writer(self) -> Iterator[Write]:
        """Yield a function that stores digests and their features, in shards of bounded size.

        A shard is also written every few seconds, so that a killed run loses little.
        """
        keys: list[str] = []
        rows: list[NDArray[np.float32]] = []
        last = time.monotonic()

        def flush() -> None:
            nonlocal last
            if keys:
                self._store(keys, np.concatenate(rows))
                keys.clear()
                rows.clear()
            last = time.monotonic()

        def write(digests: Sequence[str], features: Features) -> None:
            keys.extend(digests)
            rows.append(features)
            if len(keys) * self.record.itemsize > SHARD_BYTES or time.monotonic() - last > SHARD_SECONDS:
                flush()

        try:
            yield write
        finally:
            flush()

    def _store(self, keys: Sequence[str], features: Features) -> None:
        shard = np.empty(len(keys), self.record)
        shard["digest"], shard["feature"] = [key.encode() for key in keys], features
        path = self.folder / f"{_checksum(shard)}.npy"
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, shard, allow_pickle=False)
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        self._where.update((key, (stored, row)) for row, key in enumerate(keys))

    def gather(self, digests: Sequence[str]) -> NDArray[np.float32]:
        """Return the features of some images.

        Args:
            digests: sha256 of each image's bytes, N of them.

        Returns:
            float32 [N, D], in the order of the digests.

        Raises:
            KeyError: for a digest that the store lacks.
        """
        out = np.empty((len(digests), self.record["feature"].shape[0]), np.float32)
        for row, digest in enumerate(digests):
            shard, at = self._where[digest]
            out[row] = shard["feature"][at]
        return out


def read_measurements(folder: Path) -> dict[str, float]:
    """Return what the last extraction into a space measured; empty if nothing is there, or nothing readable."""
    for name in (MEASUREMENTS, OLD_MEASUREMENTS):
        try:
            found = read_json(folder / name)
        except (OSError, ValueError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _checksum(shard: NDArray[Any]) -> str:
    return hashlib.blake2b(shard.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class StoreSize:
    """One space of the cache, as `steelbench cache info` lists it.

    Attributes:
        backbone: the network's name.
        folder: of the space.
        images: number of features.
        size: of all shards, bytes.
        used: time of the last write, seconds since 1970.
        description: what the features depend on, the contents of `space.json`.
    """

    backbone: str
    folder: Path
    images: int
    size: int
    used: float
    description: dict[str, Any]

    @property
    def measurements(self) -> dict[str, float]:
        """Return what the last extraction measured; see `FeatureStore.write_measurements`."""
        return read_measurements(self.folder)

    def digests(self) -> set[str]:
        """Return the digests of its images without checking the shards: enough for a forecast."""
        found: set[str] = set()
        for path in self.folder.glob("[!.]*.npy"):
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                shard = np.load(path, mmap_mode="r", allow_pickle=False)
                found.update(key.decode() for key in shard["digest"])
        return found


def spaces(root: Path) -> list[StoreSize]:
    """Return every space of a cache folder, sorted by backbone."""
    found = []
    for folder in sorted((root / "features").glob("*/*")):
        shards = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
        try:
            description = read_json(folder / "space.json")
        except (OSError, ValueError):
            continue
        sizes = [path.stat().st_size for path in shards]
        used = max((path.stat().st_mtime for path in shards), default=folder.stat().st_mtime)
        images = sum(map(_length, shards))
        found.append(StoreSize(folder.parent.name, folder, images, sum(sizes), used, description))
    return found


def _length(path: Path) -> int:
    """Return the number of features in a shard by its header; 0 for a damaged one, which the next run deletes."""
    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError):
        return 0


def clear(root: Path, backbone: str | None = None, older_than_days: float = 0.0) -> int:
    """Delete spaces and return the bytes that were freed.

    Args:
        root: the cache folder.
        backbone: only spaces of this one; None for all.
        older_than_days: only spaces that were not written to for so long.
    """
    freed = 0
    for space in spaces(root):
        if (backbone is None or space.backbone == backbone) and time.time() - space.used >= older_than_days * 86_400:
            with FileLock(space.folder / ".lock"):
                shutil.rmtree(space.folder, ignore_errors=True)
            freed += space.size
    return freed
