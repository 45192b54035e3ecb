"""The notices that finished results call for; `steelbench/notices.py` has their codes and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.notices import notice
from steelbench.records import OWN_SPLIT, Notice, Row, SplitSummary

# Features of different images differ by .4 and more (relative); below this something upstream is wrong.
LEAST_SPREAD = 0.25
# An interval wider than this says little; a class with fewer test images than that, nothing.
WIDEST = 0.10
FEWEST = 10
# Points by which training may lie above the majority rate, or below validation, by chance alone.
NEAR = 0.02
FAR = 0.05
# To show that an accuracy is above the majority rate, no one collects more independent images than this.
MOST_IMAGES = 1_000_000


def result_notices(rows: Sequence[Row], split: SplitSummary) -> Iterator[Notice]:
    """Yield every notice that the rows give rise to.

    Args:
        rows: of the leaderboard, best first.
        split: how the images were divided.
    """
    # Folds of a split that the data brings are refused.
    folds = "(--split regroup --folds 5)" if split.kind == OWN_SPLIT else "(--folds 5)"
    for told in _result_notices(rows, split):
        yield told.model_copy(update={"text": told.text.replace("(--folds 5)", folds)})


def _result_notices(rows: Sequence[Row], split: SplitSummary) -> Iterator[Notice]:
    majority = next((row for row in rows if row.method == "majority"), None)
    untrained = sorted({row.backbone for row in rows if row.weights == "random"})
    if untrained:
        yield notice("SB301", names=", ".join(untrained))
    done = [row for row in rows if row.status == "done" and row.method != "majority"]
    for row in done:
        # An untrained network that learns nothing is no news, and its features may lie as close as they like.
        if row.weights != "random":
            yield from _against_majority(row, majority)
            yield from _about_features(row)
        yield from _about_training(row, split.validation)
    if done:
        yield from _about_test_set(done[0], split)


def _against_majority(row: Row, majority: Row | None) -> Iterator[Notice]:
    """Compare a row with always naming the largest class; a baseline gets no advice on its training."""
    advise = row.backbone != "none"
    rate = majority.accuracy if majority else None
    if rate is not None and row.accuracy is not None and row.accuracy_low is not None and row.accuracy_low <= rate:
        # Where all test images are of one class, naming it is always right, and a row can only be as good.
        if row.accuracy <= rate < 1:
            yield notice("SB401", row.name, advise=advise, accuracy=_short_of_1(row.accuracy), majority=rate)
        else:
            high = row.accuracy if row.accuracy_high is None else row.accuracy_high
            yield notice(
                "SB402", row.name, accuracy=_short_of_1(row.accuracy), low=row.accuracy_low, high=high,
                majority=_short_of_1(rate), needed=_images_needed(row, row.accuracy, rate),
            )  # fmt: skip
    trained = majority.train_accuracy if majority else None
    # Between a rate of 98 % and a training accuracy of 100 % lie 2 points, too.
    if (
        trained is not None
        and row.train_accuracy is not None
        and row.train_accuracy <= trained + min(NEAR, (1 - trained) / 2)
    ):
        yield notice("SB403", row.name, advise=advise, accuracy=_short_of_1(row.train_accuracy), majority=trained)


def _short_of_1(share: float) -> float:
    """Return a share that one decimal of per cent does not round up to a perfect score."""
    return share if share >= 1 else min(share, 0.999)


def _images_needed(row: Row, accuracy: float, rate: float) -> str:
    """Say how many independent test images would show this accuracy to be above the rate, and how many there are."""
    if rate >= 1:
        return " All test images are of that class, so nothing can be."
    low, high = 1, MOST_IMAGES
    if proportion_interval(accuracy, high).low <= rate:
        return ""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if proportion_interval(accuracy, middle).low > rate else (middle + 1, high)
    worth = "" if row.n_effective is None else f"; those tested tell as much as {row.n_effective:.0f}"
    return f" About {high} independent test images would show it{worth}."


def _about_training(row: Row, n_validation: int) -> Iterator[Notice]:
    if row.train_accuracy is None or row.validation_accuracy is None:
        return
    gap = row.validation_accuracy - row.train_accuracy
    # Three standard errors of as many images as validate.
    chance = 3 * (row.train_accuracy * (1 - row.train_accuracy) / n_validation) ** 0.5 if n_validation else 0.0
    if gap > max(FAR, chance):
        yield notice(
            "SB404", row.name, validation=row.validation_accuracy, points=100 * gap, train=row.train_accuracy
        )  # fmt: skip


def _about_features(row: Row) -> Iterator[Notice]:
    health = row.detail.notes.features if row.detail.notes else None
    if health is not None and health.spread < LEAST_SPREAD:
        yield notice("SB306", row.name, spread=health.spread, constant=health.constant)


def _about_test_set(row: Row, split: SplitSummary) -> Iterator[Notice]:
    if row.accuracy_low is not None and row.accuracy_high is not None and row.accuracy_high - row.accuracy_low > WIDEST:
        worth = f", which tell as much as {row.n_effective:.0f} independent ones" if row.n_effective else ""
        yield notice("SB501", images=row.n_test, worth=worth, points=100 * (row.accuracy_high - row.accuracy_low))
    # Each seed tests the same images again, or as many others: what counts is one seed's.
    images = {found.name: found.support / max(1, split.seeds) for found in row.per_class}
    gone = [f"'{name}'" for name, count in images.items() if count == 0]
    sizes = {found.name: found.n_effective for found in row.per_class}
    few = [told for name, count in images.items() if count and (told := _too_few(name, count, sizes[name]))]
    if gone:
        yield notice("SB502", names=", ".join(gone))
    if few:
        yield notice("SB503", names=", ".join(few))


def _too_few(name: str, images: float, worth: float | None) -> str:
    """Return the class with its test images, and what they are worth if they share pixels; "" if there are enough."""
    count = max(1, int(images))
    if images < FEWEST:
        return f"'{name}' ({count})"
    return f"'{name}' ({count}, worth {worth:.0f})" if worth is not None and round(worth) < FEWEST else ""
