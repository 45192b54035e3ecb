"""How well a score tells unknown images from known ones: AUROC, false alarms at 95 % detection, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelbench.arrays import Floats, Groups, RowIndices
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.records import Detection, ScoreName

DETECTION = 0.95
# Share of known validation images that a threshold may flag.
FLAGGED = 0.05
LEVEL = 0.95
REPLICATES = 1000
# Replicates whose weights are in memory at a time.
CHUNK = 100
ByScore = dict[ScoreName, Detection]


@dataclass(frozen=True)
class Scored:
    """The scores of one left-out class; a higher one is more unfamiliar.

    Attributes:
        known: float64 [A], of test images of the other classes.
        unknown: float64 [B], of images of the class.
        threshold: chosen on known validation images.
    """

    known: Floats
    unknown: Floats
    threshold: float


@dataclass(frozen=True)
class Evidence:
    """The images of one left-out class.

    Attributes:
        known: int [A], rows of all images.
        unknown: int [B], rows of all images.
        scores: of the same images, by the score's name.
    """

    known: RowIndices
    unknown: RowIndices
    scores: Mapping[ScoreName, Scored]


def auroc(known: Floats, unknown: Floats, known_weights: Floats, unknown_weights: Floats) -> Floats:
    """Return the probability that an unknown image scores higher than a known one, ties as halves.

    Args:
        known: float64 [A].
        unknown: float64 [B].
        known_weights: float64 [R, A], how often each image counts, in each of R replicates.
        unknown_weights: float64 [R, B].

    Returns:
        float64 [R]; NaN where all images of one side have the weight 0.
    """
    order = np.argsort(known, kind="stable")
    below = np.concatenate([np.zeros((len(known_weights), 1)), np.cumsum(known_weights[:, order], axis=1)], axis=1)
    first, last = (np.searchsorted(known[order], unknown, side=side) for side in ("left", "right"))
    beaten = (below[:, first] + below[:, last]) / 2
    pairs = below[:, -1] * unknown_weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((beaten * unknown_weights).sum(axis=1) / pairs)


def false_alarms(known: Floats, unknown: Floats, known_weights: Floats, unknown_weights: Floats) -> Floats:
    """Return the share of known images at or above the highest threshold that 95 % of the unknown reach.

    The arguments and the result are those of `auroc`.
    """
    falling = np.argsort(-unknown, kind="stable")
    reached = np.cumsum(unknown_weights[:, falling], axis=1)
    # A hair less than 95 %: a sum of weights may fall short of it by rounding.
    place = np.argmax(reached >= (DETECTION - 1e-12) * reached[:, -1:], axis=1)
    thresholds = unknown[falling][place]
    order = np.argsort(known, kind="stable")
    below = np.concatenate([np.zeros((len(known_weights), 1)), np.cumsum(known_weights[:, order], axis=1)], axis=1)
    missed = below[np.arange(len(below)), np.searchsorted(known[order], thresholds, side="left")]
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = 1.0 - missed / below[:, -1]
    return np.where(reached[:, -1] > 0, shares, np.nan)


def threshold_on_known(scores: Floats, flagged: float = FLAGGED) -> float:
    """Return the lowest score that at most a share of known images exceeds.

    Args:
        scores: float64 [V], of known images that the model was not trained on; at least one.
        flagged: the share, 0..1.
    """
    return float(np.quantile(scores, 1.0 - flagged, method="higher"))


def measure(evidence: Sequence[Evidence], groups: Groups, seed: int = 0) -> tuple[list[ByScore], ByScore]:
    """Return how well each score finds each left-out class, and the mean over classes, with 95 % intervals.

    Intervals are percentiles of a bootstrap over groups of all images, so that an image that several classes are
    compared with is drawn for all of them together. The heads stay as they are: how much another training would change
    is not in them.

    Args:
        evidence: of each class, all with the same scores and with images on both sides.
        groups: int64 [N], of all images; those of one group share pixels.
        seed: of the bootstrap.

    Returns:
        By score, of each class in order; by score, the mean.
    """
    names = list(evidence[0].scores)
    drawn = _replicates(evidence, groups, names, seed)
    found, whole = list[ByScore](), {name: list[Detection]() for name in names}
    for number, own in enumerate(evidence):
        ones = np.ones((1, len(own.known))), np.ones((1, len(own.unknown)))
        by_name: ByScore = {}
        for place, name in enumerate(names):
            scored = own.scores[name]
            values = tuple(float(rate(scored.known, scored.unknown, *ones)[0]) for rate in (auroc, false_alarms))
            counts = len(np.unique(groups[own.known])), len(np.unique(groups[own.unknown]))
            by_name[name] = _detection(scored, values, drawn[number, place], counts)
            whole[name].append(by_name[name])
        found.append(by_name)
    means = {name: _mean(whole[name], np.nanmean(drawn[:, place], axis=0)) for place, name in enumerate(names)}
    return found, means


def _replicates(evidence: Sequence[Evidence], groups: Groups, names: Sequence[ScoreName], seed: int) -> Floats:
    """Return AUROC and false alarms of each replicate, float64 [classes, scores, 2, replicates]."""
    _, member = np.unique(groups, return_inverse=True)
    count, rng = int(member.max()) + 1, np.random.default_rng(seed)
    parts = []
    for _ in range(REPLICATES // CHUNK):
        times = rng.multinomial(count, np.full(count, 1.0 / count), size=CHUNK).astype(np.float64)
        parts.append(
            [
                [
                    [
                        rate(scored.known, scored.unknown, times[:, member[own.known]], times[:, member[own.unknown]])
                        for rate in (auroc, false_alarms)
                    ]
                    for scored in (own.scores[name] for name in names)
                ]
                for own in evidence
            ]
        )
    return np.concatenate(np.array(parts), axis=-1)


def _detection(scored: Scored, values: tuple[float, ...], drawn: Floats, counts: tuple[int, int]) -> Detection:
    area, alarms = values
    low, high = _percentiles(drawn[0], area)
    if low == high:
        low, high = area_interval(area, *counts)
    alarms_low, alarms_high = _percentiles(drawn[1], alarms)
    if alarms_low == alarms_high:
        interval = proportion_interval(alarms, counts[0], level=LEVEL)
        alarms_low, alarms_high = interval.low, interval.high
    return Detection(
        auroc=area,
        auroc_low=low,
        auroc_high=high,
        false_alarms=alarms,
        false_alarms_low=alarms_low,
        false_alarms_high=alarms_high,
        detected=float(np.mean(scored.unknown > scored.threshold)),
        flagged=float(np.mean(scored.known > scored.threshold)),
    )


def _mean(found: Sequence[Detection], drawn: Floats) -> Detection:
    """Return the mean over classes.

    Args:
        found: of each class.
        drawn: float64 [2, replicates], means over classes.
    """
    fields = {name: float(np.mean([getattr(own, name) for own in found])) for name in Detection.model_fields}
    for name, row in (("auroc", drawn[0]), ("false_alarms", drawn[1])):
        low, high = _percentiles(row, fields[name])
        # Where no class varies, the means of the classes' own intervals stay.
        if low < high:
            fields[f"{name}_low"], fields[f"{name}_high"] = low, high
    return Detection(**fields)


def _percentiles(drawn: Floats, value: float) -> tuple[float, float]:
    """Return the percentiles of the level; they are made to hold the value itself."""
    if np.isnan(drawn).all():
        return value, value
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return min(float(low), value), max(float(high), value)


def area_interval(area: float, known: int, unknown: int) -> tuple[float, float]:
    """Return the interval of an AUROC by its variance at the limits, which is none of width 0 at an area of 1.

    A bootstrap of sides that do not overlap cannot say how far they might.

    Args:
        area: 0..1.
        known: independent images on one side.
        unknown: independent images on the other.

    References:
        Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2",
        Statistics in Medicine 25, 2006, method 5. https://doi.org/10.1002/sim.2324
        Hanley, McNeil, "The meaning and use of the area under a receiver operating characteristic curve", 1982.
    """
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + LEVEL / 2))
    steps = np.linspace(0.0, 1.0, 100_001)
    half = (known + unknown) / 2 - 1
    variance = steps * (1 - steps) * (1 + half * (1 - steps) / (2 - steps) + half * steps / (1 + steps))
    inside = steps[(area - steps) ** 2 <= z * z * variance / (known * unknown) + 1e-15]
    return min(float(inside[0]), area), max(float(inside[-1]), area)
