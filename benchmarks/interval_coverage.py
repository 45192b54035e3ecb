"""Do the intervals, tests and differences of the report keep what they promise? Simulated leaderboards, known truth.

Run:      python benchmarks/interval_coverage.py [--sets N] [--power-sets N] [--out FILE.md]
          python benchmarks/interval_coverage.py --leaderboards OLD.csv NEW.csv
Takes:    15 minutes on one slow core (2000 and 800 sets; the standard error of a coverage is then .005 or less, of a
          power .014)
Expect:   the tables of docs/statistics.md
Source:   none; the method is that of Brown, Cai and DasGupta 2001 and Korn and Graubard 1998: draw many
          test sets from a known truth, count how often the 95 % interval holds it.

Six rows of equal accuracy and three seeds each answer the same test set, as on a leaderboard. An image is wrong where a
latent difficulty passes a limit; the difficulty has a part that images of a group share and a part of their own, and
both have a part that all rows share, one that the seeds of a row share, and one of each seed. So rows err on the same
groups and the same images (the latent difficulties of two rows correlate by .7, of two seeds by .95; of the networks
on NEU by .5 to .95, of their seeds by .91 to 1), and the answers of a group are alike (`icc`: intraclass correlation
of right and wrong). Two classes cause 60 % of the errors.

A test set has 360 images of 6 classes, each by itself or in groups of 1 to 8, or 1800 images in the groups that the
audit finds in NEU: 525, of which 263 have one image and the largest 56.

All intervals and tests are those that the leaderboard calls: `learn_dependence`, `row_intervals`, `compare_with_best`
for the first table; `judge` itself for the second.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special
from statsmodels.stats.proportion import proportion_confint

from steelbench.evaluation.predictions import RowPredictions, RunScore
from steelbench.evaluation.ranking import LEVEL, judge
from steelbench.evaluation.statistics import Interval, compare_with_best, learn_dependence, row_intervals
from steelbench.evaluation.statistics.intervals import effective_size
from steelbench.evaluation.statistics.macro_f1 import macro_f1
from steelbench.evaluation.statistics.power import Discordance, smallest_difference
from steelbench.records import Row

Ints = npt.NDArray[np.int_]
Floats = npt.NDArray[np.float64]

CLASSES, SEEDS, ROWS = 6, 3, 6
# Rows of each set whose intervals are counted.
MEASURED = 3
ACCURACIES = (0.90, 0.95, 0.98, 0.997)
# Of all errors, by true class.
ERROR_SHARES = np.array([0.05, 0.05, 0.1, 0.2, 0.3, 0.3])
# Correlation of the latent difficulty between two rows, and between two seeds of a row.
BETWEEN_ROWS, BETWEEN_SEEDS = 0.7, 0.95
# NEU's audit: number of groups by their size, for each class.
NEU_GROUPS = (
    {1: 45, 2: 22, 3: 19, 4: 9, 5: 5, 6: 1, 7: 5, 8: 4, 10: 2},
    {1: 43, 2: 9, 3: 4, 4: 4, 5: 3, 6: 1, 7: 1, 8: 1, 10: 2, 11: 2, 13: 2, 14: 2, 18: 1, 24: 1, 41: 1},
    {1: 88, 2: 19, 3: 15, 4: 9, 5: 3, 6: 7, 7: 4, 8: 1},
    {1: 8, 2: 5, 3: 3, 4: 4, 5: 1, 6: 1, 9: 2, 11: 1, 15: 1, 17: 1, 18: 2, 26: 1, 28: 1, 39: 1, 56: 1},
    {1: 74, 2: 21, 3: 10, 4: 16, 5: 2, 6: 4, 9: 4, 10: 2},
    {1: 5, 2: 2, 3: 1, 4: 2, 5: 1, 6: 1, 8: 1, 10: 1, 13: 2, 14: 1, 19: 1, 20: 1, 21: 1, 22: 1, 39: 1, 43: 2},
)


@dataclass(frozen=True)
class Setting:
    """A kind of test set: largest group (0 for NEU's groups), intraclass correlation of the answers in a group."""

    name: str
    largest: int
    icc: float


SETTINGS = (
    Setting("single images", 1, 0.0),
    Setting("groups, icc 0.3", 8, 0.3),
    Setting("groups, icc 0.6", 8, 0.6),
    Setting("NEU's groups, icc 0.1", 0, 0.1),
    Setting("NEU's groups, icc 0.3", 0, 0.3),
)
# Setting, true accuracy and number of rows of each line of the second table.
POWERS = [(kind, truth, rows) for kind in range(len(SETTINGS)) for truth in (0.90, 0.98, 0.997) for rows in (2, ROWS)]
# A true accuracy of .9 and this difference leave the hardest class an error rate of .99.
MOST = 0.45


@dataclass(frozen=True)
class Coverage:
    """Shares of simulated test sets, 0..1, for one setting.

    Coverage should be .93 to .98: of the accuracy's interval of a row among six (`accuracy`), of macro-F1's, of the
    recalls' (mean over classes, and the class with the least), of the accuracy's for the mean of 3 seeds, for a row
    without others (`alone`), and of Wilson's as if images were independent (`ignoring`). False positives should be at
    most .06: of two equal rows the less accurate is called worse (`pair`), the same without groups, and some one of
    five rows is called worse than an equal one that was named beforehand (`family`). On a leaderboard the best of six
    equal rows is picked by the same images, which Holm's method does not know of: `picked`.
    """

    setting: str
    truth: float
    accuracy: float
    macro_f1: float
    recall: float
    recall_least: float
    seeds: float
    alone: float
    ignoring: float
    pair: float
    pair_ignoring: float
    family: float
    picked: float


@dataclass(frozen=True)
class Power:
    """The smallest difference that the report promises to show, and how often it is shown, for one setting.

    `difference` is the mean of what `judge` returns (in points) where all rows are equal; `power` the share of new test
    sets on which the first row is better than all others by that and the second is shown to be worse, should be .75 to
    .85; `independent` the difference (in points) if rows erred independently of each other.
    """

    setting: str
    truth: float
    rows: int
    difference: float
    power: float
    independent: float


@cache
def latent_correlation(error_rate: float, icc: float) -> float:
    """Return the correlation of two normal variables whose exceedances of a limit correlate by `icc`.

    Owen's T gives the probability that both exceed it: rate - 2 T(limit, sqrt((1 - r) / (1 + r))).
    """
    if icc == 0:
        return 0.0
    limit = special.ndtri(error_rate)

    def excess(r: float) -> float:
        both = error_rate - 2 * special.owens_t(limit, np.sqrt((1 - r) / (1 + r)))
        return float((both - error_rate**2) / (error_rate * (1 - error_rate)) - icc)

    return float(optimize.brentq(excess, 1e-9, 1 - 1e-9))


class World:
    """Test sets of one setting, answered by rows of given true accuracies."""

    def __init__(self, setting: Setting, rng: np.random.Generator, seeds: int = SEEDS) -> None:
        self.setting, self.rng, self.seeds = setting, rng, seeds

    def draw(self, accuracies: Sequence[float]) -> tuple[Ints, Ints, Ints]:
        """Return y_true [N], y_pred [R, S, N], groups [N]."""
        sizes = self._sizes()
        groups = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
        y_true = np.repeat(np.arange(CLASSES), [own.sum() for own in sizes])
        rates = np.array([error_rates(accuracy) for accuracy in accuracies])
        shared = np.array([[latent_correlation(rate, self.setting.icc) for rate in own] for own in rates])
        shared = shared[:, None, y_true]
        by_group = self._difficulty(len(accuracies), groups[-1] + 1)[..., groups]
        difficulty = np.sqrt(shared) * by_group + np.sqrt(1 - shared) * self._difficulty(len(accuracies), len(groups))
        wrong = difficulty < special.ndtri(rates)[:, None, y_true]
        # Errors of one group name the same wrong class.
        shifts = self.rng.integers(1, CLASSES, (len(accuracies), self.seeds, groups[-1] + 1))[..., groups]
        return y_true, (y_true + wrong * shifts) % CLASSES, groups

    def _difficulty(self, rows: int, count: int) -> Floats:
        """Return standard normal values [rows, seeds, count], correlated between rows and between seeds."""
        normal = self.rng.standard_normal
        of_row = np.sqrt(BETWEEN_SEEDS - BETWEEN_ROWS) * normal((rows, 1, count))
        return (
            np.sqrt(BETWEEN_ROWS) * normal(count)
            + of_row
            + np.sqrt(1 - BETWEEN_SEEDS) * normal((rows, self.seeds, count))
        )

    def _sizes(self) -> list[Ints]:
        """Return the sizes of each class's groups; of random ones the last is cut to 60 images a class."""
        if not self.setting.largest:
            return [np.repeat(list(found), list(found.values())) for found in NEU_GROUPS]
        ends = np.minimum(self.rng.integers(1, self.setting.largest + 1, (CLASSES, 60)).cumsum(axis=1), 60)
        steps = np.diff(ends, axis=1, prepend=0)
        return [own[own > 0] for own in steps]


def error_rates(accuracy: float) -> Floats:
    """Return the error rate of each class."""
    return (1 - accuracy) * CLASSES * ERROR_SHARES


def class_images(setting: Setting) -> Floats:
    """Return the images of each class; in NEU's audit a group of four with two classes counts as one class's."""
    if setting.largest:
        return np.full(CLASSES, 60.0)
    return np.array([sum(size * count for size, count in found.items()) for found in NEU_GROUPS], dtype=float)


def true_macro_f1(setting: Setting, accuracy: float) -> float:
    """Return macro-F1 of endlessly many images; errors go to the other classes evenly."""
    rates = error_rates(accuracy)
    confusion = np.tile(rates[:, None] / (CLASSES - 1), (1, CLASSES))
    np.fill_diagonal(confusion, 1 - rates)
    return float(macro_f1(confusion * class_images(setting)[:, None]))


def true_accuracy(setting: Setting, accuracy: float) -> float:
    """Return the accuracy of endlessly many images; `accuracy` where all classes have as many."""
    images = class_images(setting)
    return float(1 - images @ error_rates(accuracy) / images.sum())


def holds(interval: Interval, truth: float) -> bool:
    """Return whether the interval holds the truth."""
    return interval.low <= truth <= interval.high


def shows_worse(correct: npt.NDArray[np.bool_], groups: Ints, best: int | None = None) -> bool:
    """Return whether a row is shown to be worse than `best`, by default the most accurate one; `correct` is [R, N]."""
    best = int(np.argmax(correct.mean(axis=1))) if best is None else best
    tests = compare_with_best(str(best), {str(row): own for row, own in enumerate(correct)}, groups)
    return any(test.shows_worse(LEVEL) for test in tests.values())


def coverage(setting: Setting, accuracy: float, sets: int) -> Coverage:
    """Draw `sets` test sets and count."""
    world = World(setting, np.random.default_rng([round(accuracy * 1000), SETTINGS.index(setting)]))
    truth, true_f1, rates = true_accuracy(setting, accuracy), true_macro_f1(setting, accuracy), error_rates(accuracy)
    counts, recalls = np.zeros(9), np.zeros(CLASSES)
    for _ in range(sets):
        y_true, y_pred, groups = world.draw([accuracy] * ROWS)
        correct = y_pred == y_true
        first = correct[:, 0]
        pooled = learn_dependence(list(first), groups)
        several = [row_intervals(y_true, own[:1], groups, CLASSES, pooled) for own in y_pred[:MEASURED]]
        over_seeds = row_intervals(y_true, y_pred[0], groups, CLASSES, learn_dependence(list(correct), groups))
        alone = row_intervals(y_true, y_pred[0, :1], groups, CLASSES, learn_dependence([first[0]], groups))
        ignoring = proportion_confint(first[0].sum(), first[0].size, method="wilson")
        counts += [
            np.mean([holds(row.accuracy, truth) for row in several]),
            np.mean([holds(row.macro_f1, true_f1) for row in several]),
            holds(over_seeds.accuracy, truth),
            holds(alone.accuracy, truth),
            ignoring[0] <= truth <= ignoring[1],
            shows_worse(first[:2], groups),
            shows_worse(first[:2], np.arange(len(groups))),
            shows_worse(first, groups, best=0),
            shows_worse(first, groups),
        ]
        recalls += [
            np.mean([each is not None and holds(each, 1 - rate) for each in found])
            for *found, rate in zip(*(row.recalls for row in several), rates, strict=True)
        ]
    shares = [*counts[:2], recalls.mean(), recalls.min(), *counts[2:]]
    return Coverage(setting.name, accuracy, *(round(float(count) / sets, 4) for count in shares))


def power(setting: Setting, accuracy: float, rows: int, sets: int) -> Power:
    """Ask for the smallest difference of equal rows, make all but the first worse by it, count how often that shows."""
    world = World(setting, np.random.default_rng([round(accuracy * 1000), SETTINGS.index(setting), rows]), seeds=1)
    found = []
    for _ in range(sets):
        judged = judgement(world, [accuracy] * rows)
        apart = Discordance(each_way=accuracy * (1 - accuracy), n_effective=judged["n_effective"])
        promised = judged["smallest_difference"]
        # A class's error rate ends at 1.
        if promised <= MOST:
            shown = "1" not in judgement(world, [accuracy, *[accuracy - promised] * (rows - 1)])["tied"]
            found.append([promised, shown, smallest_difference(apart, level=LEVEL / (rows - 1))])
    means = np.mean(found, axis=0) if found else np.full(3, np.nan)
    return Power(setting.name, accuracy, rows, 100 * means[0], means[1], 100 * means[2])


def judgement(world: World, accuracies: Sequence[float]) -> dict[str, Any]:
    """Return what `judge` says of one drawn leaderboard."""
    y_true, y_pred, groups = world.draw(accuracies)
    correct = y_pred == y_true
    dependence = learn_dependence(list(correct), groups)
    size = effective_size(np.ones(len(groups)), groups, dependence)
    paths = [str(place) for place in range(len(groups))]
    answers = {
        str(row): RowPredictions(paths, y_true, own, [RunScore(0, 0, 0.0, 1, len(paths))])
        for row, own in enumerate(y_pred)
    }
    rows = [
        Row(name=name, backbone="b", method="m", weights="", status="done", accuracy=share, n_effective=size)
        for name, share in zip(answers, correct.mean(axis=(1, 2)), strict=True)
    ]
    ranked = sorted(rows, key=lambda row: -(row.accuracy or 0.0))
    by_path = dict(zip(paths, map(str, groups), strict=True))
    return judge(ranked, answers, by_path, dict.fromkeys(answers, dependence))[1]


def beside(old: Path, new: Path) -> Iterator[dict[str, str]]:
    """Yield by row the accuracy, and its interval and independent images in two files `leaderboard.csv`."""
    first, second = (_rows(path) for path in (old, new))
    for name in second:
        if name in first:
            yield {
                "row": name,
                "accuracy": f"{float(second[name]['accuracy']):.2%}",
                "old interval": _interval(first[name]),
                "worth": f"{float(first[name]['n_effective']):.0f}",
                "new interval": _interval(second[name]),
                "now worth": f"{float(second[name]['n_effective']):.0f}",
            }


def _rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.DictReader(file) if line["status"] == "done"]
    return {" + ".join(filter(None, (line["backbone"], line["method"], line["variant"]))): line for line in lines}


def _interval(line: dict[str, str]) -> str:
    return "{:.2%} to {:.2%}".format(*(float(line[f"accuracy_{end}"]) for end in ("low", "high")))


def markdown(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| " + " | ".join(lines[0]) + " |"
    yield "|" + " --- |" * len(lines[0])
    for line in lines:
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in line.values()]
        yield "| " + " | ".join(cells) + " |"


def simulated(sets: int, power_sets: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the lines of the two tables; the time of each goes to stderr."""
    start = time.perf_counter()

    def timed(line: Coverage | Power) -> dict[str, Any]:
        print(f"{line.setting}, {line.truth}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        return asdict(line)

    yield [timed(coverage(setting, truth, sets)) for setting in SETTINGS for truth in ACCURACIES]
    yield [timed(power(SETTINGS[kind], truth, rows, power_sets)) for kind, truth, rows in POWERS]


def main() -> None:
    """Simulate every setting and print the tables, or set two leaderboards beside each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="simulated test sets per line of the first table (2000)")
    parser.add_argument("--power-sets", type=int, default=800, help="the same of the second table (800)")
    parser.add_argument("--leaderboards", type=Path, nargs=2, metavar="CSV", help="only set these beside each other")
    parser.add_argument("--out", type=Path, help="also write the tables to this Markdown file")
    options = parser.parse_args()
    if min(options.sets, options.power_sets) < 1:
        parser.error("--sets and --power-sets must be at least 1")
    if options.leaderboards:
        tables: Iterable[list[dict[str, Any]]] = [list(beside(*options.leaderboards))]
    else:
        tables = simulated(options.sets, options.power_sets)
    text = "\n\n".join("\n".join(markdown(lines)) for lines in tables)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
