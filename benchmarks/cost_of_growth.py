"""Measure seconds and peak memory of `steelbench run` against images, epochs, heads (folds x seeds) and backbones.

Run:      python benchmarks/cost_of_growth.py [--images 180,360,720,1440] [--extraction 5000,20000] [--out DIR]
Takes:    about 10 minutes on 2 cores with the default sizes, and 5 more for the extraction of 20,000 images.
Expect:   seconds grow linearly with images, the first time only; epochs and heads cost little beside the extraction of
          features; the memory of extraction is the same for 5,000 and for 20,000 images, because images are read in
          batches and not kept.

Each point is a `steelbench run` on demo images in a process of its own, with random weights. Only the curve of the
images starts with an empty cache; the other curves share a full one, as extraction is not what they measure.
The curves are drawn as PNG beside the JSON.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil


def memory_of(pid: int) -> float:
    """Return the resident memory of a process and its children, in GiB; 0 once it has ended."""
    try:
        process = psutil.Process(pid)
        members = [process, *process.children()]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0
    for member in members:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total / 2**30


def run(data: Path, cache: Path, *options: str) -> dict[str, float]:
    """Return seconds and peak memory (GiB) of one `steelbench run`."""
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "steelbench", "run", "--data", str(data), "--weights", "random"]
        start = time.perf_counter()
        process = subprocess.Popen(
            [*command, *options, "--results", results],
            env={**os.environ, "STEELBENCH_CACHE": str(cache)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        peak, ended = [0.0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.2):
                peak[0] = max(peak[0], memory_of(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - start
        ended.set()
        watcher.join()
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}")
        return {"seconds": seconds, "peak_gib": peak[0]}


def extraction(count: int, folder: Path) -> dict[str, float]:
    """Return seconds and peak memory (GiB) of the extraction of `count` demo images by mobilenet_v2_035."""
    from steelbench.data.demo import cached_demo
    from steelbench.data.inspection import inspect_dataset
    from steelbench.data.readers import read_dataset
    from steelbench.features.cache import spaces
    from steelbench.features.spec import ImageRef
    from steelbench.runs.jobs import Job, SplitRef
    from steelbench.runs.scheduler import run_jobs

    root, cache = cached_demo(folder, count), folder / f"extraction-{count}"
    found = inspect_dataset(read_dataset(str(root))[1])
    job = Job(
        results=str(folder), cache=str(cache), data_root=str(root), bit_depth=None, backbone="mobilenet_v2_035",
        image_size=224, origin={"kind": "random", "file": "", "md5": "", "path": ""}, engine="auto",
        precision="float32", verify="sample", track=False, classes=list(found.classes),
        images=[ImageRef(path=image.sample.path, label=0, digest=image.bytes_digest) for image in found.images],
        splits=[SplitRef(seed=0, fold=0, train=list(range(64)), validation=[], test=[])], tasks=[], limit=count,
    )  # fmt: skip
    start = time.perf_counter()
    run_jobs([job], folder, lambda job, event: None)
    [space] = spaces(cache)
    images = len({image.digest for image in job.images})
    if len(space.digests()) != images:
        raise SystemExit(f"{len(space.digests())} of {images} images have features")
    return {"x": images, "seconds": time.perf_counter() - start, "peak_gib": space.measurements["memory_gib"]}


def curves(images: list[int], folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return the points of all four curves, by the curve's name."""
    from steelbench.data.demo import cached_demo

    small = ("--backbones", "mobilenet_v2_035")
    largest = cached_demo(folder, max(images))
    full = folder / "full"
    found: dict[str, list[dict[str, float]]] = {"images": [], "epochs": [], "heads": [], "backbones": []}

    def point(curve: str, x: int, data: Path, cache: Path, *options: str) -> None:
        found[curve].append({"x": x, **run(data, cache, *options)})
        last = found[curve][-1]
        print(f"{curve:10}{x:8}{last['seconds']:10.1f} s{last['peak_gib']:8.2f} GiB", flush=True)

    for count in images:
        point("images", count, cached_demo(folder, count), folder / f"cache-{count}", *small)
    names = ["mobilenet_v2_035", "mobilenet_v2", "efficientnet_b0", "densenet121"]
    run(largest, full, "--backbones", ",".join(names))
    for epochs in (5, 10, 20, 40):
        point("epochs", epochs, largest, full, *small, "--epochs", str(epochs))
    for folds, seeds in ((1, 1), (3, 1), (5, 1), (5, 3)):
        point("heads", folds * seeds, largest, full, *small, "--folds", str(folds), "--seeds", str(seeds))
    for count in range(1, len(names) + 1):
        point("backbones", count, largest, full, "--backbones", ",".join(names[:count]))
    return found


def draw(found: dict[str, list[dict[str, float]]], path: Path) -> None:
    """Draw the curves, seconds above memory, and write them as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn

    seaborn.set_theme(style="whitegrid", palette="colorblind")
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.5), sharex="col")
    titles = {"images": "images", "epochs": "epochs", "heads": "heads (folds x seeds)", "backbones": "backbones"}
    for column, (curve, title) in enumerate(titles.items()):
        for row, (key, label) in enumerate((("seconds", "seconds"), ("peak_gib", "peak memory, GiB"))):
            axis = axes[row][column]
            axis.plot([p["x"] for p in found[curve]], [p[key] for p in found[curve]], marker="o")
            axis.set_ylim(bottom=0)
            axis.set_ylabel(label if column == 0 else "")
            axis.set_xlabel(title if row == 1 else "")
    figure.suptitle("steelbench run: cost against size")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, draw, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="180,360,720,1440")
    parser.add_argument("--extraction", default="", help="memory of extraction alone, such as 5000,20000")
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args()
    from steelbench.files import write_json
    from steelbench.machine import environment

    with tempfile.TemporaryDirectory() as folder:
        alone = [extraction(int(word), Path(folder)) for word in options.extraction.split(",") if word]
        for line in alone:
            print(f"extraction of {line['x']} images: {line['seconds']:.0f} s, {line['peak_gib']:.3f} GiB", flush=True)
        found = curves([int(word) for word in options.images.split(",") if word], Path(folder))
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(options.out / "cost_of_growth.json", {"curves": found, "extraction": alone, "machine": environment()})
    draw(found, options.out / "cost_of_growth.png")
    print(json.dumps({curve: [round(p["seconds"], 1) for p in points] for curve, points in found.items()}))


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
