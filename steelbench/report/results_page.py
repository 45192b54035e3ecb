"""`report.html`: one file that needs nothing else, made from the records of a results folder."""

from __future__ import annotations

import base64
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelbench.evaluation.published import published_for
from steelbench.files import write_text
from steelbench.records import ClassScore, Row
from steelbench.report import formatting
from steelbench.report.conclusion import conclusion, standings
from steelbench.report.figures.scale import Scale
from steelbench.report.load import Records, is_majority, load

if TYPE_CHECKING:
    from steelbench.report.figures.all_figures import FigureFile

LEVELS = {"serious": 0, "caution": 1, "note": 2}
SHOWN_SKIPPED = 20


def build_report(results: Path) -> Path:
    """Draw `figures/*.png` and write `report.html` from the records in `results`; trains nothing.

    Returns:
        The page.

    Raises:
        SteelbenchError: if `results.json` is missing or broken.
    """
    # Here, because Matplotlib and Jinja take half a second to import and `steelbench --help` needs neither.
    from steelbench.report.figures.all_figures import draw_figures

    records = load(results)
    pictures = draw_figures(records, results / "figures")
    page = results / "report.html"
    write_text(page, _render(records, pictures))
    return page


def _render(records: Records, pictures: dict[str, FigureFile]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Every name on the page comes from somebody's files: escape whatever the template's suffix is.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": formatting.percent, "number": formatting.number, "label": formatting.row_label}
    environment.filters |= {"backbone": formatting.backbone_label, "method": formatting.method_label}
    environment.filters |= {"limits": formatting.limits, "interval": formatting.interval, "p_value": formatting.p_value}
    environment.filters |= {"points": formatting.points, "flatten": formatting.flatten, "data_uri": _data_uri}
    environment.filters["pystring"] = json.dumps
    environment.tests["majority"] = is_majority
    return environment.get_template("report.html.j2").render(_context(records, pictures))


def _context(records: Records, pictures: dict[str, FigureFile]) -> dict[str, Any]:
    from steelbench.report.figures.all_figures import confusion_stem

    summary, models = records.summary, records.models
    classes = _object(summary.dataset.get("classes"))
    rows = [row for row in summary.rows if row.status == "done"]
    return {
        "summary": summary,
        "conclusion": conclusion(summary),
        "notices": sorted(summary.warnings, key=lambda notice: LEVELS[notice.level]),
        "untrained": [row for row in models if row.weights == "random" and row.backbone != "none"],
        "models": models,
        "rows": rows,
        "failed": [row for row in summary.rows if row.status == "failed"],
        "ranks": {row.name: place for place, row in enumerate(models, start=1)},
        "scale": Scale.of(models),
        "standings": standings(models),
        "judgement": summary.judgement,
        "best_label": next(
            (formatting.row_label(row) for row in models if row.name == summary.judgement.get("best")), ""
        ),
        "naive": any(row.naive_accuracy is not None for row in models),
        "naive_leaking": summary.split.get("naive_leaking"),
        "embedding_scores": _embedding_scores(models),
        "published": published_for(list(classes)),
        "variants": any(row.variant for row in summary.rows),
        "pictures": pictures,
        "curves": [picture for stem, picture in pictures.items() if stem.startswith("curves-")],
        "no_curves": _without_curves(records),
        "confusions": {row.name: pictures[stem] for row in models if (stem := confusion_stem(row)) in pictures},
        "matrix_width": _widest([pictures[stem] for stem in pictures if stem.startswith("confusion-")]),
        "recall": _recall(models),
        "classes": classes,
        "left_out": _object(summary.dataset.get("left_out")),
        "skipped": records.skipped,
        "shown_skipped": SHOWN_SKIPPED,
        "config": records.config,
        "environment": records.environment,
        "command": _command(records.config),
        "weights": _weights(models),
        "offered": next((row.model for row in models if row.model), None),
        "quote": shlex.quote,
    }


def _embedding_scores(models: list[Row]) -> list[tuple[Row, dict[str, Any]]]:
    """What the records say of each row's embedding; rows on one backbone that learned none share its features."""
    found = [(row, _object(_object(row.detail.get("notes")).get("embedding"))) for row in models]
    return [(row, scores) for row, scores in found if scores]


def _without_curves(records: Records) -> list[str]:
    drawn = {history.row.name for history in records.histories}
    return [formatting.row_label(row) for row in records.models if row.name not in drawn]


def _weights(models: list[Row]) -> dict[str, dict[str, Any]]:
    """Where the weights of each row with a network come from, if the records say."""
    found = {row.name: _object(row.detail.get("weights")) for row in models if row.backbone != "none"}
    return {name: weights for name, weights in found.items() if weights}


def _recall(models: list[Row]) -> list[tuple[str, list[ClassScore | None]]]:
    """Each class with its score in every row, in the order of `models`."""
    classes = list(dict.fromkeys(score.name for row in models for score in row.per_class))
    tables = [{score.name: score for score in row.per_class} for row in models]
    return [(name, [table.get(name) for table in tables]) for name in classes]


def _command(config: dict[str, Any] | None) -> str:
    command = (config or {}).get("command")
    return shlex.join(map(str, command)) if isinstance(command, list) else str(command or "")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _widest(pictures: list[FigureFile]) -> int:
    """Pixels; bytes 16 to 20 of a PNG are its width."""
    return max((int.from_bytes(picture.path.read_bytes()[16:20], "big") for picture in pictures), default=0)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
