"""Time of the search for images that share pixels, and its growth with the number of images.

Run:      python benchmarks/cost_of_audit.py [--images 500,1000,2000,4000,8000] [--out FILE.json]
Takes:    2 minutes on 2 cores
Expect:   2, 4, 9, 17 and 36 seconds for 500, 1000, 2000, 4000 and 8000 images; exponent 1.02; recall and
          precision 1.000 at every size
Source:   none; demo images (200 x 200), so that the truth is known at every size.

Only the search is timed, not making and reading the demo images. The exponent is the slope of log(seconds) over
log(images): 1 is linear, comparing all pairs would be 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from steelbench.audit.audit import audited_pairs
from steelbench.data.demo import write_demo
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.files import write_json


@dataclass(frozen=True)
class Line:
    """The measurement of one size.

    Attributes:
        images: number of images.
        seconds: to find the pairs.
        stages: seconds by stage.
        pairs: number of pairs found.
        recall: of the planted pairs that share 20 % or more, 0..1.
        precision: share of the found pairs that are planted, 0..1.
    """

    images: int
    seconds: float
    stages: dict[str, float]
    pairs: int
    recall: float
    precision: float


def measure(images: int, seed: int) -> Line:
    """Search a fresh demo set for pairs."""
    with tempfile.TemporaryDirectory() as name:
        os.environ["STEELBENCH_CACHE"] = f"{name}/cache"  # nothing may be known already
        folder = write_demo(Path(name) / "demo", images, seed)
        _, dataset = read_dataset(str(folder))
        inspection = inspect_dataset(dataset)
        start, ends = time.perf_counter(), dict[str, float]()
        pairs, seconds, _ = audited_pairs(
            dataset.root, inspection, progress=lambda stage, *_: ends.__setitem__(stage, time.perf_counter())
        )
        truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))["pairs"]
    listed = {(pair["file_a"], pair["file_b"]) for pair in truth}
    large = {(pair["file_a"], pair["file_b"]) for pair in truth if pair["overlap"] >= 0.2}
    found = {(pair.file_a, pair.file_b) for pair in pairs}
    begins = [start, *ends.values()]
    stages = {stage: end - begin for begin, (stage, end) in zip(begins, ends.items(), strict=False)}
    recall, precision = len(large & found) / len(large), len(listed & found) / max(len(found), 1)
    return Line(images, seconds, stages, len(pairs), recall, precision)


def exponent(lines: list[Line]) -> float:
    """Return the slope of log(seconds) over log(images)."""
    return float(np.polyfit(np.log([line.images for line in lines]), np.log([line.seconds for line in lines]), 1)[0])


def main() -> None:
    """Measure each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="500,1000,2000,4000,8000", help="sizes, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines = []
    print("images  seconds  features  matches  pixels  pairs  recall  precision")
    for images in map(int, options.images.split(",")):
        line = measure(images, options.seed)
        lines.append(line)
        stages = "  ".join(f"{line.stages[name]:7.1f}" for name in ("features", "matches", "pixels"))
        print(
            f"{images:6d}  {line.seconds:7.1f}  {stages}  {line.pairs:5d}  {line.recall:6.3f}  {line.precision:9.3f}",
            flush=True,
        )
    growth = exponent(lines) if len(lines) > 1 else None
    if growth is not None:
        print(f"seconds grow with images to the power of {growth:.2f}")
    if options.out:
        write_json(options.out, {"lines": [asdict(line) for line in lines], "exponent": growth})


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
