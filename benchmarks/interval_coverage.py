"""Do the intervals and tests of the report keep what they promise? Simulated test sets, known truth.

Run:      python benchmarks/interval_coverage.py [--sets N] [--out FILE.csv|FILE.md]
Takes:    2.5 minutes on one slow core (2000 sets); the standard error of a share is then .005 or less
Expect:   accuracy .935 to .981, and .973 to .998 at a true accuracy of .997, where errors are so few that no
          interval can cover .95; macro-F1 .943 to .982 (.997 at most); recall .955 to .999, more than .98 in
          groups, because a class has few of them. Wilson's interval that ignores groups: .68 to .83, and .88
          to .92 at .997. Tests: at most .042 false positives, .22 where groups are ignored.
Source:   none; the method is that of Brown, Cai and DasGupta 2001 and Korn and Graubard 1998: draw many
          test sets from a known truth, count how often the 95 % interval holds it.

A test set has 360 images of 6 classes, in groups of 1 to 8 images of one class, or each image by itself. The
answers of one group are alike: each group draws its own error rate from a beta distribution (intra-class
correlation 0.3 or 0.6). Two classes cause 60 % of the errors. Two models under comparison are equally
accurate and err on the same hard groups.
"""

from __future__ import annotations

import argparse
import csv
import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from steelbench.evaluation.statistics import (
    Interval,
    accuracy_interval,
    compare_pair,
    macro_f1_interval,
    recall_intervals,
    tied_for_best,
)
from steelbench.evaluation.statistics.bootstrap import macro_f1

IMAGES, CLASSES, SEEDS, MODELS = 360, 6, 3, 6
ACCURACIES = (0.90, 0.95, 0.98, 0.997)
# Of all errors, by true class.
ERROR_SHARES = np.array([0.05, 0.05, 0.1, 0.2, 0.3, 0.3])
# Largest group, intra-class correlation of the errors (of single images: only among models).
SETTINGS = {"single images": (1, 0.6), "groups, icc 0.3": (8, 0.3), "groups, icc 0.6": (8, 0.6)}
# Draws of the bootstrap; its variance from 500 differs by 6 % from that of many more, an interval by 3 %.
DRAWS = 500


@dataclass(frozen=True)
class Line:
    """Shares of simulated test sets, 0..1, for one setting.

    Coverage should be 0.95: of the accuracy's interval (`accuracy`), of the same for the mean of 3 seeds, of
    Wilson's as if images were independent (`ignoring`), of macro-F1's and of the recalls' (mean over classes,
    and the class with the least). False positives should be at most 0.05: of `compare_pair`, of the same
    without groups, of leaving a given one of 6 equal models out of `tied_for_best`.
    """

    setting: str
    truth: float
    accuracy: float
    seeds: float
    ignoring: float
    macro_f1: float
    recall: float
    recall_least: float
    pair: float
    pair_ignoring: float
    left_out: float


class World:
    """Test sets of one setting; `models` of equal true accuracy answer each of them."""

    def __init__(self, largest: int, icc: float, accuracy: float, rng: np.random.Generator) -> None:
        self.largest, self.icc, self.rng = largest, icc, rng
        self.error_rates = (1 - accuracy) * CLASSES * ERROR_SHARES

    def true_macro_f1(self) -> float:
        """Macro-F1 of endlessly many images; errors go to the other classes evenly."""
        confusion = np.tile(self.error_rates[:, None] / (CLASSES - 1), (1, CLASSES))
        np.fill_diagonal(confusion, 1 - self.error_rates)
        return float(macro_f1(confusion))

    def draw(self, models: int) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Return y_true [N], y_pred [models, N], groups [N]."""
        per_class = IMAGES // CLASSES
        y_true = np.repeat(np.arange(CLASSES), per_class)
        sizes = self.rng.integers(1, self.largest + 1, (CLASSES, per_class))
        # Each class has its own groups; the last one is cut.
        labels = [np.repeat(np.arange(per_class), own)[:per_class] for own in sizes]
        first, groups = np.unique(y_true * per_class + np.concatenate(labels), return_index=True, return_inverse=True)[
            1:
        ]
        rates = self._group_rates(self.error_rates[y_true[first]], models)[:, groups]
        wrong = self.rng.random((models, IMAGES)) < rates
        # Errors of one group name the same wrong class.
        shifts = self.rng.integers(1, CLASSES, (models, len(first)))[:, groups]
        return y_true, (y_true + wrong * shifts) % CLASSES, groups

    def _group_rates(self, rates: npt.NDArray[np.float64], models: int) -> npt.NDArray[np.float64]:
        """Return each model's error rate on each group, [models, G], of mean `rates` [G].

        Half of the groups are as hard for every model as for the next, so that models' errors are correlated.
        """
        strength = (1 - self.icc) / self.icc
        drawn = self.rng.beta(rates * strength, (1 - rates) * strength, (models + 1, len(rates)))
        return np.where(self.rng.random(len(rates)) < 0.5, drawn[-1], drawn[:-1])


def holds(interval: Interval, truth: float) -> bool:
    """Whether the interval holds the truth."""
    return interval.low <= truth <= interval.high


def simulate(setting: str, truth: float, sets: int) -> Line:
    """Draw `sets` test sets and count."""
    rng = np.random.default_rng([round(truth * 1000), list(SETTINGS).index(setting)])
    world = World(*SETTINGS[setting], truth, rng)
    true_f1 = world.true_macro_f1()
    counts = np.zeros(7)
    recalls = np.zeros(CLASSES)
    for _ in range(sets):
        y_true, y_pred, groups = world.draw(MODELS)
        correct = y_pred == y_true
        counts += [
            holds(accuracy_interval(correct[0], groups), truth),
            holds(accuracy_interval(correct[:SEEDS], groups), truth),
            holds(accuracy_interval(correct[0]), truth),
            holds(macro_f1_interval(y_true, y_pred[0], groups, CLASSES, draws=DRAWS), true_f1),
            compare_pair(correct[0], correct[1], groups).p_value <= 0.05,
            compare_pair(correct[0], correct[1]).p_value <= 0.05,
            "0" not in tied_for_best(dict(zip("012345", correct, strict=True)), groups),
        ]
        per_class = recall_intervals(y_true, y_pred[0], groups, CLASSES)
        recalls += [holds(each, 1 - rate) for each, rate in zip(per_class, world.error_rates, strict=True) if each]
    recall = [recalls.mean(), recalls.min()]
    shares = [round(float(count) / sets, 4) for count in (*counts[:4], *recall, *counts[4:])]
    return Line(setting, truth, *shares)


def markdown(lines: list[Line]) -> Iterator[str]:
    """The table's lines."""
    names = list(asdict(lines[0]))
    yield "| " + " | ".join(names) + " |"
    yield "|" + " --- |" * len(names)
    for line in lines:
        cells = [value if isinstance(value, str) else f"{value:.3f}" for value in asdict(line).values()]
        yield "| " + " | ".join(cells) + " |"


def write(lines: list[Line], out: Path) -> None:
    """Write the table as CSV, or as Markdown if the name ends in .md."""
    if out.suffix == ".md":
        out.write_text("\n".join(markdown(lines)) + "\n", encoding="utf-8")
        return
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, asdict(lines[0]))
        writer.writeheader()
        writer.writerows(map(asdict, lines))


def main() -> None:
    """Simulate every setting and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="simulated test sets per line (2000)")
    parser.add_argument("--out", type=Path, help="also write the table to this file, .csv or .md")
    options = parser.parse_args()
    if options.sets < 1:
        parser.error(f"--sets is {options.sets}; it must be at least 1")
    gc.freeze()  # statsmodels collects garbage on every call, which would take most of the time
    start, lines = time.perf_counter(), []
    for setting in SETTINGS:
        for truth in ACCURACIES:
            lines.append(simulate(setting, truth, options.sets))
            print(f"{setting}, {truth}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print("\n".join(markdown(lines)))
    if options.out:
        write(lines, options.out)


if __name__ == "__main__":
    main()
