"""Measure whether promised thresholds keep their promise: simulated test sets, groups like NEU's among them.

Run:      python benchmarks/escape_promises.py [--sets 1000] [--out FILE.json]
Takes:    two minutes for 1000 sets of each kind on 2 cores.
Expect:   a promise of 1 or 2 % is broken in at most 5 % of the sets, groups or not; a threshold read off the same
          images (the lowest that shows at most so many escapes) breaks it in about half of them, the one of the best F1
          nearly always where errors are frequent enough to matter.
Source:   Angelopoulos et al. 2021, "Learn then Test" (https://arxiv.org/abs/2110.01052), as MAPIE has it.

Every image has a logit of being right: a mean of its set, a normal term of its group (its share of the variance is
`icc`) and a normal term of its own; the answer is right with the probability that the logit says, and the model's
confidence is that probability made too certain (logit times 1.5). Groups have NEU's sizes as the audit finds them, or
one image each. The true share of escapes at a threshold is that of a million images. Counted: promises made, promises
broken, and the share of images sent to a person.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from interval_coverage import NEU_GROUPS

from steelbench.evaluation.decision import THRESHOLDS, guaranteed_threshold, one_of_each_group, referral_curve
from steelbench.files import write_json

Floats = NDArray[np.float64]
PROMISED = (0.01, 0.02)
SPREAD = 2.5


@dataclass(frozen=True)
class Setting:
    """A kind of test set: sizes of its groups, share of a group in the variance of the logit, mean of the logit."""

    name: str
    sizes: tuple[int, ...]
    icc: float
    mean: float


NEU_SIZES = tuple(size for own in NEU_GROUPS for size, count in own.items() for _ in range(count))
SETTINGS = (
    Setting("360 images", (1,) * 360, 0.0, 7.0),
    Setting("1800 images", (1,) * 1800, 0.0, 7.0),
    Setting("NEU's groups, icc 0.3", NEU_SIZES, 0.3, 7.0),
    Setting("NEU's groups, icc 0.9", NEU_SIZES, 0.9, 7.0),
    Setting("NEU's groups, icc 0.9, more errors", NEU_SIZES, 0.9, 5.0),
)


@dataclass(frozen=True)
class Outcome:
    """What became of one promise over all sets: shares of sets, and the mean share of images sent to a person."""

    setting: str
    accuracy: float
    promised: float
    rule: str
    made: float
    broken: float
    referred: float


def draw(setting: Setting, random: np.random.Generator) -> tuple[Floats, NDArray[np.bool_], NDArray[np.int64]]:
    """Return confidence [N], whether each answer is right [N], and groups [N] of a simulated test set."""
    groups = np.repeat(np.arange(len(setting.sizes)), setting.sizes)
    of_group = random.normal(0, SPREAD * np.sqrt(setting.icc), len(setting.sizes))[groups]
    logit = setting.mean + of_group + random.normal(0, SPREAD * np.sqrt(1 - setting.icc), len(groups))
    right = random.random(len(groups)) < 1 / (1 + np.exp(-logit))
    return 1 / (1 + np.exp(-1.5 * logit)), right, groups


def promised(escapes: float, confidence: Floats, right: NDArray[np.bool_], groups: NDArray[np.int64]) -> float | None:
    """Return the threshold that steelbench promises `escapes` for."""
    rows = one_of_each_group(groups)
    return guaranteed_threshold(confidence[rows], right[rows], escapes)


def observed(escapes: float, confidence: Floats, right: NDArray[np.bool_], _: NDArray[np.int64]) -> float | None:
    """Return the lowest threshold at which these images show at most `escapes`."""
    shares = referral_curve(confidence, right, THRESHOLDS)[1]
    return float(THRESHOLDS[shares <= escapes].min())


def best_f1(_: float, confidence: Floats, right: NDArray[np.bool_], __: NDArray[np.int64]) -> float | None:
    """Return the threshold at which accepting right answers has the highest F1."""
    alone = confidence[None, :] >= THRESHOLDS[:, None]
    hits = (alone & right).sum(axis=1)
    return float(THRESHOLDS[np.argmax(2 * hits / (alone.sum(axis=1) + right.sum()))])


RULES: dict[str, Callable[..., float | None]] = {"promised": promised, "observed": observed, "best F1": best_f1}


def measure(setting: Setting, sets: int, seed: int) -> list[Outcome]:
    """Return the outcome of every promise and rule over simulated sets."""
    random = np.random.default_rng([seed, 1])
    # A million independent images, so that the truth has an error of .0001 at 1 %.
    endless = Setting("", (1,) * 1_000_000, setting.icc, setting.mean)
    confidence, right, _ = draw(endless, np.random.default_rng([seed, 2]))
    truth = dict(zip(THRESHOLDS.tolist(), referral_curve_sorted(confidence, right), strict=True))
    found: dict[tuple[float, str], list[tuple[bool, bool, float]]] = {}
    for _ in range(sets):
        test = draw(setting, random)
        for escapes in PROMISED:
            for rule, choose in RULES.items():
                threshold = choose(escapes, *test)
                made = threshold is not None
                broken = threshold is not None and truth[threshold] > escapes
                sent = float(np.mean(test[0] < threshold)) if threshold is not None else 1.0
                found.setdefault((escapes, rule), []).append((made, broken, sent))
    return [
        Outcome(setting.name, float(right.mean()), escapes, rule, *(float(mean) for mean in np.mean(rows, axis=0)))
        for (escapes, rule), rows in found.items()
    ]


def referral_curve_sorted(confidence: Floats, right: NDArray[np.bool_]) -> list[float]:
    """Return the share of escapes at each threshold, for more images than `referral_curve` has memory for."""
    wrong = np.sort(confidence[~right])
    return [float((len(wrong) - np.searchsorted(wrong, threshold)) / len(confidence)) for threshold in THRESHOLDS]


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/escape_promises.json"))
    options = parser.parse_args()
    outcomes = []
    for number, setting in enumerate(SETTINGS):
        for own in measure(setting, options.sets, options.seed + number):
            outcomes.append(own)
            print(
                f"{own.setting}, accuracy {own.accuracy:.1%}, {own.promised:.0%} by {own.rule}: made {own.made:.1%}, "
                f"broken {own.broken:.1%}, sent to a person {own.referred:.1%}"
            )
    write_json(options.out, {"sets": options.sets, "outcomes": [asdict(own) for own in outcomes]})


if __name__ == "__main__":
    main()
