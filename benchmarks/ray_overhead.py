"""What `--runner ray` costs on one machine, and what more nodes save where extraction is slow.

Run:      python benchmarks/ray_overhead.py [--images 1800] [--size 96] [--rounds 3] [--slow 2000] [--out FILE.json]
Takes:    about 3 minutes for each round on 2 cores, and 2 for the slow extraction
Expect:   a run on a local Ray, which starts and stops with it, takes at most 1.3 times that of the local runner;
          four nodes compute a slow extraction at least 3.5 times as fast as one
Source:   none; demo images, two networks with random weights, empty caches.

The two runners take turns, each in a process of its own with a cache of its own; the ratio is that of the medians.
The slow extraction is played: a node sleeps so long for each image and computes nothing, so that the cores here
do not matter; what is measured is how well the nodes are kept busy. Their processes are started before.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.data.demo import write_demo
from steelbench.features.spec import ImageRef, Part
from steelbench.files import write_json
from steelbench.records import RunKey
from steelbench.runs.jobs import Event, Job, RunData, SplitRef, Task

BACKBONES = "mobilenet_v2_035,efficientnet_lite0"
# Seconds for each image of the slow extraction.
SLEEP = 0.02


def seconds_of_run(data: Path, size: int, runner: str) -> float:
    """Return the seconds of one `steelbench run` with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "steelbench", "run", "--data", str(data), "--results", f"{folder}/results"]
        command += ["--backbones", BACKBONES, "--weights", "random", "--image-size", str(size), "--runner", runner]
        start = time.perf_counter()
        subprocess.run(
            [*command, "--timing", "off"],
            env={**os.environ, "STEELBENCH_CACHE": f"{folder}/cache"},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start


def overhead(images: int, size: int, rounds: int) -> dict[str, Any]:
    """Return the seconds of both runners, in turns, and their ratio."""
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    with tempfile.TemporaryDirectory() as folder:
        data = write_demo(Path(folder) / "demo", images)
        for number in range(rounds):
            for runner in seconds if number % 2 == 0 else reversed(seconds):
                seconds[runner].append(seconds_of_run(data, size, runner))
                print(f"{runner}: {seconds[runner][-1]:.1f} s", flush=True)
    ratio = statistics.median(seconds["ray"]) / statistics.median(seconds["local"])
    print(f"--runner ray takes {ratio:.2f} times --runner local")
    return {"images": images, "size": size, "seconds": seconds, "ratio": ratio}


def slow_functions() -> Any:
    """Return functions in the place of those that nodes run; inside, so that they travel to the nodes."""
    from steelbench.runs.ray_runner.functions import Functions
    from steelbench.runs.ray_runner.orders import Described, Outcome, Shard
    from steelbench.runs.ray_runner.parcels import Parcel

    def describe(order: Any, _whole: Any, *_: Any) -> Described:
        return Described({"backbone": order.part.backbone, "dim": 8}, "keras", 8, [], {}, 0.0)

    def extract(order: Any, *_: Any) -> Shard:
        time.sleep(SLEEP * len(order.images))
        return Shard(np.zeros((len(order.images), 8), np.float32), SLEEP * len(order.images), 0.0)

    def run(*_: Any) -> Iterator[Outcome]:
        yield Outcome([Event(kind="done", run="slow-softmax-s0-f0")], Parcel({}))

    return Functions(describe, extract, run)


def slow_job(folder: Path, images: int) -> Job:
    """Return a job on images that are a byte each."""
    root = folder / "data"
    root.mkdir(exist_ok=True)
    for row in range(images):
        (root / f"{row}.png").write_bytes(b"x")
    split = SplitRef(seed=0, fold=0, train=list(range(images)), validation=[], test=[])
    refs = [ImageRef(path=f"{row}.png", digest=str(row), label=0) for row in range(images)]
    return Job(
        results=str(folder / "results"),
        cache=tempfile.mkdtemp(dir=folder),
        parts=[Part(backbone="slow", image_size=32, origin={"kind": "random"})],
        engine="keras",
        precision="float32",
        verify="sample",
        track=False,
        tasks=[Task(key=RunKey(backbone="slow", method="softmax"), settings={}, fingerprint="", offered=True)],
        data=RunData(root=str(root), bit_depth=None, classes=["a"], images=refs, splits=[split]),
    )


def seconds_of_slow(nodes: int, images: int) -> float:
    """Return the seconds of the slow extraction on so many nodes of one processor."""
    import ray
    from ray.cluster_utils import Cluster

    from steelbench.ray_session import connected
    from steelbench.runs.ray_runner.cluster import Needs, Tasks, task_environment
    from steelbench.runs.ray_runner.driver import Driver

    store = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1, **store)
        with (
            tempfile.TemporaryDirectory() as folder,
            connected(cluster.address, task_environment(local=True), lambda _: None),
        ):
            functions, place = slow_functions(), Path(folder)
            for job in (slow_job(place, 64 * nodes), slow_job(place, images)):
                start = time.perf_counter()
                tasks = Tasks(Needs.of(ray.nodes()))
                failures = Driver([job], place / "results", lambda _job, _event: None, tasks, functions).run()
                if failures:
                    raise SystemExit(f"it failed: {failures}")
            return time.perf_counter() - start
    finally:
        cluster.shutdown()


def speed_up(images: int) -> dict[str, Any]:
    """Return the seconds of one and of four nodes, and their ratio."""
    seconds = {str(nodes): seconds_of_slow(nodes, images) for nodes in (1, 4)}
    ratio = seconds["1"] / seconds["4"]
    print(f"slow extraction: {seconds['1']:.1f} s on one node, {seconds['4']:.1f} s on four, {ratio:.2f} times as fast")
    return {"images": images, "sleep": SLEEP, "seconds": seconds, "ratio": ratio}


def main() -> None:
    """Measure both, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1800, help="of both runners; 0 leaves this out")
    parser.add_argument("--size", type=int, default=96, help="side that the networks see, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow", type=int, default=2000, help="images of the slow extraction; 0 leaves it out")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    if asked.images:
        found["overhead"] = overhead(asked.images, asked.size, asked.rounds)
    if asked.slow:
        found["slow"] = speed_up(asked.slow)
    if asked.out:
        write_json(asked.out, found)


if __name__ == "__main__":
    main()
