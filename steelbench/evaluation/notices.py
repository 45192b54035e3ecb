"""What a reader must know before believing a number, found in the numbers themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from steelbench.records import Notice, Row

# Features of different images differ by .4 and more (relative); below this something upstream is wrong.
LEAST_SPREAD = 0.25
# An interval wider than this says little; a class with fewer test images than that, nothing.
WIDEST = 0.10
FEWEST = 10
# Points by which training may lie above the majority rate, or below validation, by chance alone.
NEAR = 0.02
FAR = 0.05


def doubts(rows: Sequence[Row], split: dict[str, Any]) -> Iterator[Notice]:
    """Every doubt about the rows.

    Args:
        rows: of the leaderboard.
        split: as in `Summary`.
    """
    majority = next((row for row in rows if row.method == "majority"), None)
    untrained = sorted({row.backbone for row in rows if row.weights == "random"})
    if untrained:
        yield Notice(
            level="serious",
            text=f"{', '.join(untrained)}: the weights are random. These networks never saw a picture before; the "
            "numbers say nothing about the backbones as people use them. With the files that `steelbench weights list` "
            "names in --weights-dir, run again with --weights imagenet.",
        )
    done = [row for row in rows if row.status == "done" and row.method != "majority"]
    for row in done:
        yield from _about(row, majority, int(split.get("validation") or 0))
    if done:
        yield from _about_test_set(done[0], split)


def _about(row: Row, majority: Row | None, n_validation: int) -> Iterator[Notice]:
    rate = majority.accuracy if majority else None
    if rate is not None and row.accuracy is not None and row.accuracy_low is not None and row.accuracy_low <= rate:
        yield Notice(
            level="serious",
            row=row.name,
            text=f"accuracy {row.accuracy:.1%} is not above the majority class ({rate:.1%}): it has learned "
            "nothing. Wrong pixel range, learning rate or labels are the usual causes.",
        )
    trained = majority.train_accuracy if majority else None
    if trained is not None and row.train_accuracy is not None and row.train_accuracy <= trained + NEAR:
        yield Notice(
            level="serious",
            row=row.name,
            text=f"training accuracy never rose: {row.train_accuracy:.1%}, the majority class alone gives "
            f"{trained:.1%}. It cannot even repeat what it was shown; look at pixel range, learning rate and labels.",
        )
    if row.train_accuracy is not None and row.validation_accuracy is not None:
        gap = row.validation_accuracy - row.train_accuracy
        # Three standard errors of as many images as validate.
        chance = 3 * (row.train_accuracy * (1 - row.train_accuracy) / n_validation) ** 0.5 if n_validation else 0.0
        if gap > max(FAR, chance):
            yield Notice(
                level="caution",
                row=row.name,
                text=f"validation ({row.validation_accuracy:.1%}) lies {100 * gap:.1f} points above training "
                f"({row.train_accuracy:.1%}): the validation images are easier, or share something with the choice.",
            )
    health = row.detail.get("notes", {}).get("features") if isinstance(row.detail.get("notes"), dict) else None
    if isinstance(health, dict) and isinstance(health.get("spread"), float) and health["spread"] < LEAST_SPREAD:
        yield Notice(
            level="serious",
            row=row.name,
            text=f"its features hardly change from image to image (spread {health['spread']:.3f}, usual are 0.4 and "
            f"more; {health.get('constant', 0):.0%} are constant). Pixels in 0..1 instead of 0..255 do this.",
        )


def _about_test_set(row: Row, split: dict[str, Any]) -> Iterator[Notice]:
    if row.accuracy_low is not None and row.accuracy_high is not None and row.accuracy_high - row.accuracy_low > WIDEST:
        told = f", which tell as much as {row.n_effective:.0f} independent ones" if row.n_effective else ""
        yield Notice(
            level="caution",
            text=f"The test set is too small for fine claims: {row.n_test} images{told}; the 95 % interval of the best "
            f"row is {100 * (row.accuracy_high - row.accuracy_low):.0f} points wide.",
        )
    # Each seed tests the same images again, or as many others: what counts is one seed's.
    seeds = max(1, int(split.get("seeds", 1)))
    images = {found.name: found.support // seeds for found in row.per_class}
    gone = [f"'{name}'" for name, count in images.items() if count == 0]
    few = [f"'{name}' ({count})" for name, count in images.items() if 0 < count < FEWEST]
    if gone:
        yield Notice(level="serious", text=f"No test image of {', '.join(gone)}: nothing is known about the recall.")
    if few:
        yield Notice(
            level="caution", text=f"Fewer than {FEWEST} test images of {', '.join(few)}; the recall there is a guess."
        )
