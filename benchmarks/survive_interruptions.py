"""Runs that are killed, that fill their disk and whose files cannot be written, each started again until it is done.

Run:      python benchmarks/survive_interruptions.py [--kills 200] [--disks 10] [--errors 20] [--out FILE.json]
Takes:    about 25 seconds for each kill, disk and error on 2 cores; disks need root and Linux
Expect:   every run that was started again ends with the same leaderboard (but for seconds) and the same predictions
          as one that nothing happened to, byte for byte, and no start shows a traceback
Source:   none; 120 demo images, two networks with random weights, two folds, softmax and supcon.

A kill is SIGKILL of the whole process group at a random moment of a run's usual time; the same command is started
again, and killed again, until it ends before its moment has come. A disk is a file system that is too small by some
share of what a run writes, the last one by its report only; then it grows. An error is `EIO` from the n-th call of
`os.fsync` or `os.replace` of every process.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from steelbench.data.demo import write_demo
from steelbench.errors import SteelbenchError
from steelbench.files import write_json

IMAGES = 120
OPTIONS = (
    "--backbones", "mobilenet_v2_035,mobilenet_v2", "--methods", "softmax,supcon", "--folds", "2", "--epochs", "2",
    "--weights", "random", "--image-size", "32", "--timing", "off", "--set", "supcon.classifier_epochs=2",
)  # fmt: skip
# Every process that Python starts imports it; it fails one call, then stays away.
FAILING = """
import errno, os
name, number = os.environ["FAILING_CALL"].split(":")
real, calls = getattr(os, name), [0]
def failing(*arguments, **more):
    calls[0] += 1
    if calls[0] == int(number):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    return real(*arguments, **more)
setattr(os, name, failing)
"""
SECONDS = 600


@dataclass
class Result:
    """What was done in one way, and what came of it.

    Attributes:
        what: kills, disks or errors.
        tried: how often something happened to a run.
        runs: runs that were then brought to their end.
        different: those that did not end as the undisturbed one, by the files that differ.
        unclear: starts that showed a traceback, or failed without a sentence, by their last line.
    """

    what: str
    tried: int = 0
    runs: int = 0
    different: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """Where the runs take place.

    Attributes:
        folder: of everything.
        data: the demo images.
        expected: file -> digest, of the run that nothing happened to.
        seconds: that it took.
    """

    folder: Path
    data: Path
    expected: dict[str, str]
    seconds: float

    def start(self, results: Path, cache: Path, **environment: str) -> subprocess.Popen[str]:
        """Start the command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "steelbench", "run", "--data", self.data, "--results", results, *OPTIONS],
            env={**os.environ, "STEELBENCH_CACHE": str(cache), **environment},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def finish(self, results: Path, cache: Path, found: Result) -> None:
        """Start the command undisturbed, and compare what it leaves."""
        process = self.start(results, cache)
        _, told = process.communicate(timeout=SECONDS)
        self.compare(results, process.returncode, told, found)

    def compare(self, results: Path, code: int, told: str, found: Result) -> None:
        """Note what is not as in the undisturbed run after a start that came to its end."""
        found.runs += 1
        note_unclear(found, code, told)
        different = [f"exit code {code}: {last_line(told)}"] if code else differences(digests(results), self.expected)
        found.different += different
        print(f"run {found.runs} ended: {', '.join(different) or 'the same files'}", flush=True)


def digests(results: Path) -> dict[str, str]:
    """Return the digest of the leaderboard without its seconds, and of each run's predictions."""
    with (results / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        lines = [{key: value for key, value in line.items() if key != "seconds"} for line in csv.DictReader(file)]
    found = {"leaderboard.csv": hashlib.sha256(repr(lines).encode()).hexdigest()}
    for path in sorted(results.glob("runs/*/predictions.csv")):
        found[f"{path.parent.name}/{path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def differences(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Return the names of files that are missing, new, or other than expected."""
    return sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))


def last_line(text: str) -> str:
    """Return the last line of a text, "" of an empty one."""
    return (text.strip().splitlines() or [""])[-1][:300]


def note_unclear(found: Result, code: int, told: str) -> None:
    """Note a start that showed a traceback, spoke of a fault of the program, or failed without a word."""
    if "Traceback" in told or "fault in steelbench" in told or (code > 0 and not told.strip()):
        found.unclear.append(last_line(told))
        print(f"unclear: {told}", flush=True)


def prepare(folder: Path) -> Bench:
    """Write the images and let one run end undisturbed."""
    data = write_demo(folder / "demo", IMAGES, 0)
    bench = Bench(folder, data, {}, 0.0)
    start = time.perf_counter()
    process = bench.start(folder / "whole", folder / "whole-cache")
    _, told = process.communicate(timeout=SECONDS)
    if process.returncode:
        raise SteelbenchError(f"the undisturbed run failed: {last_line(told)}")
    return Bench(folder, data, digests(folder / "whole"), time.perf_counter() - start)


def kill(bench: Bench, count: int, rng: random.Random) -> Result:
    """Kill runs at random moments, `count` times in all."""
    found, number, usual = Result("kills"), 0, bench.seconds
    while found.tried < count:
        number += 1
        results, cache = bench.folder / f"killed-{number}", bench.folder / f"killed-{number}-cache"
        begun: float | None = time.perf_counter()
        while not ended_before(bench, rng.uniform(0, usual), results, cache, found):
            begun = None
            print(f"kill {found.tried} of {count}", flush=True)
            if found.tried == count:
                bench.finish(results, cache, found)
                break
        if begun is not None:
            # The machine may be faster than when the undisturbed run was timed; later moments would kill nothing.
            usual = min(usual, time.perf_counter() - begun)
        shutil.rmtree(results)
        shutil.rmtree(cache)
    return found


def ended_before(bench: Bench, seconds: float, results: Path, cache: Path, found: Result) -> bool:
    """Start the command, kill it after some seconds, and return whether it came to its end before."""
    process = bench.start(results, cache)
    try:
        _, told = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate()
        found.tried += 1
        note_unclear(found, 0, told)
        return False
    bench.compare(results, process.returncode, told, found)
    return True


def fill(bench: Bench, count: int) -> Result:
    """Let runs fill disks of growing sizes, the last one in its report; then let the disk grow."""
    found = Result("disks")
    whole = used(bench.folder / "whole")
    report = (bench.folder / "whole" / "report.html").stat().st_size
    sizes = [int(whole * (number + 1) / count) for number in range(count - 1)] + [whole - report // 2]
    for number, size in enumerate(sizes):
        place, cache = bench.folder / f"disk-{number}", bench.folder / f"disk-{number}-cache"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            process = bench.start(place / "results", cache)
            _, told = process.communicate(timeout=SECONDS)
            found.tried += 1
            note_unclear(found, process.returncode, told)
            print(f"disk of {size / 1e6:.1f} MB: exit code {process.returncode}: {last_line(told)}", flush=True)
            subprocess.run(["mount", "-o", f"remount,size={4 * whole}", place], check=True)
            bench.finish(place / "results", cache, found)
        finally:
            subprocess.run(["umount", "-l", place], check=True)
    return found


def used(folder: Path) -> int:
    """Return the bytes of a folder's files, as a file system counts them, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def fail(bench: Bench, count: int, rng: random.Random) -> Result:
    """Let one call of the system fail in every process of a run."""
    found = Result("errors")
    hook = bench.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(FAILING, encoding="utf-8")
    for number in range(count):
        call = f"{'fsync' if number % 2 else 'replace'}:{rng.randint(1, 40)}"
        results, cache = bench.folder / f"error-{number}", bench.folder / f"error-{number}-cache"
        path = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH")]))
        process = bench.start(results, cache, PYTHONPATH=path, FAILING_CALL=call)
        _, told = process.communicate(timeout=SECONDS)
        found.tried += 1
        note_unclear(found, process.returncode, told)
        print(f"{call}: exit code {process.returncode}: {last_line(told)}", flush=True)
        bench.finish(results, cache, found)
    return found


def main() -> None:
    """Do what was asked for, print a line for each way, and exit with 1 if anything differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--disks", type=int, default=10)
    parser.add_argument("--errors", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        bench = prepare(Path(name))
        print(f"undisturbed: {bench.seconds:.0f} s, {len(bench.expected)} files to compare", flush=True)
        ways: Sequence[tuple[int, Callable[[], Result]]] = (
            (options.kills, lambda: kill(bench, options.kills, rng)),
            (options.disks, lambda: fill(bench, options.disks)),
            (options.errors, lambda: fail(bench, options.errors, rng)),
        )
        found = [way() for count, way in ways if count]
    for one in found:
        print(f"{one.tried} {one.what}, {one.runs} runs: {len(one.different)} different, {len(one.unclear)} unclear")
    if options.out:
        write_json(options.out, {"results": [asdict(one) for one in found]})
    if any(one.different or one.unclear for one in found):
        sys.exit(1)


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
