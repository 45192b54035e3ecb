"""The feature cache on disk: content-addressed, whole or absent, safe with several processes, checked when read.

CACHE/features/<backbone>/<space>/space.json        what the features depend on beside the image
CACHE/features/<backbone>/<space>/<checksum>.npy    a shard: records of (sha256 of the image's bytes, feature)
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

from steelbench.files import whole_file, write_json

SHARD_BYTES = 32 * 1024 * 1024
SHARD_SECONDS = 15.0
Write = Callable[[Sequence[str], NDArray[np.float32]], None]


class FeatureStore:
    """All features of one encoder, computed in one way.

    Args:
        root: the cache folder.
        backbone: its name, for people who look into the folder.
        dim: length of a feature.
        depends_on: everything that the features depend on beside the image's bytes.
    """

    def __init__(self, root: Path, backbone: str, dim: int, depends_on: dict[str, Any]) -> None:
        text = json.dumps({**depends_on, "backbone": backbone, "dim": dim}, sort_keys=True)
        self.folder = root / "features" / backbone / hashlib.sha256(text.encode()).hexdigest()[:24]
        self.record = np.dtype([("digest", "S64"), ("feature", "<f4", (dim,))])
        self.description = json.loads(text)
        self._where: dict[str, tuple[NDArray[Any], int]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the space; others wait, then find what was computed. The system ends a dead process's lock."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
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
        """What killed processes left; only for the one that holds the lock."""
        for path in self.folder.glob(".*.npy"):
            path.unlink(missing_ok=True)

    def read(self) -> None:
        """Learn what the space holds now."""
        for path in sorted(self.folder.glob("[!.]*.npy")):
            shard = self._open(path)
            if shard is not None:
                self._where.update((key.decode(), (shard, row)) for row, key in enumerate(shard["digest"]))

    def _open(self, path: Path) -> NDArray[Any] | None:
        """A shard as a memory map; a damaged one is deleted, so that its images are computed again."""
        try:
            shard = np.load(path, mmap_mode="r", allow_pickle=False)
            whole = shard.dtype == self.record and shard.ndim == 1 and _checksum(shard) == path.stem
        except (OSError, ValueError, EOFError):
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
            return None
        return shard

    def write_check(self, check: Mapping[str, float | None]) -> None:
        """Keep how the engine compared with Keras, for runs that find everything here."""
        write_json(self.folder / "check.json", dict(check))

    def check(self) -> dict[str, float]:
        """What `write_check` kept; empty if nothing."""
        return _read_json(self.folder / "check.json")

    @contextmanager
    def writer(self) -> Iterator[Write]:
        """Yields a function that takes digests and their features, and keeps them in shards of bounded size.

        A shard is written when it is large, and every few seconds, so that a killed run loses little.
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

        def write(digests: Sequence[str], features: NDArray[np.float32]) -> None:
            keys.extend(digests)
            rows.append(features)
            if len(keys) * self.record.itemsize > SHARD_BYTES or time.monotonic() - last > SHARD_SECONDS:
                flush()

        try:
            yield write
        finally:
            flush()

    def _store(self, keys: Sequence[str], features: NDArray[np.float32]) -> None:
        shard = np.empty(len(keys), self.record)
        shard["digest"], shard["feature"] = [key.encode() for key in keys], features
        path = self.folder / f"{_checksum(shard)}.npy"
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, shard, allow_pickle=False)
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        self._where.update((key, (stored, row)) for row, key in enumerate(keys))

    def gather(self, digests: Sequence[str]) -> NDArray[np.float32]:
        """float32 [N, D], in the order of the digests. Raises KeyError for one that the space lacks."""
        out = np.empty((len(digests), self.record["feature"].shape[0]), np.float32)
        for row, digest in enumerate(digests):
            shard, at = self._where[digest]
            out[row] = shard["feature"][at]
        return out


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _checksum(shard: NDArray[Any]) -> str:
    return hashlib.blake2b(shard.tobytes(), digest_size=16).hexdigest()


@dataclass(frozen=True)
class StoreSize:
    """One space of the cache, as `steelbench cache info` tells it."""

    backbone: str
    folder: Path
    images: int
    size: int
    used: float
    description: dict[str, Any]

    @property
    def check(self) -> dict[str, float]:
        """What the engine's first use left: comparison with Keras, rate, memory."""
        return _read_json(self.folder / "check.json")

    def digests(self) -> set[str]:
        """The images that it holds, unchecked: for a forecast."""
        found: set[str] = set()
        for path in self.folder.glob("[!.]*.npy"):
            with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
                shard = np.load(path, mmap_mode="r", allow_pickle=False)
                found.update(key.decode() for key in shard["digest"])
        return found


def spaces(root: Path) -> list[StoreSize]:
    """Every space below the cache folder, with its size in bytes and the time of its last write."""
    found = []
    for folder in sorted((root / "features").glob("*/*")):
        shards = [path for path in folder.glob("*.npy") if not path.name.startswith(".")]
        try:
            description = json.loads((folder / "space.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        sizes = [path.stat().st_size for path in shards]
        used = max((path.stat().st_mtime for path in shards), default=folder.stat().st_mtime)
        images = sum(map(_length, shards))
        found.append(StoreSize(folder.parent.name, folder, images, sum(sizes), used, description))
    return found


def _length(path: Path) -> int:
    """Records in a shard by its header; a damaged one, which the next run drops, has none."""
    try:
        return len(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError):
        return 0


def clear(root: Path, backbone: str | None = None, older_than_days: float = 0.0) -> int:
    """Delete spaces; returns the bytes that were freed."""
    freed = 0
    for space in spaces(root):
        if (backbone is None or space.backbone == backbone) and time.time() - space.used >= older_than_days * 86_400:
            with FileLock(space.folder / ".lock"):
                shutil.rmtree(space.folder, ignore_errors=True)
            freed += space.size
    return freed
