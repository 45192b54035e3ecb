"""Measure how `steelbench run` grows with the data: seconds of each phase, memory of each process, sizes of the files.

Run:      python benchmarks/growth.py [--images 10000,30000,100000] [--weights-dir DIR] [--out FILE.json]
Takes:    3 minutes for 10,000 images on 2 cores that others used, too; 100,000 need half an hour and 1.5 GB of disk.
Expect:   exponents of about 1 for the audit, the extraction and the head, less for the report; no process above 4 GiB.

Each size is one `steelbench run --backbones mobilenet_v2_035 --image-size 64 --methods linear` on synthetic images of
64 x 64 pixels, in a process of its own with an empty cache, audit included. The images have 6 classes, whose textures
differ in grain and direction, and planted duplicates: of 100 images two are copies of others, one is a mirrored copy
and one a copy with other noise. Four of 100 have the texture of another class, so that there are wrong answers.
Random weights where no --weights-dir is given.

Phases of the parent process are timed around the functions of `PHASES`, in seconds and in processor seconds (of all
threads and of the processes that it waited for), which other programs change less; the worker's phases are the seconds
of its record. Memory is the resident memory (RSS) of every process of the tree, looked at 5 times a second. An exponent
is the slope of log(seconds) over log(images): 1 is linear, comparing all pairs would be 2.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

SIDE, CLASSES, BLOCK = 64, 6, 500
# Of each 100 images, by place: what the image is made of one before it.
PLANTED = {97: "exact", 98: "exact", 96: "mirrored", 95: "near"}
# Of each 100 images, by place: what has the texture of another class.
MISLABELLED = (10, 35, 60, 85)
# What is timed in the parent process: phase -> module and function. A dot begins a part of the phase above it.
PHASES = {
    "reading": ("steelbench.runs.run", "prepare"),
    "audit and split": ("steelbench.runs.run", "split_and_audit"),
    ". keypoints": ("steelbench.audit.duplicates.search", "_all_keypoints"),
    ". candidates": ("steelbench.audit.duplicates.search", "find_candidates"),
    ". verification": ("steelbench.audit.duplicates.search", "_verify"),
    ". attributes": ("steelbench.audit.audit", "measure_images"),
    ". shortcuts": ("steelbench.audit.audit", "find_shortcuts"),
    ". splits": ("steelbench.runs.preparation", "plan_splits"),
    "audit tables": ("steelbench.runs.run", "_write_audit"),
    "majority": ("steelbench.runs.run", "run_majority"),
    "hog": ("steelbench.runs.run", "run_hog"),
    "worker": ("steelbench.runs.run", "run_jobs"),
    "label check": ("steelbench.runs.run", "check_labels"),
    "timing": ("steelbench.runs.run", "time_models"),
    "leaderboard": ("steelbench.evaluation.leaderboard", "assemble"),
    "pictures": ("steelbench.cli.commands.run", "draw_thumbnails"),
    "activation maps": ("steelbench.runs.activation_maps", "write_activation_maps"),
    "decisions": ("steelbench.runs.decisions", "write_decisions"),
    "report": ("steelbench.report.results_page", "build_report"),
    "seal": ("steelbench.runs.intact", "seal"),
}


def textures(count: int, label: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return random textures, uint8 [count, 64, 64]: noise of the class's grain and direction, and fine noise."""
    waves_y, waves_x = np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None, :]
    angle, grain = np.pi * label / CLASSES, 0.06 + 0.03 * (label % 3)
    along = waves_y * np.sin(angle) + waves_x * np.cos(angle)
    across = waves_x * np.sin(angle) - waves_y * np.cos(angle)
    shape = np.exp(-0.5 * ((np.hypot(along, 0.4 * across) - grain) / 0.05) ** 2)
    noise = np.fft.rfft2(rng.standard_normal((count, SIDE, SIDE), np.float32))
    field = np.fft.irfft2(noise * shape, (SIDE, SIDE))
    field = 120 + 25 * field / field.std(axis=(1, 2), keepdims=True) + rng.normal(0, 12, (count, 1, 1))
    return np.clip(np.rint(field + rng.normal(0, 4, field.shape)), 0, 255).astype(np.uint8)


def write_images(folder: Path, count: int, seed: int = 0) -> dict[str, int]:
    """Write images as PNG, one folder for each class; return how many duplicates of each kind are planted."""
    planted: dict[str, int] = defaultdict(int)
    for start in range(0, count, BLOCK):
        label, rng = start // BLOCK % CLASSES, np.random.default_rng([seed, start])
        images = textures(min(BLOCK, count - start), label, rng)
        others = textures(len(images), (label + 1) % CLASSES, rng)
        own = folder / f"class_{label}"
        own.mkdir(parents=True, exist_ok=True)
        for place, image in enumerate(images):
            kind = PLANTED.get(place % 100, "")
            if place % 100 in MISLABELLED:
                image = others[place]
            if kind:
                planted[kind] += 1
                image = _copy(images[place - 50], kind, rng)
            _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
            (own / f"{start + place:07d}.png").write_bytes(data.tobytes())
    return dict(planted)


def _copy(image: NDArray[np.uint8], kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    if kind == "mirrored":
        return np.ascontiguousarray(image[:, ::-1])
    if kind == "near":
        return np.clip(image + np.rint(rng.normal(3, 2, image.shape)), 0, 255).astype(np.uint8)
    return image


class Watch:
    """The largest resident memory of each process below this one, by its role, and that of all together, in GiB."""

    def __init__(self, pid: int) -> None:
        self.pid, self.ended = pid, threading.Event()
        self.peaks: dict[str, float] = defaultdict(float)
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _look(self) -> None:
        roles: dict[int, str] = {}
        while not self.ended.wait(0.2):
            total = 0.0
            for process in self._processes():
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    if process.pid not in roles:
                        roles[process.pid] = self._role(process)
                    gib = process.memory_info().rss / 2**30
                    total += gib
                    self._raise(roles[process.pid], gib)
            self._raise("all together", total)

    def _processes(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _role(self, process: psutil.Process) -> str:
        if process.pid == self.pid:
            return "parent"
        words = [word for word in process.cmdline() if word.startswith("steelbench.")]
        return words[0].rsplit(".", 1)[-1] if words else process.name()

    def _raise(self, role: str, gib: float) -> None:
        self.peaks[role] = max(self.peaks[role], gib)


def timed_main(log: Path, words: list[str]) -> int:
    """Run `steelbench` with `words`, and write a line for each call of the functions of `PHASES`."""
    from steelbench.cli.exit import main

    lines: list[dict[str, Any]] = []
    own = psutil.Process()

    def timed(phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            start, processor = time.perf_counter(), _processor_seconds()
            result = call(*args, **kwargs)
            lines.append(
                {
                    "phase": phase,
                    "seconds": time.perf_counter() - start,
                    "processor": _processor_seconds() - processor,
                    "gib_after": own.memory_info().rss / 2**30,
                    "peak_gib": _peak_gib(),
                }
            )
            log.write_text(json.dumps(lines), encoding="utf-8")
            return result

        return wrapper

    for phase, (module, name) in PHASES.items():
        found = importlib.import_module(module)
        setattr(found, name, timed(phase, getattr(found, name)))
    return main(words)


def _processor_seconds() -> float:
    """Return the processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def _peak_gib() -> float:
    """Return the largest resident memory of this process so far; 0 where the system does not tell it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")), 0.0)


def measure(count: int, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return what one run on `count` fresh images took."""
    data, results, log = folder / "images", folder / "results", folder / "phases.json"
    start = time.perf_counter()
    planted = write_images(data, count)
    making = time.perf_counter() - start
    weights = ["--weights-dir", str(options.weights_dir)] if options.weights_dir else ["--weights", "random"]
    command = [
        *(sys.executable, str(Path(__file__).resolve()), "--child", str(log), "run", "--data", str(data)),
        *("--backbones", "mobilenet_v2_035", "--image-size", str(SIDE), "--methods", "linear"),
        *(*weights, "--results", str(results)),
    ]
    start = time.perf_counter()
    with (folder / "log.txt").open("wb") as errors:
        process = subprocess.Popen(
            command, env={**os.environ, "STEELBENCH_CACHE": str(folder / "cache")}, stdout=errors, stderr=errors
        )
        with Watch(process.pid) as watch:
            code = process.wait()
    seconds = time.perf_counter() - start
    if code:
        print((folder / "log.txt").read_text(encoding="utf-8", errors="replace")[-3000:], file=sys.stderr)
        raise SystemExit(f"the run on {count} images ended with {code}")
    calls = json.loads(log.read_text(encoding="utf-8"))
    return {
        "images": count,
        "planted": planted,
        "seconds_to_make_images": making,
        "seconds": seconds,
        "phases": _sums(calls, "seconds"),
        "processor": _sums(calls, "processor"),
        "worker": _worker_seconds(results),
        "peak_gib": dict(sorted(watch.peaks.items())),
        "parent_gib": [(call["phase"], call["gib_after"], call["peak_gib"]) for call in calls],
        "bytes": dict(_sizes(results, folder / "cache")),
        "audit": _audit(results),
    }


def _sums(calls: list[dict[str, Any]], key: str) -> dict[str, float]:
    found = dict.fromkeys(PHASES, 0.0)
    for call in calls:
        found[call["phase"]] += call[key]
    return found


def _worker_seconds(results: Path) -> dict[str, float]:
    [record] = (results / "runs").glob("mobilenet*/result.json")
    found: dict[str, float] = json.loads(record.read_text(encoding="utf-8"))["seconds"]
    return found


def _audit(results: Path) -> dict[str, Any]:
    found = json.loads((results / "audit" / "audit.json").read_text(encoding="utf-8"))
    return {"pairs": found["pairs"], "groups": found["groups"]}


def _sizes(results: Path, cache: Path) -> Iterator[tuple[str, int]]:
    for pattern in ("report.html", "results.json", "errors.csv", "audit/*", "runs/*/*", "models/*"):
        for path in sorted(results.glob(pattern)):
            if path.is_file():
                yield path.relative_to(results).as_posix(), path.stat().st_size
    for name, top in (("results", results), ("cache", cache)):
        yield f"{name}, all", sum(path.stat().st_size for path in top.rglob("*") if path.is_file())


def exponents(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return the log-log slopes of all seconds and of the memory of each process over the number of images."""
    found = {}
    for part in ("phases", "processor", "worker", "peak_gib"):
        for name in lines[0][part]:
            values = [line[part].get(name, 0.0) for line in lines]
            if min(values) > 0:
                found[f"{part}: {name}"] = _slope(lines, values)
    return {"seconds": _slope(lines, [line["seconds"] for line in lines]), **found}


def _slope(lines: list[dict[str, Any]], values: list[float]) -> float:
    return float(np.polyfit(np.log([line["images"] for line in lines]), np.log(values), 1)[0])


def show(lines: list[dict[str, Any]], slopes: dict[str, float]) -> None:
    """Print the table of docs/scale.md: a row for each phase and each process, a column for each size."""
    print("| | " + " | ".join(f"{line['images']:,} images" for line in lines) + " | exponent |")
    print("|---" * (len(lines) + 2) + "|")
    _row("whole run, s", [line["seconds"] for line in lines], slopes.get("seconds"))
    for part, title in (
        ("phases", "{}, s"),
        ("processor", "{}, processor s"),
        ("worker", "worker: {}, s"),
        ("peak_gib", "peak of {}, GiB"),
    ):
        for name in lines[-1][part]:
            _row(title.format(name), [line[part].get(name, 0.0) for line in lines], slopes.get(f"{part}: {name}"))
    for name in ("report.html", "results, all", "cache, all"):
        _row(f"{name}, MB", [line["bytes"].get(name, 0) / 1e6 for line in lines], None)


def _row(title: str, values: list[float], slope: float | None) -> None:
    cells = [f"{value:.0f}" if value >= 100 else f"{value:.2f}" for value in values]
    print(f"| {title} | {' | '.join(cells)} | {'' if slope is None else f'{slope:.2f}'} |")


def main() -> None:
    """Measure each size, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="10000,30000,100000")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--keep", type=Path, help="a folder that keeps images, cache and results; else they are deleted"
    )
    options = parser.parse_args()
    from steelbench.files import write_json
    from steelbench.machine import environment

    lines: list[dict[str, Any]] = []
    slopes: dict[str, float] = {}
    for count in map(int, options.images.split(",")):
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if options.keep:
                folder = options.keep / str(count)
                folder.mkdir(parents=True)
            lines.append(measure(count, folder, options))
        slopes = exponents(lines) if len(lines) > 1 else {}
        if options.out:
            # After each size: a later one may be interrupted.
            write_json(options.out, {"lines": lines, "exponents": slopes, "machine": environment()})
        print(f"{count} images: {lines[-1]['seconds']:.0f} s", flush=True)
    show(lines, slopes)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(timed_main(Path(sys.argv[2]), sys.argv[3:]))
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
