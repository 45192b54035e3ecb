"""`steelbench report RESULTS --sheet ROW`: one page of A4 with the record's numbers, in the trade's words."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from report.tables import Tables
from results_folder import CLASSES, hog_row, majority_row, model_row, summary, trust, write_folder
from scipy.stats import binom

from steelbench.cli.exit import main
from steelbench.files import write_json
from steelbench.records import Notice

NONE = ["none", *CLASSES[1:]]


def sheet(folder, record, row="vgg19-softmax", **options):
    """The text of a sheet, and its facts by name."""
    write_folder(folder, record, **options)
    assert main(["report", str(folder), "--sheet", row]) == 0
    text = next(folder.glob("sheet-*.html")).read_text(encoding="utf-8")
    tables = Tables(text)
    facts = {line[0]: line[1] for own, lines in tables.tables if own.get("class") == "facts" for line in lines}
    return text, facts, tables


def with_trust(row, seed=0):
    return row.model_copy(update={"trust": trust(seed=seed)})


def test_the_sheet_says_what_was_tested_how_and_with_which_result(tmp_path, capsys):
    row = with_trust(model_row("vgg19", "softmax", 0.95))
    (tmp_path / "models").mkdir()
    write_json(tmp_path / "models" / "vgg19-softmax.json", {"sha256": "ab" * 32})

    text, facts, _ = sheet(tmp_path, summary([row, majority_row()]))

    assert capsys.readouterr().out.strip() == str(tmp_path / "sheet-vgg19-softmax.html")
    assert not (tmp_path / "report.html").exists()
    wrong = np.array(row.confusion)
    share = np.trace(wrong) / wrong.sum()
    assert facts["Accuracy"] == f"{100 * share:.1f} % [{100 * row.accuracy_low:.1f}, {100 * row.accuracy_high:.1f}]"
    assert facts["SHA-256"] == "ab" * 32 and facts["File"] == "models/vgg19-softmax.h5"
    assert facts["Data set"] == "NEU-CLS" and facts["Images, classes"] == "1\u202f800, 6"
    assert facts["Digest"] == "sha256:5f0c…e1" and facts["Groups"].startswith("1\u202f655 ")
    assert facts["Split"] == "grouped split" and facts["Folds, seeds"] == "1, 1"
    assert facts["Overkill"] == "cannot be told: no class of sound material (--none-class)" and "Escape" not in facts
    assert "steelbench run --data shared/data/NEU" in text and "keras 3.15.1" in text and "Signature" in text
    assert "conformity to VDI/VDE/VDMA 2632 is not claimed" in text
    assert "<script" not in text and "<img" not in text


def test_the_digest_is_that_of_a_card_as_editors_leave_it(tmp_path):
    (tmp_path / "models").mkdir()
    card = '{"sha256": "' + "cd" * 32 + '",}'
    (tmp_path / "models" / "vgg19-softmax.json").write_bytes(card.encode("utf-8-sig"))

    _, facts, _ = sheet(tmp_path, summary([model_row("vgg19", "softmax", 0.95)]))

    assert facts["SHA-256"] == "cd" * 32


def test_recall_and_pseudo_errors_are_those_of_the_confusion_matrix(tmp_path):
    row = model_row("vgg19", "softmax", 0.8)
    _, _, tables = sheet(tmp_path, summary([row]))

    head, *lines = tables.below("Classes")
    assert head[2:] == ["Recall", "Pseudo-errors"] and [line[0] for line in lines] == CLASSES
    counts = np.array(row.confusion)
    for place, line in enumerate(lines):
        others = np.delete(counts, place, axis=0)
        assert line[1] == str(counts[place].sum())
        assert line[2].startswith(f"{100 * counts[place, place] / counts[place].sum():.1f} % [")
        hits, total = others[:, place].sum(), others.sum()
        share, low, high = map(float, re.findall(r"[\d.]+", line[3]))
        assert share == pytest.approx(100 * hits / total, abs=0.05)
        assert low <= share <= high


def test_the_interval_of_pseudo_errors_is_mid_p(tmp_path):
    counts = [[90, 10], [5, 95]]
    row = model_row("vgg19", "softmax", 0.9, CLASSES[:2], n_test=200).model_copy(
        update={"confusion": counts, "n_effective": 200.0}
    )
    _, _, tables = sheet(tmp_path, summary([row], CLASSES[:2]), classes=CLASSES[:2])

    share, low, high = map(float, re.findall(r"[\d.]+", tables.below("Classes")[1][3]))
    grid = np.linspace(0, 1, 200_001)
    mid = binom.cdf(5, 100, grid) - binom.pmf(5, 100, grid) / 2
    assert share == 5.0
    assert low == pytest.approx(100 * grid[np.argmin(np.abs(mid - 0.975))], abs=0.06)
    assert high == pytest.approx(100 * grid[np.argmin(np.abs(mid - 0.025))], abs=0.06)


def test_a_class_without_defects_makes_it_escape_and_overkill(tmp_path):
    counts = np.eye(6, dtype=int) * 60
    counts[0, :3] = 57, 2, 1
    counts[4, 0], counts[4, 4] = 6, 54
    row = model_row("vgg19", "softmax", 0.9, NONE)
    scores = [row.per_class[0].model_copy(update={"recall": 0.95, "recall_low": 0.9, "recall_high": 0.98})]
    row = row.model_copy(update={"confusion": counts.tolist(), "per_class": [*scores, *row.per_class[1:]]})

    _, facts, _ = sheet(tmp_path, summary([row], NONE), classes=NONE)

    assert facts["Escape"].startswith("2.0 % [") and facts["Escape"].endswith("images with a defect are named none")
    assert facts["Overkill"] == "5.0 % [2.0, 10.0] of images of none are named as a defect"


def test_promises_are_the_records_and_what_cannot_be_promised_is_said_plainly(tmp_path):
    text, _, tables = sheet(tmp_path, summary([with_trust(model_row("vgg19", "softmax", 0.95))]))

    lines = tables.one(class_="once")[1:]
    assert [line[:3] for line in lines] == [
        ["0.1 %", "–", "–"],
        ["0.5 %", "–", "–"],
        ["1.0 %", "0.98", "23.4 %"],
        ["2.0 %", "0", "0.0 %"],
    ]
    assert "it takes 2\u202f995 independent images without an escape; these are worth 288" in lines[0][3]
    assert "Calibration error: 1.2 % (4.6 % before" in text


def test_without_confidences_that_is_said(tmp_path):
    assert "no threshold can be promised" in sheet(tmp_path, summary([model_row("vgg19", "softmax", 0.95)]))[0]


@pytest.mark.parametrize("asked", ["none-hog", "HOG + linear SVM (no network)"])
def test_a_baseline_without_a_model_has_a_sheet_by_name_and_label(tmp_path, asked):
    _, facts, _ = sheet(tmp_path, summary([model_row("vgg19", "softmax", 0.95), hog_row()]), asked)

    assert facts["File"] == "none is saved" and facts["SHA-256"] == "no card states it"


def test_counts_that_are_summed_over_seeds_are_called_answers(tmp_path):
    record = summary([model_row("vgg19", "softmax", 0.95)])
    record = record.model_copy(update={"split": record.split.model_copy(update={"seeds": 3})})
    text, _, tables = sheet(tmp_path, record)

    assert tables.below("Classes")[0][1] == "Answers" and "Answers: of all seeds." in text
    assert "Numbers are of all 3 trainings; the file is the first." in text


def test_the_sheet_of_an_untrained_network_says_so(tmp_path):
    record = summary([model_row("vgg19", "linear", 0.4, weights="random"), model_row("vgg19", "softmax", 0.9)])

    assert "random weights that nothing trained" in sheet(tmp_path, record, "vgg19-linear")[0]
    assert "nothing trained" not in sheet(tmp_path / "other", record, "vgg19-softmax")[0]


def test_an_unknown_row_is_answered_with_the_closest(tmp_path, capsys):
    write_folder(tmp_path, summary([model_row("vgg19", "softmax", 0.95), majority_row()]))

    assert main(["report", str(tmp_path), "--sheet", "vgg19-sofmax"]) == 2
    assert "unknown row 'vgg19-sofmax'; did you mean 'vgg19-softmax'?" in capsys.readouterr().err


def test_where_no_row_finished_there_is_no_sheet(tmp_path, capsys):
    write_folder(tmp_path, summary([majority_row()]))

    assert main(["report", str(tmp_path), "--sheet", "vgg19"]) == 2
    assert "no row of this folder finished" in capsys.readouterr().err


def hostile_record():
    """Everything at its longest: 50 classes of long names, serious notices, hostile text."""
    names = [f"<b>{place} " + "long name " * 8 for place in range(50)]
    row = with_trust(model_row("vgg19", "softmax", 0.7, names, variant="v" * 40, n_test=1000))
    told = [Notice(level="serious", text="<i>It is serious. " * 40, row="") for _ in range(6)]
    return row, summary([row], names, told, name="<script>alert(1)</script>" * 9), names


def test_names_stay_text_and_only_the_worst_classes_are_listed(tmp_path):
    row, record, names = hostile_record()
    text, _, _ = sheet(tmp_path, record, row.name, classes=names)

    assert not re.search(r"<script|<b>|<i>", text)
    assert "The 18 of 50 classes with the lowest recall" in text
    assert text.count("<strong>Serious:</strong>") == 2 and "4 more serious notices" in text


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not here")
@pytest.mark.parametrize("longest", [False, True], ids=["typical", "longest"])
def test_the_sheet_is_one_page_on_paper(tmp_path, longest):
    row, record, names = hostile_record()
    if not longest:
        row = with_trust(model_row("vgg19", "softmax", 0.95))
        record, names = summary([row, majority_row()]), CLASSES
    sheet(tmp_path, record, row.name, classes=names)
    if longest:
        write_json(tmp_path / "config.json", {"command": "steelbench run " + "--backbones a,b,c " * 200})
        write_json(tmp_path / "environment.json", {f"package {place}": "1.2.3.4.5" for place in range(200)})
        assert main(["report", str(tmp_path), "--sheet", row.name]) == 0
    page = next(tmp_path.glob("sheet-*.html"))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'sheet.pdf'}", page.as_uri()]

    subprocess.run(command, check=True, capture_output=True, timeout=120)

    pages = re.findall(rb"/Type\s*/Page\b(?!s)", (tmp_path / "sheet.pdf").read_bytes())
    assert len(pages) == 1
