"""Measure how the demo's difficulty moves the accuracy, and whether anything beats chance where nothing can.

Run:      python benchmarks/demo_difficulty.py [--seeds N] [--images N] [--weights-dir DIR] [--out FILE.md]
Takes:    4 minutes of processor time (11 minutes on 2 cores that other programs used, too)
Expect:   efficientnet_lite0 + linear 99 % at difficulty 0, 89 % at 0.5, 12 % at 1; HOG 87, 50 and 14 %; chance is 14 %.
          20 data sets of difficulty 1: no method's mean is above chance; single intervals are, as often as they should.
Source:   none; at difficulty 1 a picture is drawn without its label, so that the truth is known.

The first table is three `steelbench run` with 5 folds on the usual 360 images. The second one is made of N data sets of
difficulty 1, each with another seed: splits, heads and intervals are those of `steelbench run --folds 5`, called
directly, because N runs would start N networks. Chance is the share of the largest class: no answer that is given
without the picture has a higher accuracy on average. Of true 95 % intervals, one in 40 lies above the truth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelbench.arrays import Features
from steelbench.audit.audit import audited_pairs
from steelbench.data.demo import write_demo
from steelbench.data.demo_textures import DIFFICULTY
from steelbench.data.images import read_image, resize
from steelbench.data.inspection import Inspection, inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.data.split_plan import SplitPlan, plan_splits
from steelbench.data.splits import Split
from steelbench.evaluation.metrics import learn_dependences, row_scores
from steelbench.evaluation.predictions import RowPredictions
from steelbench.experiment import Linear, RunOptions
from steelbench.files import write_text
from steelbench.records import Summary, read_record
from steelbench.training.baselines.hog import descriptor, train_svm
from steelbench.training.baselines.majority import class_shares

BACKBONE = "efficientnet_lite0"
FOLDS = 5
# Features of the images in the given files, float32 [N, D].
Extract = Callable[[Sequence[Path]], Features]
# Probabilities [N, C] of all images, by a head that a split trained.
Answer = Callable[[Split], Features]


@dataclass(frozen=True)
class Score:
    """One method on one data set: accuracy, its 95 % interval, and the share of the largest class, all in 0..1."""

    method: str
    accuracy: float
    low: float
    high: float
    chance: float


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20, help="data sets of difficulty 1")
    parser.add_argument("--images", type=int, default=120, help="images of each of them")
    parser.add_argument("--weights-dir", type=Path, help="as for `steelbench run`")
    parser.add_argument("--out", type=Path, help="write both tables as Markdown, too")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error("--seeds must be 2 or more")
    return options


def run_scores(difficulty: float, weights_dir: Path | None) -> Iterator[Score]:
    """Yield the rows of the leaderboard of one `steelbench run`."""
    with tempfile.TemporaryDirectory() as folder:
        data, results = write_demo(Path(folder) / "demo", difficulty=difficulty), Path(folder) / "results"
        command = ["run", "--data", str(data), "--backbones", BACKBONE, "--methods", "linear", "--folds", str(FOLDS)]
        command += ["--results", str(results), *(["--weights-dir", str(weights_dir)] if weights_dir else [])]
        done = subprocess.run([sys.executable, "-m", "steelbench", *command], stdout=sys.stderr, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)
        summary = read_record(results / "results.json", Summary)
    chance = max(summary.dataset.classes.values()) / (summary.dataset.images or 1)
    for row in summary.rows:
        yield Score(row.method, row.accuracy or 0.0, row.accuracy_low or 0.0, row.accuracy_high or 0.0, chance)


def null_scores(seed: int, images: int, extract: Extract | None) -> Iterator[Score]:
    """Yield the scores of all methods on a data set of difficulty 1.

    Args:
        seed: of the data set.
        images: its number of images.
        extract: of the backbone; None for the methods without a network.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = write_demo(Path(folder) / "demo", images, seed, difficulty=1)
        _, dataset = read_dataset(str(root))
        inspection = inspect_dataset(dataset)
        plan = plan_splits(
            RunOptions(data=str(root), folds=FOLDS), inspection, audited_pairs(dataset.root, inspection)[0]
        )
        files = [dataset.root / image.sample.path for image in inspection.images]
        hog = np.stack([descriptor(read_image(file)) for file in files])
        features = extract(files) if extract else None
    labels, classes = inspection.labels, len(inspection.classes)
    yield score("majority", inspection, plan, lambda split: class_shares(labels, split.train, classes))
    yield score("hog", inspection, plan, lambda split: train_svm(hog, labels, classes, split)[0])
    if features is not None:
        yield score("linear", inspection, plan, lambda split: linear_answers(features, inspection, plan, split))


def linear_answers(features: Features, inspection: Inspection, plan: SplitPlan, split: Split) -> Features:
    """Return the probabilities of all images by the head of the method `linear`."""
    from steelbench.training.loop.fit import FitContext
    from steelbench.training.loop.training_set import TrainingSet
    from steelbench.training.methods.linear import train_linear

    data = TrainingSet(
        features=features,
        labels=inspection.labels,
        num_classes=len(inspection.classes),
        split=split,
        groups=plan.group_of,
    )
    return train_linear(data, Linear(), FitContext(seed=0)).head(features)


def score(method: str, inspection: Inspection, plan: SplitPlan, answer: Answer) -> Score:
    """Return what a method scores on the tests of all folds together, as a row of the leaderboard."""
    predicted = np.full(len(inspection.labels), -1, np.int64)
    for split in plan.splits.values():
        predicted[split.test] = answer(split)[split.test].argmax(axis=1)
    paths = [image.sample.path for image in inspection.images]
    groups = dict(zip(paths, map(str, plan.group_of.tolist()), strict=True))
    answers = RowPredictions(paths, inspection.labels, predicted[None], [])
    dependence = learn_dependences({"row": answers}, groups, [])["row"]
    found = row_scores(answers, inspection.classes, groups, dependence)
    chance = max(inspection.counts.values()) / len(paths)
    return Score(method, found["accuracy"], found["accuracy_low"], found["accuracy_high"], chance)


def open_backbone(weights_dir: Path | None) -> Extract:
    """Return a function from files to features of `BACKBONE`, by the engine that `steelbench run` chooses."""
    from steelbench.features.engines import ENGINES, choose_engine, open_engine
    from steelbench.features.extraction import batches
    from steelbench.models.pretrained import encoder_with_weights
    from steelbench.models.weight_files import resolve

    encoder = encoder_with_weights(BACKBONE, resolve(BACKBONE, "imagenet", weights_dir))
    engine, size = choose_engine("auto", "float32", gpus=0), encoder.get_layer("resizing").height
    compute = open_engine(engine, encoder, "float32")

    def extract(files: Sequence[Path]) -> Features:
        pixels = (resize(read_image(file), size) for file in files)
        found = compute(batch for batch, _ in batches(pixels, ENGINES[engine].batch))
        return np.concatenate(list(found))[: len(files)]

    return extract


def null_lines(scores: Sequence[Score]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each method: mean accuracy over the data sets, its interval, chance, intervals above it.

    The last cell is the probability of at least so many intervals above chance, if each is by 1 in 40.
    """
    from scipy.stats import binom, t

    for method in dict.fromkeys(score.method for score in scores):
        own = [score for score in scores if score.method == method]
        values, chance = np.array([score.accuracy for score in own]), np.mean([score.chance for score in own])
        half = t.ppf(0.975, len(own) - 1) * values.std(ddof=1) / np.sqrt(len(own))
        above = sum(score.low > score.chance for score in own)
        yield (
            method,
            f"{values.mean():.1%}",
            f"{values.mean() - half:.1%} to {values.mean() + half:.1%}",
            f"{chance:.1%}",
            f"{above} of {len(own)}",
            f"{binom.sf(above - 1, len(own), 0.025):.2f}",
        )


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (columns, ["---"] * len(columns), *rows))


def main() -> None:
    """Measure both tables, print them, write the file."""
    from steelbench.cli.tables import show

    options = parse()
    dial = []
    for difficulty in (0.0, DIFFICULTY, 1.0):
        print(f"demo_difficulty: difficulty {difficulty:g}", file=sys.stderr)
        for found in run_scores(difficulty, options.weights_dir):
            interval = f"{found.low:.1%} to {found.high:.1%}"
            dial.append((f"{difficulty:g}", found.method, f"{found.accuracy:.1%}", interval, f"{found.chance:.1%}"))
    extract, null = open_backbone(options.weights_dir), []
    for seed in range(options.seeds):
        print(f"demo_difficulty: data set {seed + 1} of {options.seeds}", file=sys.stderr)
        null += null_scores(seed, options.images, extract)
    tables = [
        (("difficulty", "method", "accuracy", "95 % interval", "chance"), dial),
        (("method", "mean accuracy", "95 % interval", "chance", "above chance", "p"), list(null_lines(null))),
    ]
    for columns, rows in tables:
        show(columns, rows, right=("accuracy", "mean accuracy", "chance"))
        print()
    if options.out:
        write_text(options.out, "\n".join(markdown(*table) for table in tables))
        print(options.out)


if __name__ == "__main__":
    from steelbench.cli.exit import exit_code

    sys.exit(exit_code(main))
