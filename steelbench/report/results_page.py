"""Write `report.html`, one file that needs no other, from the records of a results folder."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from steelbench.evaluation.error_tables import DOSSIERS
from steelbench.evaluation.published import published_for
from steelbench.files import write_text
from steelbench.notices import NOTICES, known_codes
from steelbench.records import ClassScore, EmbeddingScores, Row, SplitSummary
from steelbench.report import formatting
from steelbench.report.conclusion import conclusion, standings
from steelbench.report.confusion_table import confusion_tables
from steelbench.report.costs import cost_context
from steelbench.report.figures.scale import Scale
from steelbench.report.gallery import collect, shown_paths
from steelbench.report.load import Records, load
from steelbench.report.mill_conditions import mill_conditions
from steelbench.report.next_steps import next_steps_context
from steelbench.report.page_template import render
from steelbench.report.reproduce import row_commands
from steelbench.report.unknown_defects import unknown_defects
from steelbench.runs.intact import seal_again

if TYPE_CHECKING:
    from steelbench.report.figures.all_figures import FigureFile

LEVELS = {"serious": 0, "caution": 1, "note": 2}
SHOWN_SKIPPED = 20
OPEN_HARD, SHOWN_HARD = 6, DOSSIERS
SHOWN_EXAMPLES = 6
SHOWN_IN_CELL = 60
FIRST_NOTICES = 3


def build_report(results: Path, silence: Sequence[str] = ()) -> Path:
    """Draw `figures/*.png` and write `report.html` from the records in `results`.

    Args:
        results: the results folder.
        silence: codes of notices to hide, besides those that the run was told to hide.

    Returns:
        The path of the page.

    Raises:
        SteelbenchError: if `results.json` is missing or broken, or a code is unknown.
    """
    # Imported here, because Matplotlib takes half a second and `steelbench --help` does not need it.
    from steelbench.report.figures.all_figures import draw_figures

    hidden = known_codes(silence)
    records = load(results)
    pictures = draw_figures(records, results / "figures")
    page = results / "report.html"
    context = _context(results, records, pictures, {*hidden, *records.summary.silenced})
    write_text(page, render("report.html.j2", context))
    seal_again(results)
    return page


def _context(
    results: Path, records: Records, pictures: dict[str, FigureFile], hidden: Collection[str]
) -> dict[str, Any]:
    from steelbench.report.embedding_maps import embedding_maps
    from steelbench.report.figures.all_figures import confusion_stem

    summary, models = records.summary, records.models
    classes, recall = _recall(models)
    notices = sorted(summary.warnings, key=lambda notice: LEVELS[notice.level])
    shown = [notice for notice in notices if notice.code not in hidden]
    ranked = {row.name for row in models}
    names = list(dict.fromkeys(score.name for row in models for score in row.per_class))
    maps = embedding_maps(results, records.embedded, names)
    shown_pictures = shown_paths(records.thumbnails, records.hard, SHOWN_HARD, SHOWN_EXAMPLES)
    gallery = collect(records.thumbnails, chain(shown_pictures, maps.shown_first()))
    return {
        "summary": summary,
        "conclusion": conclusion(summary),
        "notices": shown,
        "first_notices": FIRST_NOTICES,
        "more_notices": Counter(notice.level for notice in shown[FIRST_NOTICES:]),
        "notice_kinds": {notice.code: NOTICES[notice.code] for notice in shown if notice.code in NOTICES},
        "silenced": Counter(notice.code for notice in notices if notice.code in hidden),
        "untrained": records.untrained,
        "models": models,
        "rows": [row for row in summary.rows if row.name in ranked or row is records.majority],
        "failed": [row for row in summary.rows if row.status == "failed"],
        "ranks": {row.name: place for place, row in enumerate(models, start=1)},
        "scale": Scale.of(models),
        "standings": standings(models),
        "judgement": summary.judgement,
        "best_label": next((formatting.row_label(row) for row in models if row.name == summary.judgement.best), ""),
        "rival_label": next((formatting.row_label(row) for row in models if row.name == summary.judgement.rival), ""),
        "naive": any(row.naive_accuracy is not None for row in models),
        "naive_leaking": summary.split.naive_leaking,
        "split_facts": _split_facts(summary.split),
        "embedding_scores": _embedding_scores(models),
        "hard": records.hard,
        "looked_at": records.looked_at,
        "open_hard": OPEN_HARD,
        "shown_hard": SHOWN_HARD,
        "gallery": gallery,
        "maps": maps,
        **next_steps_context(results, records),
        "row_commands": row_commands(results, records.config, models),
        "examples": [(name, own[:SHOWN_EXAMPLES]) for name, own in records.thumbnails.index.examples.items() if own],
        "matrices": confusion_tables(models, [own for image in records.hard or () for own in image.answers]),
        "shown_in_cell": SHOWN_IN_CELL,
        "row_labels": {row.name: formatting.row_label(row) for row in models},
        "trusted": [(row, row.trust) for row in models if row.trust],
        "unknown": unknown_defects(models),
        "mill": mill_conditions(models),
        "sound": [(row, row.sound) for row in models if row.sound],
        "decide_data": _decide_data(models, list(summary.dataset.classes)),
        **cost_context(models, records.environment),
        # The demo's classes are called like NEU's.
        "published": [] if summary.dataset.reader == "demo" else published_for(list(summary.dataset.classes)),
        "variants": any(row.variant for row in summary.rows),
        "pictures": pictures,
        "curves": [picture for stem, picture in pictures.items() if stem.startswith("curves-")],
        "several_runs": max((len(history.runs) for history in records.histories), default=1),
        "no_curves": _without_curves(records),
        "confusions": {row.name: pictures[stem] for row in models if (stem := confusion_stem(row)) in pictures},
        "recall_classes": classes,
        "recall": recall,
        "classes": summary.dataset.classes,
        "left_out": summary.dataset.left_out,
        "skipped": records.skipped,
        "unused": records.unused,
        "shown_skipped": SHOWN_SKIPPED,
        "config": records.config,
        "environment": records.environment,
        "command": _command(records.config),
        "weights": _weights(models),
        "offered": next((row.model for row in models if row.model), None),
        "quote": shlex.quote,
    }


def _embedding_scores(models: list[Row]) -> list[tuple[Row, EmbeddingScores]]:
    """Return each row's embedding scores; rows on one backbone that learned none share those of its features."""
    return [(row, row.detail.notes.embedding) for row in models if row.detail.notes and row.detail.notes.embedding]


def _split_facts(split: SplitSummary) -> list[tuple[str, str]]:
    """Return what the page says of the split, as (what, text)."""
    facts = [
        ("kind", formatting.split_label(split)),
        ("folds, seeds", f"{split.folds}, {split.seeds}"),
        ("training, validation, test images", f"{split.train}, {split.validation}, {split.test}"),
        ("groups of images that share pixels", formatting.number(split.groups, 0)),
        ("test images that share pixels with training images", formatting.percent(split.leaking)),
    ]
    if split.naive_leaking is not None:
        facts.append(("the same on a random split", formatting.percent(split.naive_leaking)))
    if split.audit_seconds is not None:
        facts.append(("seconds of the search for shared pixels", formatting.number(split.audit_seconds, 1)))
    return facts


def _decide_data(models: list[Row], classes: list[str]) -> dict[str, Any]:
    """Return what the page's script needs to show referrals and escapes at any threshold."""
    rows = []
    for row in models:
        trust = row.trust
        if trust is None:
            continue
        promised = next((own.threshold for own in reversed(trust.promises[:3]) if own.threshold is not None), None)
        rows.append(
            {
                "label": formatting.row_label(row),
                "thresholds": trust.thresholds,
                "referred": trust.referred,
                "escaped": trust.escaped,
                "by_class": trust.escaped_by_class,
                "class_shares": trust.class_shares,
                "overkilled": trust.overkilled,
                "start": trust.thresholds.index(promised) if promised in trust.thresholds else 0,
            }
        )
    return {
        "classes": [score.name for score in models[0].per_class] if models else classes,
        "none_class": next((row.trust.none_class for row in models if row.trust), ""),
        "rows": rows,
    }


def _without_curves(records: Records) -> list[str]:
    drawn = {history.row.name for history in records.histories}
    return [formatting.row_label(row) for row in records.models if row.name not in drawn]


def _weights(models: list[Row]) -> dict[str, dict[str, JsonValue]]:
    """Return where the weights of each row with a network come from, if the records say."""
    return {
        row.name: row.detail.weights.model_dump(mode="json")
        for row in models
        if row.backbone != "none" and row.detail.weights
    }


def _recall(models: list[Row]) -> tuple[list[str], list[tuple[Row, list[ClassScore | None]]]]:
    """Return all classes, and each row with its score of each class; None where a row lacks the class."""
    classes = list(dict.fromkeys(score.name for row in models for score in row.per_class))
    tables = [(row, {score.name: score for score in row.per_class}) for row in models if row.per_class]
    return classes, [(row, [table.get(name) for name in classes]) for row, table in tables]


def _command(config: dict[str, JsonValue] | None) -> str:
    command = (config or {}).get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")
