"""Files of pretrained weights: where they are looked for, how they are verified and fetched. No TensorFlow."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from steelbench.errors import SteelbenchError
from steelbench.files import whole_file
from steelbench.models import keras_hub
from steelbench.models.backbones import Backbone, WeightsFile, find_backbone

KINDS = ("imagenet", "noisy-student", "random", "auto")
CONNECT_SECONDS = 10
# Bytes per second. A server that sends a byte now and then never times out.
SLOWEST = 10_000
CHUNK = 1 << 20
# Values of the `Normalization` layer that Keras's EfficientNet files hold and the noisy-student files do not.
NORMALIZATION_VALUES = 7
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Origin:
    """Where a backbone's weights come from, as its records tell it.

    `kind` is imagenet, noisy-student, preset, random or file.
    """

    kind: str
    file: str = ""
    md5: str = ""
    path: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """What may stand in a record: no path of this machine."""
        return {key: value for key, value in asdict(self).items() if key != "path" and value}


def weights_file(name: str, kind: str) -> WeightsFile:
    """The file of a backbone's weights of one kind.

    Raises:
        SteelbenchError: if there are no noisy-student weights of this backbone.
    """
    row = find_backbone(name)
    found = row.imagenet if kind == "imagenet" else row.noisy_student
    if found is None:
        from steelbench.models.backbones import BACKBONES

        have = ", ".join(key for key, value in BACKBONES.items() if value.noisy_student)
        raise SteelbenchError(
            f"there are no {kind} weights of {name}, only of {have}; use those, or --weights imagenet."
        )
    return found


def search_folders(weights_dir: Path | None) -> list[Path]:
    """`--weights-dir`, else `STEELBENCH_WEIGHTS_DIR`; then the folder where Keras keeps its downloads."""
    named = weights_dir or os.environ.get("STEELBENCH_WEIGHTS_DIR")
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return [*([Path(named).expanduser()] if named else []), keras_home / "models"]


def find_file(wanted: WeightsFile, weights_dir: Path | None) -> Path | None:
    """The first file of that name, under its own name or another that is known for it."""
    for folder in search_folders(weights_dir):
        for name in (wanted.name, *wanted.also):
            if (folder / name).is_file():
                return folder / name
    return None


def md5_of(path: Path) -> str:
    """The md5 of a file, read in pieces."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def stored_values(path: Path) -> int:
    """How many numbers an HDF5 file of weights holds, the optimizer's aside; reads shapes only."""
    import h5py

    sizes: list[int] = []

    def visit(name: str, item: Any) -> None:
        # A file saved after training also holds the optimizer's numbers.
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer"):
            sizes.append(int(item.size or 0))

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return sum(sizes)


def verify_file(path: Path, name: str, wanted: WeightsFile | None) -> str:
    """Check that a file can be the backbone's weights.

    Args:
        path: the file.
        name: the backbone.
        wanted: what it is meant to be; None for a file that the user names.

    Returns:
        Its md5.

    Raises:
        SteelbenchError: damaged, another md5 than its publisher states, or another architecture.
    """
    row = find_backbone(name)
    md5 = md5_of(path)
    if wanted and wanted.md5 and path.name == wanted.name and md5 != wanted.md5:
        raise SteelbenchError(
            f"{path} has md5 {md5}, its publisher states {wanted.md5}: the file is damaged or was changed. "
            "Delete it and fetch it again (steelbench weights download)."
        )
    try:
        values = stored_values(path)
    except (OSError, RuntimeError, KeyError, ValueError):
        raise SteelbenchError(
            f"{path} is damaged or no HDF5 file, so it holds no weights of {name}. Fetch it again."
        ) from None
    if values not in _possible_values(row):
        raise SteelbenchError(
            f"{path} holds {values} values, {name} without its top has {row.params}: these are weights of another "
            f"architecture, or with a classifier on top. Name a file made with include_top=False for {row.constructor}."
        )
    return md5


def _possible_values(row: Backbone) -> set[int]:
    return {row.params, noisy_values(row) or row.params}


def noisy_values(row: Backbone) -> int | None:
    """How many numbers a file of its noisy-student weights holds; None where there are none."""
    return row.params - NORMALIZATION_VALUES if row.noisy_student else None


def resolve(name: str, source: str, weights_dir: Path | None = None, progress: Progress = lambda *_: None) -> Origin:
    """Find, or fetch, and verify the weights that `--weights` asks for.

    Args:
        name: a row of `BACKBONES`.
        source: imagenet, noisy-student, random, auto (imagenet where it can be had, else random), or a file's path.
        weights_dir: looked through first.
        progress: called with (file name, bytes so far, bytes in all or 0).

    Raises:
        SteelbenchError: no such file and no network, or the file does not fit.
    """
    if source == "random":
        return Origin("random")
    if source == "auto" and not name.startswith(keras_hub.PREFIX):
        try:
            return resolve(name, "imagenet", weights_dir, progress)
        except NotFoundError:
            return Origin("random")
    if name.startswith(keras_hub.PREFIX) and source in ("imagenet", "auto"):
        path = keras_hub.network_file(name)
        return Origin("preset", path.name, verify_file(path, name, None), str(path))
    if source in ("imagenet", "noisy-student"):
        wanted = weights_file(name, source)
        path = find_file(wanted, weights_dir) or download(wanted, weights_dir, progress)
        return Origin(source, path.name, verify_file(path, name, wanted), str(path))
    path = Path(source).expanduser()
    if not path.is_file():
        close = difflib.get_close_matches(source, KINDS, n=1)
        hint = f"; did you mean '{close[0]}'? It" if close else ""
        raise SteelbenchError(
            f"--weights {source}{hint} is neither a file nor one of {', '.join(KINDS)}; "
            "name an .h5 file of weights, or one of these words."
        )
    return Origin("file", path.name, verify_file(path, name, None), str(path))


class NotFoundError(SteelbenchError):
    """The weights are nowhere on this machine and could not be fetched."""


_unreachable: set[str] = set()


def download(wanted: WeightsFile, weights_dir: Path | None, progress: Progress = lambda *_: None) -> Path:
    """Fetch a file into the first search folder, whole or not at all.

    Raises:
        NotFoundError: if it cannot be fetched; says file, md5, folder and the other way.
        SteelbenchError: if what came has another md5.
    """
    target = search_folders(weights_dir)[0] / wanted.name
    host = wanted.url.split("/")[2]
    try:
        if host in _unreachable:
            raise OSError("no network")
        with urllib.request.urlopen(wanted.url + wanted.name, timeout=CONNECT_SECONDS) as answer:
            _store(answer, target, wanted, progress)
    except (OSError, http.client.HTTPException) as error:
        # One failed attempt is enough for one command: every further one would wait as long again. A host that has an
        # answer was reached, though it lacks this file.
        if not isinstance(error, urllib.error.HTTPError):
            _unreachable.add(host)
        reason = " ".join(str(getattr(error, "reason", error)).split())[:200]
        raise NotFoundError(
            f"weights {wanted.name} were not found and could not be fetched ({reason or type(error).__name__}). "
            f"Put the file ({wanted.megabytes} MB, md5 {wanted.md5 or 'not published'}, "
            f"from {wanted.url}{wanted.name}) into {target.parent}, "
            "or run with --weights random, which leaves the networks untrained."
        ) from None
    return target


def _store(answer: Any, target: Path, wanted: WeightsFile, progress: Progress) -> None:
    total, done, digest = int(answer.headers.get("Content-Length") or 0), 0, hashlib.md5(usedforsecurity=False)
    start = time.monotonic()
    with whole_file(target) as temporary:
        with temporary.open("wb") as file:
            while piece := answer.read1(CHUNK):
                done += len(piece)
                if done > wanted.megabytes * 2e6:
                    raise OSError(f"more than {done} bytes came, {wanted.megabytes} MB were expected")
                seconds = time.monotonic() - start
                if seconds > CONNECT_SECONDS and done < seconds * SLOWEST:
                    raise OSError(f"only {done} bytes came in {seconds:.0f} seconds")
                digest.update(piece)
                file.write(piece)
                progress(wanted.name, done, total)
        if total and done < total:
            raise OSError(f"the connection ended after {done} of {total} bytes")
        if wanted.md5 and digest.hexdigest() != wanted.md5:
            raise SteelbenchError(
                f"{wanted.name} arrived with md5 {digest.hexdigest()}, its publisher states {wanted.md5}; "
                "it was not kept. Try again, or fetch it by another way."
            )
