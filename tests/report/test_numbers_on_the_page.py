"""Every number on the page is the record's: the tables are read back and recomputed from the confusion matrices."""

import numpy as np
import pytest
from next_records import efficiency, write_next
from report.tables import Tables
from results_folder import CLASSES, judged, model_row, read_rows, summary, trust, typical, write_folder

from steelbench.report.results_page import build_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    record = typical()
    rows = [
        row.model_copy(update={"trust": trust(seed=place)}) if row.confusion else row
        for place, row in enumerate(record.rows)
    ]
    judgement = record.judgement.model_copy(update={"images_needed": 12_000, "smallest_with_more": {"2": 0.0161}})
    made = record.model_copy(update={"rows": rows, "judgement": judgement})
    folder = write_folder(tmp_path_factory.mktemp("page"), made)
    write_next(folder, rows[0], CLASSES)
    return folder


@pytest.fixture(scope="module")
def page(folder):
    return Tables(build_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def models(folder):
    return [row for row in read_rows(folder) if row["confusion"]]


def label(row):
    return f"{row['backbone']} + {row['method']}"


def percent(share):
    text = f"{100 * share:.1f}"
    return f"{min(100 * share, 99.99):.2f} %" if text == "100.0" and share < 1 else f"{text} %"


def counts(row):
    return np.array(row["confusion"])


def test_the_leaderboard_is_that_of_the_confusion_matrices(page, models):
    lines = {f"{line[1].splitlines()[0]} + {line[2]}": line for line in page.one(id="board") if len(line) == 10}
    checked = 0
    for row in models:
        line = lines[label(row)]
        table = counts(row)
        recall = np.diag(table) / table.sum(1)
        f1 = 2 * np.diag(table) / (table.sum(0) + table.sum(1))
        accuracy, limits = line[3].splitlines()
        assert accuracy == percent(np.trace(table) / table.sum())
        assert limits == f"[{percent(row['accuracy_low'])}, {percent(row['accuracy_high'])}]".replace(" %", "")
        assert line[6].splitlines()[0] == percent(f1.mean())
        assert line[7] == percent(recall.mean())
        assert line[8] == percent(row["validation_accuracy"])
        assert line[9].splitlines() == [str(table.sum()), f"{row['n_effective']:.0f}"]
        checked += 7
    assert checked >= 20 and len(lines) - 1 == len(models) + 1, "the head and the majority class are lines as well"


def test_recall_by_class_is_that_of_the_confusion_matrices(page, models):
    head, *lines = page.one(class_="heat")
    assert head == ["Row", *CLASSES]
    assert [line[0] for line in lines] == [label(row) for row in models]
    for row, line in zip(models, lines, strict=True):
        table = counts(row)
        shown = [cell.splitlines()[0] for cell in line[1:]]
        assert shown == [percent(share) for share in np.diag(table) / table.sum(1)]
    assert len(lines) * len(CLASSES) >= 20


def test_each_confusion_matrix_has_exactly_the_classes_of_the_data_and_the_records_numbers(page, models):
    for row in models:
        head, *lines = page.below(label(row), class_="confusion")
        assert head[1:] == [line[0] for line in lines] == CLASSES
        shown = np.array([[int(cell or 0) for cell in line[1:]] for line in lines])
        assert np.array_equal(shown, counts(row))
        wrong = counts(row).sum() - np.trace(counts(row))
        assert f"{wrong} of {counts(row).sum()} answers are wrong" in next(
            title for title in page.before if title.startswith(label(row))
        )


def test_precision_recall_and_f1_are_those_of_the_confusion_matrices(page, models):
    checked = 0
    for row in models:
        (lines,) = [
            lines
            for (_, lines), before in zip(page.tables, page.before, strict=True)
            if before.startswith(label(row) + ":") and lines[0][1] == "Precision"
        ]
        table = counts(row)
        hits = np.diag(table)
        for place, line in enumerate(lines[1:]):
            precision = hits[place] / max(1, table[:, place].sum())
            recall = hits[place] / table[place].sum()
            f1 = 2 * hits[place] / (table[:, place].sum() + table[place].sum())
            assert line[0] == CLASSES[place] and line[1] == percent(precision)
            assert line[2].startswith(percent(recall)) and line[3] == f"{f1:.3f}"
            assert line[4] == str(table[place].sum())
            checked += 4
    assert checked >= 20


def test_promised_thresholds_are_the_records(page, models):
    head, *lines = page.below("When must a person look?")
    promised = [cell.splitlines()[0] for cell in head[4:]]
    assert promised == [f"≤ {share} % escape:" for share in ("2.0", "1.0", "0.5", "0.1")]
    for row, line in zip(models, lines, strict=True):
        own = row["trust"]
        assert line[:4] == [
            label(row), percent(own["calibration_error_raw"]), percent(own["calibration_error"]),
            f"{own['temperature']:.2f}",
        ]  # fmt: skip
        assert line[4:] == ["nobody needs to look", "0.98, 23.4 %", "–", "–"]


def test_what_images_of_each_class_bring_is_the_records(page):
    found = {own.name: own for own in efficiency("efficientnet_b0", CLASSES).classes}
    _, *lines = page.one(id="needed")
    assert len(lines) == len(CLASSES) and lines[0][0] == CLASSES[0], "the class that more images help comes first"
    for line in lines:
        own = found[line[0]]
        gain, limits = line[4].splitlines()
        assert line[1:4] == [f"{own.images:.0f}", percent(own.half), percent(own.full)]
        assert gain == f"{100 * own.gain:+.1f}"
        assert limits == f"[{100 * own.gain_low:+.1f}, {100 * own.gain_high:+.1f}]"
    means = {line[0]: line[5] for line in lines}
    assert means[CLASSES[0]] == (
        "More images help: the second half found 10.0 more of 100. Twice as many images should find up to 10.0 more "
        "of 100."
    )
    assert means[CLASSES[1]].startswith("Enough for these test images: half of the training images find all of them.")
    assert means[CLASSES[2]] == (
        "Cannot be told: the second half found 2.0 more of 100, but anything from 3.0 fewer to 7.0 more fits these 46 "
        "independent test images."
    )
    assert means[CLASSES[1]].count("independent") == 0 and "28 independent" in means[CLASSES[5]]


def test_what_more_test_images_would_show_is_the_records(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "of 2.3 points four times out of five. Twice as many would show 1.6 points." in text
    assert "about 12\u202f000 test images like these would show it." in text
    assert "crazing 41.0 %; unfamiliar 99.0 %" in text


def test_an_interval_that_few_groups_make_wide_has_their_number_beside_it(tmp_path, monkeypatch):
    row = model_row("vgg19", "softmax", 0.95)
    groups = [7, 60, 60, 41, 60, None]
    scores = [score.model_copy(update={"groups": own}) for score, own in zip(row.per_class, groups, strict=True)]
    folder = write_folder(tmp_path, judged(summary([row.model_copy(update={"per_class": scores})])))
    monkeypatch.setattr("steelbench.report.figures.all_figures.draw_figures", lambda *_: {})

    _, line = Tables(build_report(folder).read_text(encoding="utf-8")).one(class_="heat")

    assert ["group" in cell for cell in line[1:]] == [True, False, False, True, False, False]
    assert "7 groups" in line[1] and "41 groups" in line[4]
