"""Write the conclusion that a leaderboard allows; a row is called best only if all others are shown to be worse."""

from __future__ import annotations

from collections.abc import Sequence

from steelbench.records import Comparison, Row, ShareScore, Summary
from steelbench.report.formatting import (
    backbone_label,
    count,
    interval,
    is_majority,
    is_untrained,
    join,
    limits,
    method_label,
    p_value,
    percent,
    points,
    row_label,
)

# Below this share of independent images among all test images, the sentence gives their number.
NOTABLE = 0.95


def standings(rows: Sequence[Row]) -> dict[str, str]:
    """Return `best` or `tied for best` by row name, of the rows that are; {} if the rows were not compared."""
    tied = [row.name for row in rows if row.tied]
    return dict.fromkeys(tied, "best" if len(tied) == 1 else "tied for best")


def conclusion(summary: Summary) -> str:
    """Return one sentence on what the rows show, and further ones on what limits it.

    A row is called best only if every other one is shown to be worse (`Summary.judgement`); that two intervals
    overlap, or do not, decides nothing. Rows whose backbone is untrained are counted, and never named.
    """
    models = [row for row in summary.rows if not is_majority(row)]
    done = [row for row in models if row.status == "done" and row.accuracy is not None]
    failed = len(models) - len(done)
    failures = f" {count(failed, 'row')} failed." if failed else ""
    ranked = [row for row in done if not is_untrained(row)]
    untrained = _untrained([row for row in done if is_untrained(row)])
    if not done:
        return "No experiment finished, so there is nothing to conclude." + failures
    if not ranked:
        return "Nothing can be ranked." + untrained + failures
    comparison = summary.judgement
    best = next((row for row in ranked if row.name == comparison.best), None)
    best = best or max(ranked, key=lambda row: row.accuracy or 0.0)
    cautions = (
        _escape_and_overkill(best),
        _not_compared(comparison),
        _against_majority(best, summary),
        untrained,
        failures,
    )
    return _verdict(best, [row for row in ranked if row is not best], comparison) + "".join(cautions)


def _verdict(best: Row, rivals: Sequence[Row], comparison: Comparison) -> str:
    score = " ".join(filter(None, (percent(best.accuracy), interval(best)))) + _images(best)
    label, could = row_label(best), _could_have_shown(comparison, rivals)
    if not rivals:
        return f"{label} reaches {score}; it is the only finished row, so nothing is compared{could}."
    if comparison.best is None:
        return f"Highest: {label}, {score}; these records do not say whether the other rows are worse."
    compared = [row for row in rivals if row.tied is not None]
    tied = [row for row in compared if row.tied]
    if not compared:
        return f"{label} reaches {score}{could}."
    if not tied:
        others = "the other row is" if len(compared) == 1 else f"each of the {len(compared)} other rows is"
        worst = p_value(max(row.p_value or 0.0 for row in compared))
        return f"Best: {label}, {score}; {others} shown to be worse ({worst}){_retrained(compared, comparison)}{could}."
    beaten = _beaten_baselines(compared)
    if len(tied) <= 3 and {(row.backbone, row.variant) for row in tied} == {(best.backbone, best.variant)}:
        networks = {row.backbone for row in compared} - {best.backbone, "none"}
        name = f"Best network: {backbone_label(best)}," if networks else f"{backbone_label(best)}:"
        heads = f"{join([method_label(row) for row in tied])} on it {'is' if len(tied) == 1 else 'are'} not shown to be"
        every = ", every other network is" if networks else ""
        return f"{name} {score}, with {method_label(best)}; {heads} worse{every}{beaten}{could}."
    return f"No winner: {label}, {score}, is not shown to be better than {_named(tied, compared)}{beaten}{could}."


def _images(best: Row) -> str:
    if best.n_test is None:
        return ""
    worth = ""
    if best.n_effective is not None and best.n_effective < NOTABLE * best.n_test:
        worth = f" (worth {best.n_effective:.0f} independent ones)"
    return f" on {best.n_test} test images{worth}"


def _escape_and_overkill(best: Row) -> str:
    """Say how often the highest row lets a defect escape, and calls sound material a defect."""
    sound = best.sound
    if sound is None or sound.escape is None:
        return ""
    told = f" It calls {_share(sound.escape)} of the images with a defect '{sound.name}' (escape)"
    if sound.overkill is None:
        return f"{told}."
    return f"{told}, and {_share(sound.overkill)} of '{sound.name}' a defect (overkill)."


def _share(score: ShareScore) -> str:
    return f"{percent(score.share)} {limits(score.low, score.high)}"


def _named(tied: Sequence[Row], compared: Sequence[Row]) -> str:
    if len(tied) <= 2:
        return join([row_label(row) for row in tied])
    many = f"any of the {len(tied)} other rows" if len(tied) == len(compared) else f"{len(tied)} other rows"
    baselines = [row_label(row) for row in tied if row.backbone == "none"]
    return many + (f", {join(baselines)} among them" if baselines else "")


def _beaten_baselines(compared: Sequence[Row]) -> str:
    names = [method_label(row) for row in compared if row.backbone == "none" and row.tied is False]
    return f"; {join(names)} is shown to be worse" if names else ""


def _could_have_shown(comparison: Comparison, rivals: Sequence[Row]) -> str:
    """Say how small a true difference these test images show four times out of five, and between which rows."""
    smallest = comparison.smallest_difference
    rival = next((row for row in rivals if row.name == comparison.rival), None)
    if smallest is None:
        return ""
    if smallest >= 1:
        return "; so few test images cannot reliably show any difference"
    if rival is None:
        return f"; this test set reliably shows only differences of {points(smallest)} or more"
    return f"; from {row_label(rival)} this test set reliably shows a difference of {points(smallest)} or more"


def _retrained(worse: Sequence[Row], comparison: Comparison) -> str:
    """Return a clause on the rows that are worse on these images, but maybe not after training on other images."""
    p_values, level = comparison.resampled_t, comparison.level
    open_ = [row for row in worse if p_values.get(row.name, 0.0) > level]
    if not open_:
        return ""
    named = row_label(open_[0]) if len(open_) == 1 else f"{len(open_)} of them"
    return f", but trained on other images {named} might not be"


def _not_compared(comparison: Comparison) -> str:
    others = len(comparison.left_out)
    if not others:
        return ""
    return f" {count(others, 'row')} {'was' if others == 1 else 'were'} tested on other images and cannot be compared."


def _against_majority(best: Row, summary: Summary) -> str:
    majority = next((row for row in summary.rows if is_majority(row)), None)
    low = best.accuracy if best.accuracy_low is None else best.accuracy_low
    if majority is None or majority.accuracy is None or (low or 0.0) > majority.accuracy:
        return ""
    return f" It is not shown to beat always naming the largest class ({percent(majority.accuracy)})."


def _untrained(rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.backbone for row in rows))
    if not names:
        return ""
    return (
        f" {count(len(names), 'network')} ran untrained and {'is' if len(names) == 1 else 'are'} not ranked; "
        "`steelbench weights list` says how to get the weights."
    )
