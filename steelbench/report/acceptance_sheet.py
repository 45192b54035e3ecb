"""Write the acceptance sheet of one row: a page of A4 to print and sign."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from steelbench.errors import SteelbenchError, choose
from steelbench.files import write_text
from steelbench.models.model_card import read_card_fields
from steelbench.records import Row, ShareScore, SoundScores, Summary
from steelbench.report.confusion_table import class_names
from steelbench.report.formatting import flatten, row_label, shorten
from steelbench.report.load import Records, load
from steelbench.report.page_template import render

if TYPE_CHECKING:
    from steelbench.evaluation.statistics.intervals import Interval

# What fits a page of A4 beside everything else; more are cut, and the sheet says so.
SHOWN_CLASSES = 18
SHOWN_NOTICES = 2
COMMAND_LENGTH = 330
VERSIONS_LENGTH = 260


@dataclass(frozen=True)
class ClassLine:
    """A class on the sheet: its images, its recall, and how often images of other classes are named it."""

    name: str
    images: int
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    pseudo: Interval | None


def write_sheet(results: Path, asked: str) -> Path:
    """Write `sheet-<row>.html` into a results folder.

    Args:
        results: the results folder.
        asked: name or label of a finished row, such as `vgg19-softmax` or `vgg19 + softmax`.

    Returns:
        The path of the sheet.

    Raises:
        SteelbenchError: if `results.json` is missing or broken, or no finished row is called so.
    """
    records = load(results)
    row = find_row(records, asked)
    slug = re.sub(r"[^\w.=-]", "_", row.name)
    page = results / f"sheet-{slug}.html"
    write_text(page, render("sheet.html.j2", _context(results, records, row)))
    return page


def find_row(records: Records, asked: str) -> Row:
    """Return the finished row of a name or label.

    Raises:
        SteelbenchError: if there is none; names the closest.
    """
    rows = [*records.models, *records.untrained]
    if not rows:
        raise SteelbenchError(f"there is no row '{asked}', because no row of this folder finished; run it again.")
    labels = {row_label(row): row for row in rows}
    if asked in labels:
        return labels[asked]
    names = {row.name: row for row in rows}
    return names[choose("row", asked, names)]


def class_lines(row: Row) -> list[ClassLine]:
    """Return the classes of a row; where they are too many for a page, those with the lowest recall."""
    lines = [
        ClassLine(
            name=score.name,
            images=score.support,
            recall=score.recall if score.support else None,
            recall_low=score.recall_low,
            recall_high=score.recall_high,
            pseudo=pseudo_error(row, place),
        )
        for place, score in enumerate(row.per_class)
    ]
    if len(lines) <= SHOWN_CLASSES:
        return lines
    return sorted(lines, key=lambda line: (line.recall is None, line.recall))[:SHOWN_CLASSES]


def pseudo_error(row: Row, place: int) -> Interval | None:
    """Return the share of the images of other classes that a row names as this class; None without such images."""
    others = [counts for number, counts in enumerate(row.confusion) if number != place]
    return _share(row, sum(counts[place] for counts in others), sum(map(sum, others)))


def sound_material(row: Row) -> SoundScores | None:
    """Return escape and overkill; of older records, by their counts, if one class is called like sound material."""
    if row.sound:
        return row.sound
    from steelbench.evaluation.sound_material import find_none_class

    names = class_names(row)
    name = find_none_class(names)
    if not name:
        return None
    score, place = row.per_class[names.index(name)], names.index(name)
    escaped, missed = pseudo_error(row, place), 1 - score.recall
    low, high = (missed if limit is None else 1 - limit for limit in (score.recall_high, score.recall_low))
    overkill = ShareScore(share=missed, low=low, high=high, images=score.support, n_effective=score.support)
    return SoundScores(name=name, escape=escaped and _recorded(escaped), overkill=overkill if score.support else None)


def _recorded(own: Interval) -> ShareScore:
    images = round(own.n_effective)
    return ShareScore(share=own.value, low=own.low, high=own.high, images=images, n_effective=own.n_effective)


def _share(row: Row, hits: int, total: int) -> Interval | None:
    """Return a share of answers with its interval.

    The counts are summed over seeds, and images that share pixels tell less than others: these answers count as many
    independent images as their part of all answers is of the row's effective images.
    """
    from steelbench.evaluation.statistics.intervals import proportion_interval

    answers = sum(map(sum, row.confusion))
    independent = row.n_effective or row.n_test
    if not total or not independent:
        return None
    return proportion_interval(hits / total, max(1.0, independent * total / answers))


def _context(results: Path, records: Records, row: Row) -> dict[str, Any]:
    summary = records.summary
    serious = _serious(summary, row)
    return {
        "summary": summary,
        "row": row,
        "classes": class_lines(row),
        "all_classes": len(row.per_class),
        "sound": sound_material(row),
        "independent": _independent(row),
        "sha256": _digest_of_model(results, row),
        "promises": sorted(row.trust.promises, key=lambda own: own.escapes) if row.trust else [],
        "serious": serious[:SHOWN_NOTICES],
        "more_serious": len(serious[SHOWN_NOTICES:]),
        "command": shorten(_command(records.config), COMMAND_LENGTH),
        "versions": shorten(_versions(records.environment), VERSIONS_LENGTH),
    }


def _independent(row: Row) -> float:
    """Return how many independent images the promises are about: with a class of sound material, the defects."""
    if row.trust and row.trust.none_class and row.sound and row.sound.escape:
        return row.sound.escape.n_effective
    return row.n_effective or row.n_test or 0


def _serious(summary: Summary, row: Row) -> list[str]:
    """Return the serious notices about a row or the whole run; none is hidden from who signs."""
    return [own.text for own in summary.warnings if own.level == "serious" and own.row in ("", row.name)]


def _digest_of_model(results: Path, row: Row) -> str:
    """Return the SHA-256 that the card of a row's model states; "" without a model or a card."""
    card = (results / "models" / f"{Path(row.model).stem}.json") if row.model else None
    try:
        value = read_card_fields(card)["sha256"] if card else ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return value if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) else ""


def _command(config: Mapping[str, JsonValue] | None) -> str:
    command = (config or {}).get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")


def _versions(environment: Mapping[str, JsonValue] | None) -> str:
    return ", ".join(f"{name.split('.')[-1]} {value}" for name, value in flatten(environment or {}))
