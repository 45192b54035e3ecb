"""The threshold on a model's card."""

import json

from each import each
from results_folder import CLASSES, model_row, summary, trust

from steelbench.models.model_card import read_card_file
from steelbench.records import PromiseRecord, Unfamiliar, UnknownRecord
from steelbench.runs.decisions import card_decision, write_decisions


def row(**promised):
    """A row whose promises of 1 and 2 % have these thresholds."""
    promises = [
        PromiseRecord(
            escapes=share, threshold=promised.get(name), referred=None if name not in promised else 0.2, images_needed=9
        )
        for name, share in (("one", 0.01), ("two", 0.02))
    ]
    found = model_row("vgg19", "softmax", 0.95)
    return found.model_copy(update={"trust": trust().model_copy(update={"promises": promises}), "model": "models/x.h5"})


def card(folder, **fields):
    path = folder / "models" / "x.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"name": "x", "classes": CLASSES, "sha256": "0", "kept": [1]} | fields), encoding="utf-8"
    )
    return path


def test_the_strictest_promise_of_those_wanted_is_taken():
    assert card_decision(row(one=0.9, two=0.5)).threshold == 0.9
    assert card_decision(row(two=0.5)).model_dump() == {
        "threshold": 0.5,
        "escapes": 0.02,
        "confidence": 0.95,
        "referred": 0.2,
    }
    assert card_decision(row()) is None and card_decision(model_row("vgg19", "softmax", 0.9)) is None


def test_the_card_gets_the_threshold_and_keeps_everything_else(tmp_path):
    path = card(tmp_path)

    write_decisions(tmp_path, summary([row(one=0.9)]))

    assert read_card_file(path).decision.threshold == 0.9
    assert json.loads(path.read_text())["kept"] == [1]


@each("written", [lambda text: text.encode("utf-16"), lambda text: text.replace("]}", "],}").encode("utf-8-sig")])
def test_a_card_as_editors_leave_it_gets_the_threshold_too(tmp_path, written):
    path = card(tmp_path)
    path.write_bytes(written(path.read_text()))

    write_decisions(tmp_path, summary([row(one=0.9)]))

    assert read_card_file(path).decision.threshold == 0.9


def test_a_promise_that_no_longer_holds_leaves_the_card(tmp_path):
    path = card(tmp_path, decision={"threshold": 0.9, "escapes": 0.01, "confidence": 0.95, "referred": 0.1})

    write_decisions(tmp_path, summary([row()]))

    assert read_card_file(path).decision is None


def test_a_missing_or_damaged_card_stops_nothing(tmp_path):
    write_decisions(tmp_path, summary([row(one=0.9)]))
    path = card(tmp_path)
    path.write_text("{")

    write_decisions(tmp_path, summary([row(one=0.9)]))

    assert path.read_text() == "{"


def test_the_threshold_for_unfamiliar_images_comes_with_the_record_and_goes_with_it(tmp_path):
    path = card(tmp_path)
    limit = Unfamiliar(score="knn", threshold=0.7, flagged=0.05, detected=0.8, neighbours=10, sha256="ab")
    record = UnknownRecord(name="x", fingerprint="f", card=limit)

    write_decisions(tmp_path, summary([row(one=0.9).model_copy(update={"unknown": record})]))

    found = read_card_file(path)
    assert found.unfamiliar == limit and found.decision.threshold == 0.9
    write_decisions(tmp_path, summary([row(one=0.9)]))
    assert read_card_file(path).unfamiliar is None and json.loads(path.read_text())["kept"] == [1]
