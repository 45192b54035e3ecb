"""The section on unknown defects: its numbers are those of the records, and it says what is missing, and why."""

import html
import re

import numpy as np
import pytest
from results_folder import CLASSES, majority_row, model_row, summary, write_folder

from steelbench.records import Detection, LeftOutClass, Unfamiliar, UnknownRecord
from steelbench.report.formatting import row_label
from steelbench.report.results_page import build_report
from steelbench.report.unknown_defects import LABELS


def detection(random):
    low, middle, high = np.sort(random.uniform(0.5, 1, 3))
    least, alarms, most = np.sort(random.uniform(0, 0.5, 3))
    return Detection(
        auroc=middle, auroc_low=low, auroc_high=high, false_alarms=alarms, false_alarms_low=least,
        false_alarms_high=most, detected=random.random(), flagged=random.uniform(0, 0.1),
    )  # fmt: skip


def record(name, classes=CLASSES, seed=0, best="energy"):
    random = np.random.default_rng(seed)
    return UnknownRecord(
        name=name, fingerprint="f", best=best, mean={score: detection(random) for score in LABELS},
        classes=[
            LeftOutClass(
                name=own, images=300, excluded=0, known=300, scores={score: detection(random) for score in LABELS}
            )
            for own in classes
        ],
        card=Unfamiliar(score=best, threshold=1.5, flagged=0.05, detected=0.4567),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    monkeypatch.setattr("steelbench.report.figures.all_figures.draw_figures", lambda records, folder: {})


def row(backbone="vgg19", classes=CLASSES, seed=0, **fields):
    found = model_row(backbone, "softmax", 0.95, classes)
    own = record(found.name, classes, seed).model_copy(update=fields)
    return found.model_copy(update={"unknown": own})


def section(tmp_path, *rows, classes=CLASSES):
    folder = write_folder(tmp_path / "results", summary([*rows, majority_row()], classes), classes)
    build_report(folder)
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text[(start := text.index('id="unknown"')) : text.index("<h2", start)]


def text_of(markup):
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", markup).split()))


def cells(text, aria):
    body = text[text.index(f'aria-label="{aria}"') :]
    body = body[body.index("<tbody>") : body.index("</tbody>")]
    lines = re.findall(r"<tr>.*?</tr>", body, re.DOTALL)
    return [[text_of(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", line)] for line in lines]


def shown(own):
    area = f"{own.auroc:.3f} [{own.auroc_low:.3f}, {own.auroc_high:.3f}]"
    low, middle, high = (100 * getattr(own, name) for name in ("false_alarms_low", "false_alarms", "false_alarms_high"))
    return area, f"{middle:.1f} % [{low:.1f}, {high:.1f}]"


def test_every_number_of_both_tables_is_that_of_the_record(tmp_path):
    rows = [row("vgg19", seed=1), row("xception", seed=2)]

    text = section(tmp_path, *rows)

    table = cells(text, "Unknown defects by row")
    order = sorted(rows, key=lambda own: -own.unknown.mean["energy"].auroc)
    assert len(table) == 2
    for line, own in zip(table, order, strict=True):
        worst = min(own.unknown.classes, key=lambda one: one.scores["energy"].auroc)
        mean = own.unknown.mean["energy"]
        assert line[1] == "Energy" and line[2:4] == list(shown(mean))
        assert line[4] == f"{worst.name} ({worst.scores['energy'].auroc:.3f})"
        assert line[5] == f"45.7 % with {100 * mean.flagged:.1f} % of the known"
    found = cells(text, "Unknown defects by class and score")
    assert len(found) == 2 * len(CLASSES)
    for line, (own, one) in zip(found, [(row, one) for row in order for one in row.unknown.classes], strict=True):
        assert line[0] == row_label(own)
        assert line[1:3] == [one.name, "300"]
        assert line[3:] == [" ".join(shown(one.scores[score])) for score in LABELS]


def test_a_row_without_a_record_or_without_the_option_says_how_to_get_it(tmp_path):
    text = section(tmp_path, model_row("vgg19", "softmax", 0.95))
    assert "--with unknown" in text and "<table" not in text and "Not measured yet" not in text

    other = model_row("xception", "softmax", 0.94)
    text = section(tmp_path / "two", row("vgg19"), other)
    assert f"Not measured yet for {row_label(other)}:" in text and "--with unknown" in text
    assert text.count("<table") == 2

    assert "--with unknown" not in section(tmp_path / "all", row("vgg19"))


def test_a_row_that_was_passed_over_says_why(tmp_path):
    why = "it trains the backbone, which would have to be trained again without each class"
    passed = model_row("xception", "softmax", 0.9)
    passed = passed.model_copy(update={"unknown": UnknownRecord(name=passed.name, fingerprint="f", reason=why)})

    text = section(tmp_path, row("vgg19"), passed)

    assert f"Not tested: {row_label(passed)}; {why}." in text
    assert len(cells(text, "Unknown defects by row")) == 1


def test_a_class_without_images_and_a_score_that_the_row_lacks_are_dashes(tmp_path):
    own = row().unknown
    bare = own.classes[1].model_copy(update={"scores": {}, "images": 0})
    lacking = {score: found for score, found in own.classes[2].scores.items() if score != "knn"}
    classes = [own.classes[0], bare, own.classes[2].model_copy(update={"scores": lacking}), *own.classes[3:]]
    changed = row()
    changed = changed.model_copy(update={"unknown": own.model_copy(update={"classes": classes})})

    table = cells(section(tmp_path, changed), "Unknown defects by class and score")

    assert table[1][2:] == ["0", "–", "–", "–", "–"] and table[2][6] == "–" and table[2][3] != "–"


def test_hostile_class_names_stay_text(tmp_path):
    names = ["<img src=x onerror=alert(1)>", '"><script>', "n" * 90]

    text = section(tmp_path, row(classes=names), classes=names)

    assert "<img" not in text and "<script>" not in text and "&lt;img src=x" in text


@pytest.mark.parametrize("score", ["knn", "max_probability"])
def test_a_card_with_another_score_than_the_best_says_so(tmp_path, score):
    card = Unfamiliar(score=score, threshold=1.5, flagged=0.05, detected=0.25)

    line = cells(section(tmp_path, row(card=card)), "Unknown defects by row")[0][5]

    assert line.startswith("25.0 %") and line.endswith(LABELS[score])
