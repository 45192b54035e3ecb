"""The last files that were decoded, kept for several threads, so that all crops of a file cost one decoding."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")
# More than the images that `ordered_map` reads ahead: a thread that was held up still finds its file.
MOST_FILES = 128
MOST_BYTES = 256 * 1024 * 1024


class RecentFiles(Generic[T]):
    """A cache of file contents; the least recently used ones are dropped, a changed file is read again.

    A thread that asks for what another one is reading waits for it.

    Args:
        read: the contents of a path, with the used bits of 16-bit files.
        size: bytes of some contents.
    """

    def __init__(self, read: Callable[[Path, int | None], T], size: Callable[[T], int]) -> None:
        self._read, self._size, self._lock = read, size, Lock()
        self._kept: OrderedDict[object, Future[T]] = OrderedDict()

    def __call__(self, path: Path, bit_depth: int | None) -> T:
        """Return the contents of a file, read if they are not kept.

        Raises:
            Exception: whatever `read` raises, also when it is asked again.
        """
        key = (path, bit_depth, *_state(path))
        with self._lock:
            known = self._kept.get(key)
            found: Future[T] = Future() if known is None else known
            self._kept[key] = found
            self._kept.move_to_end(key)
        if known is None:
            try:
                found.set_result(self._read(path, bit_depth))
            except BaseException as error:
                found.set_exception(error)
            self._drop()
        return found.result()

    def _drop(self) -> None:
        with self._lock:
            while len(self._kept) > 1 and (len(self._kept) > MOST_FILES or self._total() > MOST_BYTES):
                self._kept.popitem(last=False)

    def _total(self) -> int:
        done = [found for found in self._kept.values() if found.done() and not found.exception()]
        return sum(self._size(found.result()) for found in done)


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return status.st_mtime_ns, status.st_size
