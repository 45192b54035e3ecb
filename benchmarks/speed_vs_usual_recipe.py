"""Compare the usual Keras recipe with steelbench in one program: seconds, their ratio, test accuracy.

Run:      python benchmarks/speed_vs_usual_recipe.py --data DIR [--weights-dir DIR] [--images N] [--epochs N]
          [--backbones a,b] [--out FILE.json]
Takes:    about 45 minutes on 2 cores for NEU's 1800 images and the four main backbones; nothing else may run meanwhile.
Demo:     --data demo takes 120 images, efficientnet_b0 and inception_v3.
Recipe:   what is published for these backbones (Maddali, Severstal): images resized in memory, `fit` through the frozen
          backbone in every epoch, batch 64, Adam 1e-3, checkpoint of the whole model on val_loss, 80/20. Two epochs are
          run and the second is multiplied by the number of epochs; building and loading are counted once. Weights are
          random: they cost the same time as trained ones.
steelbench: the same experiments from start to report with an empty cache, in float32 and in bfloat16; the seconds of
          the audit, which the recipe has not, are given apart.
Last row: mobilenet_v2 with its ImageNet weights (--weights-dir) runs every epoch on both sides on the same split, and
          compares test accuracy.
Bound:    decode every image once + one pass of every image at the engine's best measured rate.
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

sys.path.insert(0, str(Path(__file__).parent))
from speed_of_engines import measured_elsewhere

MAIN = "vgg19,efficientnet_b0,xception,inception_v3"
USUAL = {"images": 0, "backbones": MAIN}
# Enough to see the ratio; VGG19 and Xception take minutes each.
DEMO = {"images": 120, "backbones": "efficientnet_b0,inception_v3"}


def recipe(data: str, backbone: str, images: int, epochs: int, run_all: bool, weights_dir: str) -> dict[str, float]:
    """Train one backbone by the usual recipe; return seconds for all epochs, and test accuracy if all were run."""
    start = time.perf_counter()
    import keras
    import numpy as np

    from steelbench.data.images import read_image
    from steelbench.data.inspection import inspect_dataset
    from steelbench.data.readers import read_dataset
    from steelbench.data.splits import make_splits
    from steelbench.models.backbones import BACKBONES
    from steelbench.models.encoder import build_network, preprocess
    from steelbench.models.weight_files import resolve

    _, dataset = read_dataset(data)
    found = inspect_dataset(dataset)
    chosen = np.sort(np.random.default_rng(0).permutation(len(found.images))[:images])
    labels = found.labels[chosen]
    size = BACKBONES[backbone].image_size
    import cv2

    pixels = np.stack(
        [cv2.resize(read_image(dataset.root / found.images[row].sample.path), (size, size)) for row in chosen]
    )
    if run_all:
        split = make_splits(labels, np.arange(len(labels)), [""] * len(labels), folds=1, seed=0, classes=found.classes)[
            0
        ]
        train, validation, test = split.train, split.validation, split.test
    else:
        order = np.random.default_rng(101).permutation(len(labels))
        validation, train, test = order[: len(order) // 5], order[len(order) // 5 :], order[:0]
    inputs = keras.Input((size, size, 3))
    network = build_network(backbone, preprocess(inputs, BACKBONES[backbone]))
    if weights_dir:
        plain = build_network(backbone, size=size)
        plain.load_weights(resolve(backbone, "imagenet", Path(weights_dir)).path)
        network.set_weights(plain.get_weights())
    network.trainable = False
    x = keras.layers.AveragePooling2D(5)(network.output)
    x = keras.layers.Dense(512, activation="relu")(keras.layers.Flatten()(x))
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(len(found.classes), activation="softmax")(x))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])

    class Clock(keras.callbacks.Callback):
        seconds: list[float]

        def on_train_begin(self, logs=None):
            self.seconds, self.last = [], time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.last)
            self.last = time.perf_counter()

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/best.h5"
        saver = keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True)
        before = time.perf_counter() - start
        model.fit(
            pixels[train],
            labels[train],
            batch_size=64,
            epochs=epochs if run_all else 2,
            verbose=0,
            validation_data=(pixels[validation], labels[validation]),
            callbacks=[saver, clock],
        )
        result = {"before": before, "epoch": clock.seconds[-1], "epochs_run": len(clock.seconds)}
        if run_all:
            model.load_weights(path)
            result["accuracy"] = float(model.evaluate(pixels[test], labels[test], verbose=0)[1])
            result["seconds"] = time.perf_counter() - start
        else:
            result["seconds"] = before + clock.seconds[-1] * epochs
    return result


def steelbench_run(options, backbones: str, precision: str, folder: Path, weights: list[str]) -> dict:
    """Time one `steelbench run` from start to report on an empty cache."""
    environment = {**os.environ, "STEELBENCH_CACHE": str(folder / f"cache-{precision}-{len(backbones)}")}
    results = folder / f"results-{precision}-{len(backbones)}"
    command = [
        sys.executable,
        "-m",
        "steelbench",
        "run",
        "--data",
        options.data,
        "--backbones",
        backbones,
        *weights,
        "--precision",
        precision,
        "--epochs",
        str(options.epochs),
        "--results",
        str(results),
    ]
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    summary = json.loads((results / "results.json").read_text(encoding="utf-8"))
    rows = [row for row in summary["rows"] if row["backbone"] != "none"]
    # The recipe does not search for images that share pixels, so these seconds are given apart.
    audit = summary["split"]["audit_seconds"]
    return {
        "seconds": seconds - audit,
        "audit_seconds": audit,
        "rows": [{key: row[key] for key in ("name", "accuracy", "engine", "verification", "detail")} for row in rows],
    }


def decode_seconds(data: str) -> float:
    """Return the seconds that decoding every image once takes."""
    from steelbench.data.inspection import inspect_dataset
    from steelbench.data.readers import read_dataset

    _, dataset = read_dataset(data)
    start = time.perf_counter()
    inspect_dataset(dataset)
    return time.perf_counter() - start


def main() -> None:
    """Measure both sides, print the tables, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="demo")
    parser.add_argument("--weights-dir", default="")
    parser.add_argument("--images", type=int, help="only so many, drawn by seed; 0 for all")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--backbones", help=f"default {MAIN}")
    parser.add_argument("--out", type=Path, default=Path("results/speed_vs_usual_recipe.json"))
    parser.add_argument("--recipe", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.recipe:
        data, backbone, images, epochs, run_all, folder = options.recipe
        print(json.dumps(recipe(data, backbone, int(images), int(epochs), run_all == "all", folder)))
        return
    for name, value in (DEMO if options.data == "demo" else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
            print(f"speed_vs_usual_recipe: {name}={value}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


def compare(options, folder: Path) -> None:
    """Measure both sides, one after the other, print the tables and write JSON."""
    from steelbench.data.readers import read_dataset
    from steelbench.files import write_json
    from steelbench.machine import environment

    _, dataset = read_dataset(options.data)
    count = options.images or len(dataset.samples)
    if options.images:
        options.data = str(subset(dataset, count, folder / "subset"))
    ours = {}
    for precision in ("float32", "bfloat16"):
        ours[precision] = steelbench_run(options, options.backbones, precision, folder, ["--weights", "random"])
        print(f"steelbench {precision}: {ours[precision]['seconds']:.0f} s for {options.backbones}", flush=True)
    rates = {
        precision: {
            name: measured_elsewhere(name, "openvino", precision, 10.0)["images_per_second"]
            for name in options.backbones.split(",")
        }
        for precision in ours
    }
    decode = decode_seconds(options.data)
    bounds = {p: decode + sum(count / rate for rate in found.values()) for p, found in rates.items()}
    for precision, bound in bounds.items():
        ratio = ours[precision]["seconds"] / bound
        print(f"bound {precision}: {bound:.0f} s; steelbench takes {ratio:.2f} times that", flush=True)

    def usual(name: str, run_all: str, weights: str) -> dict[str, float]:
        command = [sys.executable, __file__, "--recipe", options.data, name, str(count), str(options.epochs)]
        done = subprocess.run([*command, run_all, weights], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    theirs = {}
    for name in options.backbones.split(","):
        theirs[name] = usual(name, "two", "")
        print(f"recipe {name}: second epoch {theirs[name]['epoch']:.0f} s, times {options.epochs}", flush=True)
    total = sum(row["seconds"] for row in theirs.values())
    print(f"\n{'':24}{'seconds':>10}{'ratio':>8}")
    print(f"{'recipe (2nd epoch x ' + str(options.epochs) + ')':24}{total:10.0f}{1:8.1f}")
    for precision, side in ours.items():
        apart = f"   and {side['audit_seconds']:.0f} s for the audit, once for these images"
        print(f"{'steelbench ' + precision:24}{side['seconds']:10.0f}{total / side['seconds']:8.1f}{apart}")
    record = {
        "images": count,
        "epochs": options.epochs,
        "recipe": theirs,
        "recipe_seconds": total,
        "steelbench": ours,
        "ratio": {precision: total / side["seconds"] for precision, side in ours.items()},
        "bound_seconds": bounds,
        "times_bound": {p: ours[p]["seconds"] / bound for p, bound in bounds.items()},
        "rates": rates,
        "decode_seconds": decode,
        "machine": environment(),
    }
    if options.weights_dir:
        weights = ["--weights", "imagenet", "--weights-dir", options.weights_dir]
        side = steelbench_run(options, "mobilenet_v2", "float32", folder, [*weights, "--split", "random"])
        other = usual("mobilenet_v2", "all", options.weights_dir)
        record["mobilenet_v2"] = {"steelbench": side, "recipe": other}
        print(
            f"mobilenet_v2, ImageNet weights, every epoch run: recipe {other['seconds']:.0f} s, test accuracy "
            f"{other['accuracy']:.4f}; steelbench {side['seconds']:.0f} s, {side['rows'][0]['accuracy']:.4f}"
        )
    write_json(options.out, record)


def subset(dataset, count: int, folder: Path) -> Path:
    """Make a folder with copies of images drawn by seed from all classes together; return it."""
    import numpy as np

    for row in np.random.default_rng(0).permutation(len(dataset.samples))[:count]:
        sample = dataset.samples[row]
        target = folder / sample.label / Path(sample.path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(dataset.root / sample.path, target)
    return folder


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
