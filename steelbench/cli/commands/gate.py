"""`steelbench gate RESULTS_DIR`: exit 0 only if accuracy and escapes are shown to be good enough, for a pipeline."""

from __future__ import annotations

import re
from pathlib import Path

from steelbench.cli.terminal import result, say
from steelbench.errors import SteelbenchError
from steelbench.evaluation.gate import Check, accuracy_check, chosen_row, escape_check
from steelbench.records import Row, Summary, read_record
from steelbench.report.formatting import percent
from steelbench.runs.results_folder import refuse_no_folder

NOT_SHOWN = 3


def run_gate(results: Path, least: str | None, most: str | None, name: str | None) -> int:
    """Print a sentence for each demand.

    Args:
        results: the results folder.
        least: accuracy, such as `0.97` or `97%`.
        most: escapes, such as `0.005` or `0.5%`.
        name: of the row; None for the one that the verdict names.

    Returns:
        The exit code: 3 if a demand is not shown to be kept, or the row failed.

    Raises:
        SteelbenchError: if nothing is demanded, a demand is no share, or there is no such row.
    """
    if least is None and most is None:
        raise SteelbenchError("nothing is demanded; add --min-accuracy 0.97, --max-escape 0.5%, or both.")
    accuracy, escapes = parse_share("--min-accuracy", least), parse_share("--max-escape", most)
    refuse_no_folder(results)
    summary = read_record(results / "results.json", Summary)
    row = chosen_row(summary, name)
    for notice in summary.shown_notices:
        if notice.level == "serious" and notice.row in ("", row.name):
            say(f"serious: {notice.text}")
    if row.status != "done":
        print(result(f"FAIL {row.name}: it failed ({row.reason}), so nothing is shown about it."))
        return NOT_SHOWN
    checks = []
    if accuracy is not None:
        checks.append(accuracy_check(row, accuracy))
    if escapes is not None:
        checks.append(escape_check(row, escapes, card_threshold(results, row)))
    for check in checks:
        print(result(sentence(row.name, check)))
    return 0 if all(check.holds for check in checks) else NOT_SHOWN


def parse_share(option: str, text: str | None) -> float | None:
    """Return a share in 0..1 of a number, or of per cent: `0.97`, `97%`.

    Raises:
        SteelbenchError: for anything else.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(%?)\s*", text)
    value = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0 <= value <= 1:
        raise SteelbenchError(f"{option} {text} is no share; expected 0 to 1, or per cent such as 0.5%.")
    return value


def card_threshold(results: Path, row: Row) -> float | None:
    """Return the threshold on the card of the row's model, below which a person looks; None for none."""
    from steelbench.models.model_card import read_card_file

    if not row.model:
        return None
    card = read_card_file((results / row.model).with_suffix(".json"))
    return None if card.decision is None else card.decision.threshold


def sentence(name: str, check: Check) -> str:
    """Return what a check found, what was demanded, and how many images would show it."""
    side, way = ("lower", "at least") if check.at_least else ("upper", "at most")
    found = (
        f"{'PASS' if check.holds else 'FAIL'} {name}: {check.what} {percent(check.value)} ({check.definition}) on "
        f"{check.images} images that tell as much as {check.n_effective:.0f} independent ones; the {side} 95 % bound "
        f"is {percent(check.bound)}, demanded {way} {_percent(check.limit)}"
    )
    return f"{found}{'' if check.holds else _would_show(check)}."


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _would_show(check: Check) -> str:
    if check.images_needed is None:
        return "; no number of images would show it, unless the share itself becomes better"
    return f"; some {_rounded(check.images_needed)} images like these would show it, if the share stays what it is"


def _rounded(count: int) -> int:
    """Return two digits of a count, rounded up: more would not be true."""
    step = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step
