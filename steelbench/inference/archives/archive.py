"""Images below a local folder or a URL of fsspec (`s3://bucket/folder`): listed by their suffix, read within bounds."""

from __future__ import annotations

import importlib.util
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from steelbench.data.images import (
    EXTENSIONS,
    MAX_BYTES,
    OpenedImage,
    UnreadableImageError,
    decode,
    read_bytes,
    refuse_bytes,
)
from steelbench.data.samples import is_passed_over, split_suffix
from steelbench.errors import SteelbenchError

# What says that a file cannot be read now or ever; other errors of a storage may pass.
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# Damage of a member of a packed archive.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)
# Seconds to wait before each new try of a storage that did not answer.
PAUSES = (1, 5)


def is_url(text: str) -> bool:
    """Return whether a text is a URL, such as `s3://bucket/folder` or `zip://::file:///images.zip`."""
    return "://" in text


@dataclass(frozen=True)
class Archive:
    """A folder of images, wherever it lies.

    Attributes:
        url: as given, without a slash at its end; of a local folder its absolute path.
        root: the path of a local folder; None elsewhere.
        place: the path within the file system of `url`.
        system: that file system, of fsspec; None for a local folder.
    """

    url: str
    root: Path | None
    place: str = ""
    system: Any = None

    def paths(self) -> list[str]:
        """Return the paths of all images, relative to the folder with `/`, sorted; hidden ones are passed over.

        Raises:
            SteelbenchError: if a storage does not answer.
            OSError: if a local folder may not be read.
        """
        try:
            return sorted(_images(self._folders()))
        except SteelbenchError:
            raise
        except Exception as error:
            if self.root is not None:
                raise
            raise SteelbenchError(f"{self.url} cannot be listed ({_reason(error)}).") from None

    def read(self, path: str) -> bytes:
        """Return the bytes of an image.

        Raises:
            UnreadableImageError: if it cannot be opened, is empty, no file, or larger than `data.images.MAX_BYTES`.
            SteelbenchError: if a storage does not answer.
        """
        if printable_path(path) != path:
            raise UnreadableImageError("its name is not valid UTF-8; rename it")
        if self.root is not None:
            return read_bytes(self.root / path)
        for pause in (*PAUSES, None):
            try:
                return self._fetch(path)
            except (*LASTING, *DAMAGE) as error:
                raise UnreadableImageError(f"cannot be opened ({_reason(error)})") from None
            except UnreadableImageError:
                raise
            except Exception as error:
                # A row that says "unreadable" would stay, so what may pass ends the command, which goes on later.
                if pause is None:
                    raise SteelbenchError(
                        f"{joined(self.url, path)} cannot be read ({_reason(error)}); the same command goes on where "
                        "it stopped."
                    ) from None
                time.sleep(pause)
        raise AssertionError("every try returns or raises")

    def _fetch(self, path: str) -> bytes:
        full = f"{self.place}/{path}" if self.place else path
        found = self.system.info(full)
        if found.get("type") != "file":
            raise UnreadableImageError("no such file")
        if found.get("size") is not None:
            refuse_bytes(found["size"])
        with self.system.open(full, "rb") as file:
            # Some storages do not know a size, or know another one.
            data = file.read(MAX_BYTES + 1)
        refuse_bytes(len(data))
        return bytes(data)

    def _folders(self) -> Iterator[tuple[str, list[str], Iterable[str]]]:
        """Yield each folder's path below the archive's, the names of its folders, which may be changed, and files."""
        if self.root is not None:
            for place, folders, names in os.walk(self.root, onerror=_raise):
                relative = Path(place).relative_to(self.root).as_posix()
                yield "" if relative == "." else relative, folders, names
            return
        for place, folders, names in self.system.walk(self.place, on_error="raise"):
            yield place.strip("/").removeprefix(self.place.strip("/")).strip("/"), folders, names


@dataclass(frozen=True)
class StoredImage:
    """An image of an archive behind a URL.

    Attributes:
        url: of the archive.
        path: below it.
    """

    url: str
    path: str

    def __str__(self) -> str:
        """Return the URL of the image."""
        return joined(self.url, self.path)

    def open(self, bit_depth: int | None) -> OpenedImage:
        """Read and decode the image.

        Raises:
            UnreadableImageError: with the reason.
            SteelbenchError: if the storage does not answer.
        """
        data = open_archive(self.url).read(self.path)
        return OpenedImage(data, decode(data, bit_depth))


def joined(url: str, path: str) -> str:
    """Return the URL of what lies at a path below another; of a chain (`zip://::s3://...`) the path of the first."""
    first, chained, rest = url.partition("::")
    return f"{first if first.endswith('://') else first.rstrip('/') + '/'}{path}{chained}{rest}"


def printable_path(path: str) -> str:
    """Return a path as UTF-8 can hold it; bytes of a name that is no UTF-8 are escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


@cache
def open_archive(url: str) -> Archive:
    """Open a local folder or a URL; of a URL nothing is asked or read yet.

    Args:
        url: a path, `file://...`, or a URL of any file system of fsspec.

    Raises:
        SteelbenchError: if there is no such local folder, the package of a storage is missing, or the URL holds a
            password.
    """
    if not is_url(url):
        return _local(url, Path(url).expanduser())
    system, place = _system(url)
    if "file" in _protocols(system):
        return _local(url, Path(place))
    return Archive(url.rstrip("/") if "::" not in url else url, None, place.rstrip("/"), system)


def found_archive(url: str) -> Archive:
    """Open a local folder or a URL, and ask whether it is there.

    Raises:
        SteelbenchError: as `open_archive`; or if the folder is not there, or its storage does not answer.
    """
    archive = open_archive(url)
    if archive.root is None and not _ask(url, archive.system.isdir, archive.place):
        raise SteelbenchError(_missing(url, _ask(url, archive.system.exists, archive.place)))
    return archive


def stored_images(url: str) -> list[StoredImage]:
    """Return the image that a URL names, or those below it, sorted.

    Raises:
        SteelbenchError: as `found_archive`, or if it holds no image.
    """
    system, place = _system(url)
    if place.strip("/") and _ask(url, system.isfile, place):
        first, chained, rest = url.partition("::")
        above, _, name = first.rpartition("/")
        return [StoredImage(f"{above}{'/' if above.endswith(':/') else ''}{chained}{rest}", name)]
    archive = found_archive(url)
    found = [StoredImage(archive.url, path) for path in archive.paths()]
    if not found:
        raise SteelbenchError(no_images(url))
    return found


def no_images(url: str) -> str:
    """Return the sentence about a folder without an image."""
    return f"{url} holds no image; expected files that end in {' '.join(sorted(EXTENSIONS))}."


def _local(url: str, root: Path) -> Archive:
    if not root.is_dir():
        raise SteelbenchError(_missing(url, root.exists()))
    absolute = root.resolve()
    return Archive(absolute.as_posix(), absolute)


def _missing(url: str, exists: bool) -> str:
    what = "is a file" if exists else "does not exist"
    return f"{url} {what}; name a folder of images, or the URL of one, such as s3://bucket/folder."


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    _refuse_password(url)
    if importlib.util.find_spec("fsspec") is None:
        raise SteelbenchError(
            f"{url} is a URL, for which the package fsspec is needed; pip install 'steelbench[cluster]', or name a "
            "local folder."
        )
    if url.startswith("memory:"):
        raise SteelbenchError(f"{url} is the memory of one process, and others read the images; name another URL.")
    import fsspec

    try:
        system, place = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise SteelbenchError(
            f"{url} cannot be opened ({_reason(error)}); install what it needs, or copy it."
        ) from None
    # Of ten million images the listings would stay in memory.
    if hasattr(system, "dircache"):
        system.dircache.use_listings_cache = False
    return system, str(place)


def _refuse_password(url: str) -> None:
    """Raise for a URL with a password; the URL is written into the record of what was made of it."""
    try:
        holds = any(urlsplit(part).password for part in url.split("::"))
    except ValueError as error:
        raise SteelbenchError(f"{url} is no URL ({error}); name a folder, such as s3://bucket/folder.") from None
    if holds:
        raise SteelbenchError(
            "the URL holds a password, which would be written into records; give it by the storage's own variables or "
            "files, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        )


def _ask(url: str, question: Callable[[str], object], place: str) -> bool:
    try:
        return bool(question(place))
    except Exception as error:
        # Each storage raises errors of its own: no credentials, no network, no such bucket.
        raise SteelbenchError(f"{url} cannot be reached ({_reason(error)}).") from None


def _protocols(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def _images(folders: Iterator[tuple[str, list[str], Iterable[str]]]) -> Iterator[str]:
    for place, inner, names in folders:
        inner[:] = [name for name in inner if not is_passed_over(name)]
        above = f"{place}/" if place else ""
        for name in names:
            if split_suffix(name)[1] in EXTENSIONS and not is_passed_over(name):
                yield above + name


def _raise(error: OSError) -> None:
    raise error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
