"""Measure how long `steelbench report` takes on a results folder of 100 runs, and whether it imports TensorFlow.

Run:      python benchmarks/report_of_100_runs.py [--keep DIR] [--limit 20]
Takes:    about a minute on 2 cores, most of it for making the folder.
Expect:   under 20 seconds (else it ends with 1), no TensorFlow, a page of a few MB.

The folder is made up, and written by the package's own functions: 10 backbones, 2 methods, 5 folds, each with 360 test
images of 6 classes in groups like NEU's, a history of 50 epochs, an embedding with a map, the test with unknown
defects, corrupted images and costs; thumbnails are of noise. The report is drawn in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from steelbench.data.corruptions import CORRUPTIONS, STRENGTHS, VERSION
from steelbench.evaluation.error_tables import ERRORS_FILE, read_errors
from steelbench.evaluation.leaderboard import assemble
from steelbench.evaluation.outcome import RunOutcome
from steelbench.evaluation.predictions import write_predictions
from steelbench.evaluation.robustness import Measured, describe_robustness
from steelbench.files import whole_file, write_json, write_text
from steelbench.records import (
    Cost,
    DatasetSummary,
    Detection,
    EngineTime,
    LeftOutClass,
    RunRecord,
    SplitSummary,
    StageRecord,
    UnknownRecord,
    cost_file,
    unknown_file,
)
from steelbench.runs.thumbnails import choose_pictures, class_examples, write_thumbnails

CLASSES = ["crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"]
BACKBONES = (
    *("vgg19", "efficientnet_b0", "xception", "inception_v3", "resnet50"),
    *("mobilenet_v2", "mobilenet_v2_035", "densenet121", "efficientnet_lite0", "efficientnet_lite1"),
)
METHODS = ("softmax", "linear")
FOLDS, IMAGES, GROUP, EPOCHS, SEED = 5, 1800, 3, 50, 0
REPORT = """
import sys, time
from steelbench.cli.exit import main
code = main(["report", sys.argv[1]])
loaded = "tensorflow" in sys.modules or "keras" in sys.modules
print(code, time.process_time(), loaded, file=sys.stderr)
"""


def make_folder(results: Path) -> None:
    """Write a results folder of `BACKBONES` x `METHODS` x `FOLDS` runs, without its report."""
    random = np.random.default_rng(SEED)
    labels = np.arange(IMAGES) // GROUP % len(CLASSES)
    paths = [f"{CLASSES[label]}/{image:04d}.png" for image, label in enumerate(labels)]
    groups = np.arange(IMAGES) // GROUP
    lines = [f"{path},{group}" for path, group in zip(paths, groups, strict=True)]
    write_text(results / "audit" / "groups.csv", "\n".join(["file,group", *lines]) + "\n")
    hard = random.normal(0, 1, IMAGES // GROUP)[groups]
    for number, (backbone, method) in enumerate(product(BACKBONES, METHODS)):
        for fold in range(FOLDS):
            test = np.flatnonzero(groups % FOLDS == fold)
            write_run(results, (backbone, method, fold), [paths[row] for row in test], labels[test], hard[test], random)
        write_measurements(results, f"{backbone}-{method}", number, random)
    write_json(results / "config.json", {"command": "steelbench run", "seeds": 1, "folds": FOLDS})
    write_json(results / "environment.json", {"cores": 2})
    write_text(results / "skipped_images.csv", "path,reason\n")
    data = DatasetSummary(name="made up", images=IMAGES, classes=dict.fromkeys(CLASSES, IMAGES // len(CLASSES)))
    assemble(results, RunOutcome(data, SplitSummary(folds=FOLDS, groups=IMAGES // GROUP, train=1152, test=360)))
    draw_images(results, paths, labels, random)


def write_run(
    results: Path,
    run: tuple[str, str, int],
    paths: list[str],
    labels: np.ndarray,
    hard: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Write one run's predictions, history, embedding and record."""
    backbone, method, fold = run
    logits = random.normal(0, 1, (len(paths), len(CLASSES)))
    logits[range(len(paths)), labels] += 6 - hard
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    stages = [StageRecord(name="head", history="history.csv", epochs=EPOCHS, best_epoch=EPOCHS)]
    record = RunRecord(
        backbone=backbone, method=method, seed=0, fold=fold, settings={}, fingerprint="f", classes=CLASSES,
        n_train=1152, n_validation=288, n_test=len(paths), image_size=224, weights={"kind": "imagenet"},
        engine="openvino", precision="float32", params=2_000_000, model=f"models/{backbone}-{method}.h5",
        model_bytes=8_000_000, stages=stages, metrics={part: {"accuracy": 0.95} for part in ("train", "validation")},
        notes={"calibration_temperature": 1.2}, seconds={"features": 40.0, "fit": 2.0},
    )  # fmt: skip
    folder = results / "runs" / record.run_name
    write_predictions(folder / "predictions.csv", paths, [CLASSES[own] for own in labels], np.float32(shares), CLASSES)
    fall = np.exp(-np.arange(EPOCHS) / 10)
    lines = [f"{epoch},{2 * own},{1 - own},{2 * own},{1 - own},0.001" for epoch, own in enumerate(fall, start=1)]
    header = "epoch,loss,accuracy,val_loss,val_accuracy,learning_rate"
    write_text(folder / "history.csv", "\n".join([header, *lines]) + "\n")
    if fold == 0:
        vectors = np.float16(random.normal(0, 1, (len(paths), 64)) + 3 * np.eye(64)[labels])
        points = np.float32(random.normal(0, 1, (len(paths), 2)) + 5 * np.stack([labels % 3, labels // 3], axis=1))
        arrays = {"vectors": vectors, "labels": labels, "groups": np.arange(len(paths)), "projection": points}
        with whole_file(folder / "embeddings.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays, projected=np.arange(len(paths)))
    write_json(folder / "result.json", record)


def write_measurements(results: Path, name: str, number: int, random: np.random.Generator) -> None:
    """Write what a row has besides its runs: costs, unknown defects, corrupted images."""
    time_ = EngineTime(
        engine="openvino", threads=2, images_per_second=50.0 + number, ms_p50=20.0 - number / 2, ms_p99=25.0,
        repetitions=30, others=0.0, precision="float32", device="CPU", batch=8, ms_mad=0.1,
    )  # fmt: skip
    write_json(cost_file(results, name), Cost(fingerprint="f", multiply_adds=10**8 * (number + 1), times=[time_]))
    found = dict.fromkeys(Detection.model_fields, 0.9)
    scores = {score: Detection(**found) for score in ("max_probability", "energy", "knn", "mahalanobis")}
    left = [LeftOutClass(name=own, images=300, excluded=0, known=300, scores=scores) for own in CLASSES]
    unknown = UnknownRecord(name=name, fingerprint="f", classes=left, mean=scores, best="knn")
    write_json(unknown_file(results, name), unknown)
    labels = np.arange(120) % len(CLASSES)
    answers = {
        (kind, strength): np.where(random.random(120) < strength / 10, (labels + 1) % len(CLASSES), labels)
        for kind in CORRUPTIONS
        for strength in STRENGTHS
    }
    measured = Measured(labels, np.arange(120), labels, answers)
    titles = {kind: kind for kind in CORRUPTIONS}
    more = {"version": VERSION, "fingerprint": "f", "clean_differences": 0, "engine": "openvino", "seconds": 60.0}
    write_json(results / "robustness" / f"{name}.json", describe_robustness(measured, CLASSES, titles, **more))


def draw_images(results: Path, paths: list[str], labels: np.ndarray, random: np.random.Generator) -> None:
    """Draw thumbnails of noise."""
    names = [CLASSES[own] for own in labels]
    wanted = choose_pictures(read_errors(results / ERRORS_FILE) or [], [])
    examples = class_examples(paths, names)
    shown = list(dict.fromkeys([*(path for own in examples.values() for path in own), *wanted]))
    with tempfile.TemporaryDirectory() as folder:
        for path in shown:
            file = Path(folder, path)
            file.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(file), random.integers(0, 256, (200, 200), np.uint8))
        write_thumbnails(results, Path(folder), None, shown, examples)


def measure(results: Path) -> dict[str, float | bool]:
    """Draw the report in a process of its own; return seconds, MB of the page, and whether TensorFlow was imported.

    CPU seconds tell what the report costs where other programs keep the machine busy.
    """
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", REPORT, str(results)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    code, computed, loaded = (done.stderr.strip().splitlines() or ["? ? ?"])[-1].split()
    if code != "0":
        raise SystemExit(f"steelbench report failed: {done.stderr[-2000:]}")
    size = (results / "report.html").stat().st_size / 1e6
    return {"seconds": round(seconds, 1), "cpu_seconds": round(float(computed), 1), "page_mb": round(size, 2),
            "tensorflow": loaded == "True"}  # fmt: skip


def main() -> int:
    """Make the folder, draw its report, print what that took as JSON; 1 if it took too long or TensorFlow came in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the folder here, and keep it")
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that are allowed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = asked.keep or Path(temporary) / "results"
        if not (results / "results.json").is_file():
            make_folder(results)
        runs = len(list(results.glob("runs/*/result.json")))
        found = {"runs": runs, **measure(results)}
    print(json.dumps(found))
    return int(found["seconds"] > asked.limit or bool(found["tensorflow"]))


if __name__ == "__main__":
    sys.exit(main())
