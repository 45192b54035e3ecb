"""An archive of small synthetic images through `steelbench extract`: killed once, continued, counted, memory sampled.

Run:      python benchmarks/extract_archive.py [--images 100000] [--folder DIR] [--out FILE.json]
Takes:    6 to 15 minutes and 1.3 GB of disk on 2 cores with 100,000 images
Expect:   a row for each image and no path twice, equal embeddings of equal files, peak memory of each process that
          does not grow with the images
Source:   none; gray textures of 64 pixels, every 50th a copy of an earlier one, every 1000th file cut in half,
          mobilenet_v2_035 with random weights.

The command is ended by SIGKILL when half of the parts are there, and its processes of Ray with it; then the same
command is started again. Memory is sampled every two seconds over all processes that the command has started: resident
memory includes what they share, so the sum over them counts Ray's object store several times.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil

from steelbench.errors import SteelbenchError
from steelbench.files import write_json

SIDE, COPIES, DAMAGED, FOLDER = 64, 50, 1000, 1000
MIB = 2**20


@dataclass
class Start:
    """One start of the command.

    Attributes:
        seconds: that it took.
        killed: whether it was ended before its time.
        parts: that it wrote.
        orphans: processes that were alive a moment after the kill.
        line: that it printed.
        driver_mib: peak resident memory of the command.
        actor_mib: of the largest process that it started.
        sum_mib: of all together.
    """

    seconds: float = 0.0
    killed: bool = False
    parts: int = 0
    orphans: int = 0
    line: str = ""
    driver_mib: float = 0.0
    actor_mib: float = 0.0
    sum_mib: float = 0.0


@dataclass
class Outcome:
    """What came of an archive.

    Attributes:
        images: written.
        write_seconds: that took.
        starts: of the command.
        rows: in the parts.
        different_paths: among them.
        missing: images without a row.
        unreadable: rows with a reason.
        copies: readable rows whose content an earlier row has.
        unequal: of those the ones with another embedding.
    """

    images: int
    write_seconds: float
    starts: list[Start] = field(default_factory=list)
    rows: int = 0
    different_paths: int = 0
    missing: int = 0
    unreadable: int = 0
    copies: int = 0
    unequal: int = 0

    @property
    def good(self) -> bool:
        """Return whether every image has one row, and equal images have equal embeddings."""
        return self.rows == self.different_paths == self.images and not self.missing and not self.unequal


def name_of(number: int) -> str:
    """Return the path of an image below the archive."""
    return f"{number // FOLDER:04}/{number:07}.{'png' if number % 2 else 'jpg'}"


def write_archive(folder: Path, images: int) -> float:
    """Write the images, and return the seconds that took."""
    start, rng, last = time.perf_counter(), np.random.default_rng(0), b""
    for number in range(images):
        path = folder / name_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        if number % COPIES != COPIES - 1 or not last:
            coarse = cv2.resize(rng.integers(0, 256, (rng.integers(2, 24), 16), np.uint8), (SIDE, SIDE))
            last = cv2.imencode(path.suffix, coarse)[1].tobytes()
        path.write_bytes(last[: len(last) // 2] if number % DAMAGED == DAMAGED // 2 else last)
    return time.perf_counter() - start


def processes_of(process: psutil.Process) -> list[psutil.Process]:
    """Return what a process has started, and what those have."""
    with contextlib.suppress(psutil.Error):
        return process.children(recursive=True)
    return []


def resident(processes: list[psutil.Process]) -> Iterator[float]:
    """Yield the resident memory of the processes that are alive, MiB."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            yield process.memory_info().rss / MIB


def start(command: list[str], out: Path, kill_at: int | None) -> Start:
    """Run the command to its end, or until so many parts are there.

    Args:
        command: the words.
        out: its folder of parts.
        kill_at: parts; None to let it end.
    """
    found, begin, before = Start(), time.perf_counter(), len(list(out.glob("part-*.parquet")))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    own = psutil.Process(process.pid)
    while process.poll() is None:
        others = processes_of(own)
        sizes = list(resident(others)) or [0.0]
        driver = sum(resident([own]))
        found.driver_mib, found.actor_mib = max(found.driver_mib, driver), max(found.actor_mib, *sizes)
        found.sum_mib = max(found.sum_mib, driver + sum(sizes))
        if kill_at is not None and len(list(out.glob("part-*.parquet"))) >= kill_at:
            os.killpg(process.pid, signal.SIGKILL)
            found.killed, found.orphans = True, end(others)
            break
        time.sleep(2)
    printed, told = process.communicate()
    found.line, found.seconds = printed.strip(), time.perf_counter() - begin
    found.parts = len(list(out.glob("part-*.parquet"))) - before
    if process.returncode and not found.killed:
        raise SteelbenchError(f"the command failed: {told.strip()[-500:]}")
    return found


def end(processes: list[psutil.Process]) -> int:
    """End what outlives a killed command; return how many processes did."""
    time.sleep(2)
    alive = [process for process in processes if process.is_running()]
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=30)
    return len(alive)


def check(out: Path, outcome: Outcome) -> None:
    """Read all parts, one after the other, and count."""
    import pyarrow.parquet as pq

    paths, known = set[str](), dict[str, bytes]()
    for part in sorted(out.glob("part-*.parquet")):
        with pq.ParquetFile(part, page_checksum_verification=True) as file:
            table = file.read()
        outcome.rows += len(table)
        paths.update(table["path"].to_pylist())
        outcome.unreadable += table["embedding"].null_count
        readable = table.filter(table["embedding"].is_valid())
        vectors = readable["embedding"].combine_chunks().flatten().to_numpy().reshape(len(readable), -1)
        for digest, vector in zip(readable["sha256"].to_pylist(), vectors, strict=True):
            content = hashlib.sha256(vector.tobytes()).digest()
            outcome.copies += digest in known
            outcome.unequal += known.setdefault(digest, content) != content
    outcome.different_paths = len(paths)
    outcome.missing = len({name_of(number) for number in range(outcome.images)} - paths)


def main() -> None:
    """Write, kill, continue, check; exit with 1 if a row is missing, twice or other than its copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--backbone", default="mobilenet_v2_035")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--weights", default="random")
    parser.add_argument("--folder", type=Path, help="Parent of a temporary folder for images and parts.")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        data, out = Path(name, "archive"), Path(name, "features")
        outcome = Outcome(options.images, write_archive(data, options.images))
        print(f"{options.images} images written in {outcome.write_seconds:.0f} s", flush=True)
        command = [
            *(sys.executable, "-m", "steelbench", "extract", "--data", str(data), "--out", str(out)),
            *("--backbone", options.backbone, "--image-size", str(options.image_size), "--weights", options.weights),
        ]
        half = max(1, -(-options.images // 256) // 2)
        for kill_at in (half, None):
            outcome.starts.append(start(command, out, kill_at))
            print(outcome.starts[-1], flush=True)
        check(out, outcome)
    seconds = sum(one.seconds for one in outcome.starts)
    print(
        f"{outcome.rows} rows of {outcome.images} images, {outcome.different_paths} different paths, "
        f"{outcome.unreadable} unreadable; {outcome.copies} copies, {outcome.unequal} with another embedding; "
        f"{seconds:.0f} s with both starts, {outcome.images / seconds:.0f} images/s"
    )
    if options.out:
        write_json(options.out, asdict(outcome))
    if not outcome.good:
        sys.exit(1)


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
