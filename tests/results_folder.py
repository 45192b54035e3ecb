"""Builds a results folder of made-up, plausible records to test the report on."""

import csv
import json
import math
from pathlib import Path

import numpy as np

from steelbench.evaluation.calibration import reliability
from steelbench.evaluation.decision import THRESHOLDS, referral_curve
from steelbench.files import write_json
from steelbench.records import (
    ClassScore,
    Comparison,
    Notice,
    PromiseRecord,
    ReliabilityBin,
    Row,
    RunRecord,
    StageRecord,
    Summary,
    Trust,
    Verification,
)

CLASSES = ["crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"]
BACKBONES = {"efficientnet_b0": 0.994, "mobilenet_v2": 0.989, "vgg19": 0.978, "xception": 0.955}
PARAMS = {
    "efficientnet_b0": 4_713_097,
    "mobilenet_v2": 2_917_190,
    "vgg19": 20_289_094,
    "xception": 21_913_646,
}
EPOCHS = 12


def wilson(share, n):
    z = 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


def model_row(backbone, method, accuracy, classes=CLASSES, *, variant="", weights="imagenet", seed=0, n_test=360):
    rng = np.random.default_rng(seed)
    per_class = max(1, n_test // len(classes))
    confusion = np.eye(len(classes), dtype=int) * per_class
    for _ in range(round((1 - accuracy) * n_test)):
        true = rng.integers(len(classes))
        wrong = (true + rng.integers(1, 3)) % len(classes)
        if confusion[true, true] > 0 and wrong != true:
            confusion[true, true] -= 1
            confusion[true, wrong] += 1
    hits, predicted, support = np.diag(confusion), confusion.sum(0), confusion.sum(1)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    share = hits.sum() / confusion.sum()
    low, high = wilson(share, n_test)
    name = "-".join(filter(None, (backbone, method, variant)))
    steps = {
        "load": 4.2,
        "features": 30 * rng.random() + 8,
        "fit": 14.0 * rng.random() + 1,
        "save and verify": 6.5,
    }
    return Row(
        name=name, backbone=backbone, method=method, variant=variant, weights=weights, status="done",
        accuracy=share, accuracy_low=low, accuracy_high=high, macro_f1=f1.mean(), n_test=n_test,
        engine="openvino", precision="float32", params=PARAMS.get(backbone, 5_000_000),
        model_bytes=PARAMS.get(backbone, 5_000_000) * 4 + 90_000, seconds=sum(steps.values()), image_size=224,
        validation_accuracy=min(1.0, share + 0.002), train_accuracy=1.0, model=f"models/{name}.h5",
        runs=[f"{name}-s0-f0"], confusion=confusion.tolist(),
        per_class=[
            ClassScore(
                name=c, precision=p, recall=r, f1=f, support=s, recall_low=wilson(r, s)[0], recall_high=wilson(r, s)[1]
            )
            for c, p, r, f, s in zip(classes, precision, recall, f1, support, strict=True)
        ],
        macro_f1_low=max(0, f1.mean() - 0.01), macro_f1_high=min(1, f1.mean() + 0.01), n_effective=0.8 * n_test,
        balanced_accuracy=recall.mean(), verification=Verification(images=36, max_difference=3.1e-7, classes_changed=0),
        detail={"seconds": steps, "weights": {"kind": weights, "file": f"{backbone}_notop.h5"}},
    )  # fmt: skip


def majority_row(classes=CLASSES, n_test=360):
    share = 1 / len(classes)
    return Row(
        name="none-majority", backbone="none", method="majority", weights="", status="done", accuracy=share,
        accuracy_low=share, accuracy_high=share, macro_f1=0.05, n_test=n_test,
    )  # fmt: skip


def hog_row(accuracy=0.93, classes=CLASSES):
    """A baseline that is compared, but has no network, no weights and no model file."""
    row = model_row("none", "hog", accuracy, classes, weights="none", seed=9)
    bare = {"model": None, "model_bytes": None, "verification": None, "params": 0, "engine": "", "precision": ""}
    return row.model_copy(update=bare)


def judged(record, tied=1, **more):
    """The summary with the first `tied` rows tied for best and the others worse, as `judge` leaves it."""
    compared = [row for row in record.rows if row.status == "done" and row.method != "majority"]
    marks = {
        row.name: {"tied": place < tied, "p_value": None if place == 0 else 0.4 if place < tied else 0.0023}
        for place, row in enumerate(compared)
    }
    rows = [row.model_copy(update=marks.get(row.name, {})) for row in record.rows]
    best = compared[0]
    judgement = {
        "best": best.name,
        "tied": [row.name for row in compared[:tied]],
        "level": 0.05,
        "method": "exact sign flips by group, Holm",
        "n_effective": best.n_effective,
        "rival": compared[1].name if len(compared) > 1 else "",
        "smallest_difference": 0.0234,
        "differences": {row.name: best.accuracy - row.accuracy for row in compared[1:]},
        "resampled_t": {},
        "left_out": [],
    }
    return record.model_copy(update={"rows": rows, "judgement": Comparison(**(judgement | more))})


def failed_row(backbone="inception_v3", reason="ResourceExhausted: out of memory at batch 32 (16 MB free)"):
    return Row(
        name=f"{backbone}-softmax",
        backbone=backbone,
        method="softmax",
        weights="imagenet",
        status="failed",
        reason=reason,
    )


def summary(rows, classes=CLASSES, warnings=(), **dataset):
    data = {
        "name": "NEU-CLS",
        "images": 300 * len(classes),
        "classes": {name: 300 for name in classes},
        "skipped": 2,
    }
    split = {
        "kind": "grouped",
        "folds": 1,
        "seeds": 1,
        "groups": 1655,
        "train": 1152,
        "validation": 288,
        "test": 360,
    }
    return Summary(
        dataset=data | {"left_out": {"label 'none'": 14}, "digest": "sha256:5f0c…e1"} | dataset,
        split=split, rows=list(rows), warnings=list(warnings),
    )  # fmt: skip


def typical(classes=CLASSES):
    rows = [
        model_row(backbone, method, accuracy - 0.006 * (method == "softmax"), classes, seed=place)
        for place, (backbone, accuracy) in enumerate(BACKBONES.items())
        for method in ("linear", "softmax")
    ]
    rows.sort(key=lambda row: -row.accuracy)
    warnings = [
        Notice(level="note", text="145 images overlap another image; they stay in one part of the split."),
        Notice(
            level="caution",
            text="validation accuracy is 4 points above test accuracy.",
            row="xception-softmax",
        ),
        Notice(level="serious", text="11 test images are copies of training images of another class."),
    ]
    return judged(summary([*rows, majority_row(classes), failed_row()], classes, warnings), tied=4)


def write_history(path, seed, epochs=EPOCHS, with_accuracy=True):
    rng = np.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"])
        for epoch in range(1, epochs + 1):
            loss = 1.6 * math.exp(-epoch / 2.5) + 0.02 + 0.01 * rng.random()
            accuracy = 1 - 0.28 * loss - 0.01 * rng.random()
            val = (loss + 0.06 + 0.03 * rng.random(), accuracy - 0.012 - 0.01 * rng.random())
            shown = [accuracy, val[1]] if with_accuracy else ["", ""]
            table.writerow([epoch, loss, shown[0], val[0], shown[1], 1e-3])


def run_record(row, classes, stages):
    return RunRecord(
        backbone=row.backbone, method=row.method, variant=row.variant, seed=0, fold=0, settings={},
        fingerprint="f", classes=classes, n_train=1152, n_validation=288, n_test=360, image_size=224,
        weights={"kind": row.weights}, engine="openvino", precision="float32", params=row.params or 0,
        stages=stages, metrics={"test": {"accuracy": row.accuracy}}, seconds={"fit": 1.0},
    )  # fmt: skip


def write_folder(folder: Path, record: Summary, classes=CLASSES, *, stages=("head",), epochs=EPOCHS):
    """Write `record` and what belongs to it; `softmax` rows get a history per stage."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", record)
    command = [
        "steelbench",
        "run",
        "--data",
        "shared/data/NEU",
        "--backbones",
        "efficientnet_b0,mobilenet_v2",
    ]
    write_json(
        folder / "config.json",
        {"command": command, "seeds": 1, "folds": 1, "precision": "float32", "weights_dir": None},
    )
    software = {
        "python": "3.11.9",
        "tensorflow": "2.21.0",
        "keras": "3.15.1",
        "openvino": "2026.4",
        "numpy": "2.4.6",
    }
    machine = {"cpu": "Intel(R) Xeon(R) Platinum 8481C", "cores": 2, "memory_gb": 15.6, "os": "Debian 12"}
    write_json(folder / "environment.json", {"versions": software, "machine": machine})
    lines = ["path,reason", "crazing/broken.jpg,not a JPEG: starts with b'<html>'", "readme.txt,no image"]
    (folder / "skipped_images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for place, row in enumerate(record.rows):
        for run in row.runs:
            directory = folder / "runs" / run
            directory.mkdir(parents=True)
            records = []
            for stage in stages if row.method == "softmax" else ():
                file = "history.csv" if stage == stages[-1] else f"history-{stage}.csv"
                write_history(directory / file, place, epochs, with_accuracy=stage == stages[-1])
                records.append(StageRecord(name=stage, history=file, epochs=epochs, best_epoch=max(1, epochs - 3)))
            write_json(directory / "result.json", run_record(row, classes, records))
    return folder


def read_rows(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]


def trust(classes=CLASSES, seed=0, images=400):
    """A row's `Trust` from simulated answers: confidence and whether they were right."""
    random = np.random.default_rng(seed)
    confidence, labels = random.uniform(0.3, 1, images), random.integers(0, len(classes), images)
    correct = random.random(images) < confidence
    referred, escaped = referral_curve(confidence, correct, THRESHOLDS)
    by_class = [
        referral_curve(confidence[own], correct[own], THRESHOLDS)[1]
        for own in labels == np.arange(len(classes))[:, None]
    ]
    bins = [ReliabilityBin(**vars(own)) for own in reliability(confidence, correct)]
    return Trust(
        temperature=1.7,
        calibration_error=0.0123,
        calibration_error_raw=0.0456,
        bins=bins,
        raw_bins=bins,
        thresholds=THRESHOLDS.tolist(),
        referred=referred.tolist(),
        escaped=escaped.tolist(),
        escaped_by_class=[own.tolist() for own in by_class],
        class_shares=[float(np.mean(labels == label)) for label in range(len(classes))],
        promises=[
            PromiseRecord(escapes=0.001, threshold=None, referred=None, images_needed=2995),
            PromiseRecord(escapes=0.005, threshold=None, referred=None, images_needed=598),
            PromiseRecord(escapes=0.01, threshold=0.98, referred=0.234, images_needed=299),
            PromiseRecord(escapes=0.02, threshold=0.0, referred=0.0, images_needed=149),
        ],
    )
