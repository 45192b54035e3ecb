"""The section on mill conditions: its numbers are the records', and what is missing is said."""

import re
from html import unescape

import cv2
import numpy as np
import pytest
from results_folder import CLASSES, judged, majority_row, model_row, summary, write_folder

from steelbench.data.corruptions import CORRUPTIONS, VERSION
from steelbench.records import CorruptionCell, CorruptionResult, Robustness
from steelbench.report.figures import all_figures
from steelbench.report.figures import robustness as figures
from steelbench.report.formatting import percent
from steelbench.report.mill_conditions import mill_conditions, signed_limits
from steelbench.report.results_page import build_report

HOSTILE = '<img src=x onerror="alert(1)">'


def robustness(seed=0, strengths=(1, 2, 3, 4, 5), worst=CLASSES[0]):
    """A row's record of made-up answers; from the second corruption on every other one hurts."""
    rng, results = np.random.default_rng(seed), []
    for place, (name, row) in enumerate(CORRUPTIONS.items()):
        cells = [
            CorruptionCell(
                strength=strength, accuracy=(accuracy := 0.99 - 0.03 * strength - 0.05 * rng.random()),
                change=accuracy - 0.99, change_low=accuracy - 1.05, change_high=accuracy - 0.95, p_value=0.001,
                worst_class=worst, worst_right=int(rng.integers(20)), worst_images=20,
            )
            for strength in strengths
        ]  # fmt: skip
        hurts = strengths[place % len(strengths)] if place % 2 else None
        results.append(CorruptionResult(corruption=name, title=row.title, cells=cells, hurts_from=hurts))
    return Robustness(
        version=VERSION, fingerprint="f", images=120, groups=104, strengths=list(strengths), clean_accuracy=0.992,
        clean_differences=0, engine="openvino", seconds=60.0, level=0.05, results=results, first="oil_spots",
    )  # fmt: skip


def rows(**records):
    made = [model_row(name, "softmax", 0.98 - place / 100) for place, name in enumerate(records)]
    return [row.model_copy(update={"robustness": records[row.backbone]}) for row in made]


def page(folder, own, drawn=False):
    write_folder(folder, judged(summary([*own, majority_row()])))
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            patch.setattr("steelbench.report.figures.all_figures.draw_figures", lambda *_: {})
        return build_report(folder).read_text(encoding="utf-8")


def section(text):
    return text[text.index('<h2 id="mill">') :].split("<h2", 2)[1]


def lines_of(text, label):
    """The cells of each table, line by line, as plain text."""
    table = text[text.index(f'aria-label="{label}"') :].split("</table>")[0]
    lines = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [
            unescape(re.sub(r"<[^>]+>", " ", cell)).split()
            for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        ]
        for line in lines
    ]


def test_every_number_of_the_tables_is_the_records(tmp_path):
    records = {"vgg19": robustness(0), "xception": robustness(1, strengths=(1, 3, 5))}
    text = section(page(tmp_path, rows(**records)))

    main, every = lines_of(text, "Accuracy under mill conditions"), lines_of(text, "Accuracy at every strength")

    assert len(main) == 3 and len(main[0]) == 2 + len(CORRUPTIONS)
    assert len(every) == 1 + 2 * len(CORRUPTIONS)
    for line, record in zip(main[1:], records.values(), strict=True):
        for cell, own in zip(line[2:], record.results, strict=True):
            found = own.at(3)
            limits = signed_limits(found.change_low, found.change_high).split()
            told = ["from", str(own.hurts_from)] if own.hurts_from else []
            assert cell == [*percent(found.accuracy).split(), *limits, *told]
    results = [own for record in records.values() for own in record.results]
    for line, own in zip(every[1:], results, strict=True):
        expected = [percent(own.at(s).accuracy).split() if own.at(s) else ["–"] for s in range(1, 6)]
        assert line[2:7] == expected
        worst = own.cells[-1]
        assert line[7] == [worst.worst_class, str(worst.worst_right), "of", "20", "right"]


def test_red_is_what_is_shown_to_be_lower(tmp_path):
    record = robustness()
    text = section(page(tmp_path, rows(vgg19=record)))
    main = text.split("<details>")[0].split("</table>")[0]

    reds = main.count('<span class="bad">') - main.count('<span class="bad">Red')
    assert reds == sum(own.hurts_from is not None and own.hurts_from <= 3 for own in record.results) > 0


def test_the_headline_says_what_hurts_first_and_what_does_not(tmp_path):
    found = mill_conditions(rows(vgg19=robustness(), xception=robustness(1)))

    assert found.headline.startswith(
        "vgg19 + softmax is hurt first by oil spots, from strength 2 (worst class: crazing, "
    )
    assert "Not shown to hurt at any strength: water drops, scale dust" in found.headline
    unhurt = robustness().model_copy(update={"first": None})
    assert mill_conditions(rows(vgg19=unhurt)).lines[0].first == "nothing is shown to hurt"


def test_the_page_says_what_the_strengths_are_unless_they_were_others(tmp_path):
    text = section(page(tmp_path, rows(vgg19=robustness())))
    lines = lines_of(text, "What the strengths are")[1:]

    for line, row in zip(lines, CORRUPTIONS.values(), strict=True):
        assert [cell[0] for cell in line[1:6]] == [str(amount) for amount in row.amounts]
        assert " ".join(line[6]) == row.unit and " ".join(line[7]) == row.source
    old = robustness().model_copy(update={"version": VERSION - 1})
    assert mill_conditions(rows(vgg19=old)).meanings == []


def test_without_a_measurement_the_page_says_how_to_get_it(tmp_path):
    assert mill_conditions([model_row("vgg19", "softmax", 0.9)]) is None
    text = section(page(tmp_path, [model_row("vgg19", "softmax", 0.9)]))

    assert "--with robustness" in text and "<table" not in text


def test_a_row_that_was_not_measured_is_left_out(tmp_path):
    text = section(page(tmp_path, [*rows(vgg19=robustness()), model_row("xception", "softmax", 0.9)]))

    assert "vgg19 + softmax" in text and "xception" not in text


def test_a_class_name_stays_text(tmp_path):
    text = section(page(tmp_path, rows(vgg19=robustness(worst=HOSTILE))))

    assert "<img src=x" not in text and "&lt;img src=x" in text


def write_examples(folder, side=60):
    folder.mkdir(parents=True)
    for name in ("clean", *CORRUPTIONS):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((side, side, 3), 90, np.uint8))


def test_both_figures_are_drawn_and_go_with_the_records(tmp_path, monkeypatch):
    # The others take most of the time.
    monkeypatch.setattr(all_figures, "_figures", all_figures._robustness)
    write_examples(tmp_path / "robustness" / "examples")
    many = {f"b{number}": robustness(number) for number in range(11)}
    text = page(tmp_path, rows(**many), drawn=True)

    names = {path.name for path in (tmp_path / "figures").glob("robustness*")}
    assert names == {"robustness.png", "robustness-examples.png"}
    assert section(text).count("data:image/png") == 2
    write_folder(tmp_path / "later", judged(summary([model_row("vgg19", "softmax", 0.9), majority_row()])))
    (tmp_path / "later" / "figures").mkdir()
    for name in names:
        (tmp_path / "figures" / name).rename(tmp_path / "later" / "figures" / name)
    build_report(tmp_path / "later")
    assert not list((tmp_path / "later" / "figures").glob("robustness*"))


def test_lines_go_through_the_recorded_accuracies():
    record = robustness()

    figure = figures.strengths(rows(vgg19=record), {"vgg19-softmax": "#0072b2"})

    for axis, own in zip(figure.axes, record.results, strict=False):
        (line,) = axis.get_lines()
        assert line.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
        assert line.get_ydata() == pytest.approx([99.2, *(100 * cell.accuracy for cell in own.cells)])
        assert axis.get_title() == own.title


@pytest.mark.parametrize("damage", ["text", "large", "gone"])
def test_examples_that_are_no_small_png_are_left_out(tmp_path, damage):
    write_examples(tmp_path / "e", side=500 if damage == "large" else 60)
    for path in (tmp_path / "e").iterdir():
        if damage == "text":
            path.write_text("no image", encoding="utf-8")
        if damage == "gone":
            path.unlink()

    assert figures.examples(tmp_path / "e", rows(vgg19=robustness())) is None


def test_signed_limits():
    assert signed_limits(-0.0912, 0.012) == "[−9, +1]" and signed_limits(-0.0001, 0) == "[0, 0]"
