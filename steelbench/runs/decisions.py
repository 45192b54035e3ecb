"""The thresholds on a model's card: below which confidence a person looks, and what is unfamiliar. No TensorFlow."""

from __future__ import annotations

from pathlib import Path

from steelbench.errors import SteelbenchError
from steelbench.evaluation.decision import CONFIDENCE
from steelbench.files import write_json
from steelbench.models.model_card import Decision, read_card_fields, read_card_file
from steelbench.records import Row, Summary

# The share of escapes that a card promises: the first that the test images allow.
WANTED = (0.01, 0.02)


def card_decision(row: Row) -> Decision | None:
    """Return the threshold for a row's saved model; None if its test images allow no promise."""
    if row.trust is None:
        return None
    promises = {own.escapes: own for own in row.trust.promises}
    for escapes in WANTED:
        own = promises.get(escapes)
        if own is not None and own.threshold is not None and own.referred is not None:
            return Decision(
                threshold=own.threshold,
                escapes=escapes,
                confidence=CONFIDENCE,
                referred=own.referred,
                none_class=row.trust.none_class or None,
            )
    return None


def write_decisions(results: Path, summary: Summary) -> None:
    """Write each offered model's thresholds onto its card; a card that cannot be read stays as it is."""
    for row in summary.rows:
        path = (results / row.model).with_suffix(".json") if row.model and row.status == "done" else None
        if path is None:
            continue
        wanted = {"decision": card_decision(row), "unfamiliar": row.unknown and row.unknown.card}
        try:
            card = read_card_file(path)
        except SteelbenchError:
            # Loading the model says what is wrong with it.
            continue
        if {name: getattr(card, name) for name in wanted} != wanted:
            fields = read_card_fields(path)
            write_json(path, fields | {name: own and own.model_dump() for name, own in wanted.items()})
