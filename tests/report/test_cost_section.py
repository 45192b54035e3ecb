"""The section on costs shows the records' numbers, and says what is missing, disturbed or failed."""

import re

import pytest
from cost_records import costed
from results_folder import hog_row, judged, majority_row, model_row, summary, write_folder

from steelbench.records import Cost
from steelbench.report.results_page import build_report

NAMES = ("efficientnet_b0", "mobilenet_v2", "vgg19")


def rows_of(*costs, **fields):
    rows = [model_row(name, "softmax", 0.99 - 0.01 * place) for place, name in enumerate(NAMES)]
    return [costed(row, ms, **fields) if ms else row for row, ms in zip(rows, costs, strict=True)]


def text_of(folder, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("steelbench.report.figures.all_figures.draw_figures", lambda *_: {})
        page = build_report(write_folder(folder, judged(summary([*rows, majority_row()]))))
    return page.read_text(encoding="utf-8")


def table(text):
    """The cells of each line of the table of costs, without tags."""
    inside = text.split('id="costs"')[1].split("</table>")[0]
    lines = inside.split("<tbody>")[1].split("<tr>")[1:]
    return [[re.sub(r"<[^>]+>", "", cell) for cell in re.split(r"</t[hd]>", line)[:-1]] for line in lines]


def test_every_number_is_the_record_s(tmp_path):
    rows = rows_of(4.04, 0.8, 123.456)

    lines = table(text_of(tmp_path, rows))

    assert len(lines) == 3
    for row, cells in zip(rows, lines, strict=True):
        (time,) = row.cost.times
        assert cells == [
            f"{row.backbone} + softmax",
            f"{row.params / 1e6:.2f}",
            "384",
            f"{row.model_bytes / 1e6:.1f}",
            "23",
            f"{time.ms_p50:.1f}",
            f"{time.ms_p99:.1f}",
            f"{time.images_per_second:,.1f}".replace(",", "\u202f"),
            "2",
            "openvino float32",
        ]


def test_a_row_has_a_line_for_each_engine(tmp_path):
    row = costed(model_row("vgg19", "softmax", 0.99), 40.0, "keras", "openvino")

    text = text_of(tmp_path, [row])

    assert [cells[5] for cells in table(text)] == ["40.0", "41.0"]
    assert "vgg19 + softmax, keras" in text.split('id="line-data"')[1]


def test_unknown_numbers_are_dashes(tmp_path):
    row = costed(model_row("vgg19", "softmax", 0.99), 40.0)
    bare = row.cost.model_copy(update={"multiply_adds": None, "memory_bytes": None})

    (cells,) = table(text_of(tmp_path, [row.model_copy(update={"cost": bare})]))

    assert cells[2] == cells[4] == "–"


def test_a_page_of_older_records_says_how_to_get_times(tmp_path):
    text = text_of(tmp_path, rows_of(None, None, None))

    assert "These models were not timed. Run the same command again" in text
    assert 'id="line"' not in text


def test_a_page_without_a_saved_model_has_no_such_section(tmp_path):
    assert "What does it cost?" not in text_of(tmp_path, [hog_row()])


def test_a_row_that_could_not_be_timed_says_why(tmp_path):
    rows = rows_of(4.0, None, None)
    rows[1] = rows[1].model_copy(update={"cost": Cost(fingerprint="f", problem="RuntimeError: <b>no</b>")})

    text = text_of(tmp_path, rows)

    assert len(table(text)) == 1
    assert "mobilenet_v2 + softmax was not timed: RuntimeError: &lt;b&gt;no&lt;/b&gt;" in text


@pytest.mark.parametrize("field", [{"others": 0.4}, {"ms_p99": 99.0}])
def test_times_that_were_disturbed_are_marked(tmp_path, field):
    quiet, loud = (
        text_of(tmp_path / "quiet", rows_of(4.0, 5.0, 6.0)),
        text_of(tmp_path / "loud", rows_of(4.0, 5.0, 6.0, **field)),
    )

    assert "may be too long" not in quiet
    assert "3 of 3 times may be too long" in loud


def test_parameters_size_and_engine_stand_in_one_table(tmp_path):
    def models_head(name, *costs):
        section = text_of(tmp_path / name, rows_of(*costs)).split('id="models"')[1].split("</thead>")[0]
        return re.findall(r"<th [^>]*>(.*?)</th>", section)

    assert models_head("all", 4.0, 0.8, 12.0) == ["Row", "Time<br>s", "Saved model", "Its check"]
    # A row that was not timed has no line in the table of costs.
    some = models_head("some", 4.0, None, 12.0)
    assert some[1:3] == ["Parameters<br>million", "Size<br>MB"] and "Engine" in some
