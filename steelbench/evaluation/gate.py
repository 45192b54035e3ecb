"""Whether a row of a results folder is shown to be good enough: bounds of its accuracy and of its escapes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from steelbench.errors import SteelbenchError, choose
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.records import Row, Summary

LEVEL = 0.95
# More images than this nobody labels; the search for their number ends there.
MOST_IMAGES = 10**8


@dataclass(frozen=True, kw_only=True)
class Check:
    """One demand on a row, and what its test images say about it.

    Attributes:
        what: is bounded: "accuracy" or "escapes".
        definition: of the share, for people.
        value: seen, in 0..1.
        bound: what is shown with 95 %: the lower bound of an accuracy, the upper bound of escapes.
        limit: that is demanded.
        at_least: whether the value must be at least the limit; else at most.
        images: distinct images that it was seen on.
        n_effective: independent images that tell as much.
        images_needed: that would show it if the share stayed what it is; None if no number would.
    """

    what: str
    definition: str
    value: float
    bound: float
    limit: float
    at_least: bool
    images: int
    n_effective: float
    images_needed: int | None

    @property
    def holds(self) -> bool:
        """Return whether the bound keeps the limit."""
        return self.bound >= self.limit if self.at_least else self.bound <= self.limit


def chosen_row(summary: Summary, name: str | None) -> Row:
    """Return the row of that name; without one, the row that the verdict names: the most accurate of those compared.

    Raises:
        SteelbenchError: if there is none of that name, or no row was finished.
    """
    rows = {row.name: row for row in summary.rows}
    if name is not None:
        return rows[choose("row", name, rows)]
    finished = [row for row in summary.rows if row.status == "done" and row.method != "majority"]
    ranked = [row for row in finished if not row.untrained]
    named = [row for row in ranked if row.name == summary.judgement.best]
    if not ranked:
        raise SteelbenchError(
            "no model of the results folder finished, so there is none to judge; the report says why. Name one: --row."
        )
    return named[0] if named else max(ranked, key=lambda row: row.accuracy or 0.0)


def accuracy_check(row: Row, least: float) -> Check:
    """Return whether the row's accuracy is shown to be at least that; by the interval of the leaderboard.

    Args:
        row: finished.
        least: in 0..1.

    Raises:
        SteelbenchError: if its record has no interval.
    """
    if row.accuracy is None or row.accuracy_low is None or row.n_effective is None or not row.n_test:
        raise SteelbenchError(
            f"{row.name} has no interval of its accuracy in results.json; run the same command again."
        )
    return Check(
        what="accuracy",
        definition="share of test images whose class is right",
        value=row.accuracy,
        bound=row.accuracy_low,
        limit=least,
        at_least=True,
        images=row.n_test,
        n_effective=row.n_effective,
        images_needed=_needed(row.accuracy, least, row.n_test / row.n_effective),
    )


def escape_check(row: Row, most: float, threshold: float | None) -> Check:
    """Return whether the share of escapes is shown to be at most that.

    An escape is what `evaluation.decision` calls so: an image that the model decides alone, and wrongly; where the
    results name a class of sound material, an image with a defect that it alone calls sound.

    Args:
        row: finished, with what its confidence is worth.
        most: in 0..1.
        threshold: of the model's card, below which a person looks; None if nobody does.

    Raises:
        SteelbenchError: if its record does not say what escapes.
    """
    trust = row.trust
    if trust is None or row.n_effective is None or not row.n_test or not trust.thresholds:
        raise SteelbenchError(f"{row.name} has no confidence to judge escapes by; use --min-accuracy, or another row.")
    none_class, sound = trust.none_class, row.sound.escape if row.sound else None
    # The lowest threshold that is not below the card's: the two are of one grid, but for rounding.
    place = next((n for n, own in enumerate(trust.thresholds) if own >= (threshold or 0.0) - 1e-9), -1)
    value, images, size = trust.escaped[place], row.n_test, row.n_effective
    definition = "share of all images that the model decides alone, and wrongly"
    if none_class:
        if sound is None:
            raise SteelbenchError(
                f"{row.name} was tested on no image with a defect, so nothing could escape; add some."
            )
        definition = f"share of the images with a defect that the model alone calls {none_class}"
        images, size = sound.images, sound.n_effective
    definition += f", of answers from {trust.thresholds[place]:g} on" if threshold else "; no person looks at any"
    return Check(
        what="escapes",
        definition=definition,
        value=value,
        bound=proportion_interval(value, size, level=LEVEL).high,
        limit=most,
        at_least=False,
        images=images,
        n_effective=size,
        images_needed=_needed(1 - value, 1 - most, images / size),
    )


def _needed(share: float, least: float, per_independent: float) -> int | None:
    """Return how many images show that a share of right ones, seen as it is, is at least that; None if none do.

    Args:
        share: seen, 0..1.
        least: 0..1.
        per_independent: images for each independent one, at least 1.
    """

    def shows(independent: float) -> bool:
        return proportion_interval(share, independent, level=LEVEL).low >= least

    # A share that is only just enough would take more images than there are.
    if share <= least or least >= 1 or not shows(MOST_IMAGES):
        return 1 if least <= 0 else None
    low, high = 1, 2
    while not shows(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return math.ceil(high * max(1.0, per_independent))
