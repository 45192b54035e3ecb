"""Measure `steelbench predict`: seconds of a cold start, and images per second beside those of the engine alone.

Run:      python benchmarks/predict_speed.py [--backbones a,b] [--images N] [--out FILE.json]
Takes:    about 5 minutes for 5000 images and two backbones on 2 cores, a minute of it to draw the images.
Expect:   with OpenVINO one image under 6 s at the first start, under 1.5 s with the kept network; on 5000 images at
          least 0.8 of the engine's own images/s for networks of efficientnet_b0's size and larger. Below a millisecond
          for each image, decoding and resizing cost as much as the network, on the same cores. `ratio` and
          `first_start_ratio` compare figures of one run.
Weights:  random; they cost the same time as trained ones.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLASSES = 6


def make_model(backbone: str, folder: Path) -> Path:
    """Write a model with random weights and its card, in a process of its own."""
    import numpy as np

    from steelbench.models.head import Dense, Head
    from steelbench.models.pretrained import encoder_with_weights
    from steelbench.models.saved_model import Reloaded, save, stitch, write_card
    from steelbench.models.weight_files import Origin

    encoder = encoder_with_weights(backbone, Origin("random"))
    kernel = np.random.default_rng(0).standard_normal((encoder.output.shape[-1], CLASSES)).astype(np.float32)
    head = Head((Dense(kernel, np.zeros(CLASSES, np.float32), "softmax"),))
    path = folder / f"{backbone}.h5"
    save(stitch(encoder, head, backbone), path)
    fields = {"name": backbone, "classes": [f"class {number}" for number in range(CLASSES)]}
    write_card(path, fields, Reloaded(path).probe())
    return path


def engine_rate(model: Path, images: int) -> float:
    """Return images per second of the engine on images that are in memory, resized."""
    import numpy as np

    from steelbench.inference.network import open_network

    network = open_network(model, images=images)
    size = network.lengths.size
    batch = np.random.default_rng(0).uniform(0, 255, (network.batch, size, size, 3)).astype(np.float32)
    list(network.run([batch] * 4))
    count = -(-images // network.batch)
    start = time.perf_counter()
    list(network.run(batch for _ in range(count)))
    return count * network.batch / (time.perf_counter() - start)


def seconds_of(*words: str) -> float:
    """Return the seconds that a command takes, from the start of its process to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "steelbench", *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def first_starts(model: Path, image: str) -> tuple[float, float]:
    """Return the shortest first start with Keras's answers on the card, and without them, in turn, each three times."""
    beside, found = model.with_suffix(".json"), ([], [])
    whole = beside.read_text("utf-8")
    card = json.loads(whole)
    for _ in range(3):
        for seconds, probe in zip(found, (card["probe"], None), strict=True):
            beside.write_text(json.dumps({**card, "probe": probe}), encoding="utf-8")
            shutil.rmtree(Path(os.environ["STEELBENCH_CACHE"]) / "networks", ignore_errors=True)
            seconds.append(seconds_of("predict", str(model), image))
    beside.write_text(whole, encoding="utf-8")
    return min(found[0]), min(found[1])


def in_a_process(task: str, *words: str) -> str:
    """Return what this program prints for one task in a process of its own."""
    done = subprocess.run([sys.executable, __file__, task, *words], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


def measure(backbone: str, images: Path, count: int, folder: Path) -> dict[str, float]:
    """Return the seconds and rates of one backbone."""
    model = in_a_process("--make", backbone, str(folder))
    one = str(next(iter(sorted(images.rglob("*.png")))))
    first, by_tensorflow = first_starts(Path(model), one)
    second = min(seconds_of("predict", model, one) for _ in range(3))
    before = float(in_a_process("--rate", model, str(count)))
    whole = seconds_of("predict", model, str(images), "--out", str(folder / "out.csv"))
    # Before and after: the speed of a machine drifts.
    engine = (before + float(in_a_process("--rate", model, str(count)))) / 2
    rate = count / (whole - second)
    return {
        "first_start_s": first, "first_start_by_tensorflow_s": by_tensorflow,
        "first_start_ratio": first / by_tensorflow, "second_start_s": second,
        "engine_images_per_s": engine, "predict_s": whole, "predict_images_per_s": rate, "ratio": rate / engine,
        "ratio_with_start": count / whole / engine,
    }  # fmt: skip


def main() -> None:
    """Print a line for each backbone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbones", default="mobilenet_v2_035,efficientnet_b0")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rate", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        print(make_model(given.make[0], Path(given.make[1])))
        return
    if given.rate:
        print(engine_rate(Path(given.rate[0]), int(given.rate[1])))
        return
    from steelbench.data.demo import write_demo

    found = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["STEELBENCH_CACHE"] = f"{name}/cache"  # no network may be kept already
        images = write_demo(Path(name) / "demo", given.images)
        for backbone in given.backbones.split(","):
            found[backbone] = measure(backbone, images, given.images, Path(name))
            line = "  ".join(f"{key} {value:.2f}" for key, value in found[backbone].items())
            print(f"{backbone}: {line}", flush=True)
    if given.out:
        given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
