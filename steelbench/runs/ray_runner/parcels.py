"""Files and features that travel between machines as bytes, and are never unpacked outside of their folder. No Ray."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features
from steelbench.data.crops import locate, source_path
from steelbench.data.images import read_bytes
from steelbench.errors import SteelbenchError
from steelbench.features.cache import FeatureStore, spaces
from steelbench.features.spec import ImageRef
from steelbench.files import whole_file

# Folders below a task's own folder: the data folder, the cache, files of weights, the results folder.
DATA, CACHE, WEIGHTS, RESULTS = "data", "cache", "weights", "results"
# Folder below the data folder of a task for images of another folder; no class folder is hidden.
ELSEWHERE = ".elsewhere"
# What a job may bring to a results folder.
BROUGHT = ("runs", "models", "tensorboard", "label_efficiency", "unknown")


@dataclass(frozen=True)
class Parcel:
    """Files by their path below a folder, with `/`.

    Attributes:
        files: path -> uint8 [bytes]; an array, because Ray lends it from its memory without a copy.
    """

    files: dict[str, NDArray[np.uint8]]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(data.nbytes for data in self.files.values())

    def unpack(self, folder: Path) -> None:
        """Write the files below a folder.

        Raises:
            SteelbenchError: for a path that leads out of it; then nothing is written.
        """
        paths = {name: folder / inner_path(name) for name in self.files}
        for name, path in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[name].data)


@dataclass(frozen=True)
class StoredFeatures:
    """Features of a store, with what they depend on.

    Attributes:
        backbone: the network's name.
        description: what the features depend on, the contents of `space.json`.
        digests: sha256 of each image's bytes, N of them.
        features: float32 [N, D].
        measurements: of `FeatureStore.measurements`.
    """

    backbone: str
    description: dict[str, Any]
    digests: list[str]
    features: Features
    measurements: dict[str, float]

    def store(self, cache: Path) -> FeatureStore:
        """Return the store that they belong to in a cache folder."""
        return FeatureStore(cache, self.backbone, int(self.description["dim"]), self.description)

    def unpack(self, folder: Path) -> None:
        """Write them to the store of a task's folder."""
        self.keep(folder / CACHE)

    def keep(self, cache: Path) -> None:
        """Write those that the store of a cache folder lacks."""
        store = self.store(cache)
        with store.locked(), store.writer() as write:
            rows = [row for row, digest in enumerate(self.digests) if digest not in store]
            if rows:
                write([self.digests[row] for row in rows], self.features[rows])
        if self.measurements:
            store.write_measurements(self.measurements)


def inner_path(name: str) -> PurePath:
    """Return a path that leads nowhere but down.

    Raises:
        SteelbenchError: if it is absolute, empty, or goes up.
    """
    # Where the path was made and where it is used may be different systems.
    for kind in (PurePosixPath, PureWindowsPath) if "\\" in name or ":" in name else (PurePosixPath,):
        path = kind(name)
        if not path.parts or path.anchor or ".." in path.parts or "\0" in name:
            raise SteelbenchError(f"a file called {name[:120]!r} cannot travel; expected a path below the folder.")
    return PurePosixPath(name)


def pack_files(files: dict[str, Path]) -> Parcel:
    """Return the files of some paths under the names that they shall have."""
    return Parcel({name: np.frombuffer(path.read_bytes(), np.uint8) for name, path in files.items()})


def path_there(image: ImageRef) -> str:
    """Return the path of an image below the data folder of a task; one without a label may lie anywhere here."""
    path = PurePath(image.path)
    return f"{ELSEWHERE}/{image.digest}{path.suffix}" if path.is_absolute() else image.path


def pack_refs(root: Path, images: Iterable[ImageRef]) -> Parcel:
    """Return the files of images, under the paths of `path_there`.

    Raises:
        UnreadableImageError: for a file that is gone or too large.
        SteelbenchError: for a path that leads out of the folder.
    """
    refs = list(images)
    inside = pack_images(root, [image.path for image in refs if path_there(image) == image.path])
    outside = [image for image in refs if path_there(image) != image.path]
    files = {f"{DATA}/{path_there(image)}": np.frombuffer(read_bytes(Path(image.path)), np.uint8) for image in outside}
    return Parcel({**inside.files, **files})


def pack_images(root: Path, paths: Iterable[str]) -> Parcel:
    """Return image files, each once; of crops the file that they are cut from.

    Args:
        root: the data folder.
        paths: of images or crops, below it.

    Raises:
        UnreadableImageError: for a file that is gone or too large.
        SteelbenchError: for a path outside of the folder.
    """
    files = {}
    for path in paths:
        source, crop = locate(root / path)
        name = path if crop is None else source_path(path)
        inner_path(name)
        if f"{DATA}/{name}" not in files:
            files[f"{DATA}/{name}"] = np.frombuffer(read_bytes(source), np.uint8)
    return Parcel(files)


def stored_features(cache: Path, backbone: str, wanted: dict[str, Any], digests: Iterable[str]) -> list[StoredFeatures]:
    """Return the features of a cache folder, those of some images, from every store of a network that has any.

    Args:
        cache: the cache folder.
        backbone: the network's name.
        wanted: values of the stores' descriptions; others are passed over.
        digests: of the images.
    """
    found, names = [], list(dict.fromkeys(digests))
    for space in spaces(cache):
        about = space.description
        if space.backbone != backbone or any(about.get(key) != value for key, value in wanted.items()):
            continue
        store = FeatureStore(cache, backbone, int(about["dim"]), about)
        store.read()
        own = [digest for digest in names if digest in store]
        if own:
            found.append(StoredFeatures(backbone, about, own, store.gather(own), store.measurements()))
    return found


class Outbox:
    """The files that a job has made in the results folder of its task, each sent once.

    Args:
        results: the folder; what is in it now is not sent.
    """

    def __init__(self, results: Path) -> None:
        self.results, self.sent = results, dict[str, tuple[int, int]]()
        self.take()

    def take(self, prefixes: tuple[str, ...] = tuple(map("{}/".format, BROUGHT))) -> Parcel:
        """Return the files that are new or changed since the last call.

        Args:
            prefixes: of their paths below the folder.
        """
        new = {}
        for path in sorted(self.results.rglob("[!.]*")):
            name = path.relative_to(self.results).as_posix()
            if not name.startswith(prefixes) or not path.is_file():
                continue
            state = path.stat().st_mtime_ns, path.stat().st_size
            if self.sent.get(name) != state:
                self.sent[name], new[name] = state, path
        return pack_files(new)


def bring_home(parcel: Parcel, results: Path) -> None:
    """Write what a job made into the results folder, each file whole; a run's folder last, and as one.

    Raises:
        SteelbenchError: for a file that no job makes; then nothing is written.
    """
    runs: dict[str, list[str]] = {}
    for name in parcel.files:
        parts = inner_path(name).parts
        if parts[0] not in BROUGHT or len(parts) < 2 or (parts[0] == "runs" and len(parts) != 3):
            raise SteelbenchError(f"a task brought the file {name[:120]!r}, which no job makes.")
        if parts[0] == "runs":
            runs.setdefault(parts[1], []).append(name)
    for name, data in parcel.files.items():
        if not name.startswith("runs/"):
            _write(results / name, data)
    for run, names in runs.items():
        folder, final = results / "unfinished" / run, results / "runs" / run
        shutil.rmtree(folder, ignore_errors=True)
        # The record last, because it marks a run as finished.
        for name in sorted(names, key=lambda name: name.endswith("/result.json")):
            _write(folder / name.rpartition("/")[2], parcel.files[name])
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        folder.rename(final)


def _write(path: Path, data: NDArray[np.uint8]) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data.data)
