"""Measure images per second of each backbone by engine and precision, alone and in batches, on decoded images.

Run:      python benchmarks/speed_of_engines.py [--backbones a,b] [--seconds N] [--out FILE.json]
Takes:    about 6 minutes for the four main backbones on 2 cores; each measurement in a process of its own.
Expect:   OpenVINO in float32 faster than Keras for all but VGG19; bfloat16 several times faster where the processor
          has it. The column "of best" is images/s divided by the backbone's best images/s in this run.
Weights:  random; they cost the same time as trained ones.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

MAIN = "vgg19,efficientnet_b0,xception,inception_v3"
WAYS = (("keras", "float32"), ("keras", "bfloat16"), ("openvino", "float32"), ("openvino", "bfloat16"))


def measure(backbone: str, engine: str, precision: str, seconds: float) -> dict[str, float]:
    """Return images per second of one engine after a warm-up, and the milliseconds of one image alone."""
    import numpy as np

    from steelbench.features.engines import ENGINES, open_engine
    from steelbench.models.backbones import BACKBONES
    from steelbench.models.pretrained import encoder_with_weights
    from steelbench.models.weight_files import Origin

    size, batch = BACKBONES[backbone].image_size, ENGINES[engine].batch
    encoder = encoder_with_weights(backbone, Origin("random"))
    run = open_engine(engine, encoder, precision)
    images = np.random.default_rng(0).uniform(0, 255, (batch, size, size, 3)).astype(np.float32)
    list(run([images] * 2))
    start, count = time.perf_counter(), 0

    def until_time_is_up():
        while time.perf_counter() - start < seconds or count < 4:
            yield images

    for _ in run(until_time_is_up()):
        count += 1
    rate = count * batch / (time.perf_counter() - start)
    return {"images_per_second": rate, "ms_batch_of_one": one_image(encoder, engine, precision, images[:1])}


def one_image(encoder, engine: str, precision: str, image) -> float:
    """Return the milliseconds for one image alone: the median of ten calls of a compiled function, not of `predict`."""
    import numpy as np

    from steelbench.features.engines import open_engine

    run = open_engine(engine, encoder, precision, batch=1)
    times = []
    for _ in range(12):
        start = time.perf_counter()
        next(iter(run([image])))
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]) * 1000)


def measured_elsewhere(backbone: str, engine: str, precision: str, seconds: float) -> dict[str, float]:
    """Run `measure` in a process of its own, because TensorFlow keeps memory and threads."""
    command = [sys.executable, __file__, "--one", backbone, engine, precision, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure, print the table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", default=MAIN)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each measurement")
    parser.add_argument("--out", type=Path, default=Path("results/speed_of_engines.json"))
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one[:3], float(options.one[3]))))
        return
    from steelbench.files import write_json
    from steelbench.machine import environment

    rows = []
    print(f"{'backbone':18}{'engine':10}{'precision':10}{'images/s':>10}{'of best':>9}{'ms alone':>10}")
    for backbone in options.backbones.split(","):
        found = [
            {
                "backbone": backbone,
                "engine": engine,
                "precision": precision,
                **measured_elsewhere(backbone, engine, precision, options.seconds),
            }
            for engine, precision in WAYS
        ]
        best = max(row["images_per_second"] for row in found)
        for row in found:
            row["share_of_best"] = row["images_per_second"] / best
            print(
                f"{backbone:18}{row['engine']:10}{row['precision']:10}{row['images_per_second']:10.1f}"
                f"{row['share_of_best']:9.0%}{row['ms_batch_of_one']:10.1f}",
                flush=True,
            )
        rows += found
    write_json(options.out, {"rows": rows, "machine": environment()})


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
