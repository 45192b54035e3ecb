"""The cells of a confusion matrix: the record's counts, and the images of `errors.csv` behind them."""

from results_folder import model_row, summary, write_folder

from steelbench.evaluation.error_tables import WrongAnswer, write_errors
from steelbench.report.confusion_table import confusion_tables
from steelbench.report.results_page import build_report

NAMES = ["a", "b", "c"]
COUNTS = [[8, 2, 0], [0, 9, 1], [0, 0, 10]]


def row_of(counts=COUNTS, names=NAMES):
    return model_row("vgg19", "softmax", 0.9, names).model_copy(update={"confusion": counts})


def error(path, label, predicted, row="vgg19-softmax"):
    return WrongAnswer(row, path, label, predicted, 0.8, 0.1, 1, 1, False, ())


def test_a_cell_has_the_records_count_and_the_images_of_its_row():
    row = row_of()
    errors = [error("1", "a", "b"), error("2", "a", "b"), error("3", "b", "c", row="other"), error("4", "a", "c")]

    table = confusion_tables([row], errors)[row.name]

    assert [[cell.count for cell in line] for line in table.lines] == COUNTS
    assert (table.wrong, table.total) == (3, 30)
    behind = {(cell.true, cell.predicted): [own.path for own in cell.images] for line in table.lines for cell in line}
    assert {key: paths for key, paths in behind.items() if paths} == {("a", "b"): ["1", "2"], ("a", "c"): ["4"]}
    assert table.lines[0][1].share == 0.2 and table.lines[2][2].right


def test_a_matrix_that_is_not_square_has_no_table():
    assert confusion_tables([row_of([[1, 2], [3]])], []) == {}


def test_averaged_answers_of_several_seeds_are_told_apart_from_the_counts(tmp_path):
    row = row_of()
    record = summary([row], NAMES)
    folder = write_folder(tmp_path, record.model_copy(update={"split": record.split.model_copy(update={"seeds": 3})}))
    write_errors(folder / "errors.csv", [error("only one.jpg", "a", "b")])

    text = build_report(folder).read_text(encoding="utf-8")

    assert "averaged over 3 seeds, so that their number may differ from the cell" in text
    assert ">2</button>" in text, "the number is the record's"
    shown = text[text.index('class="behind"') :]
    assert "only one.jpg" in shown and "no picture" in shown


def test_one_seed_needs_no_such_remark(tmp_path):
    assert "averaged over" not in build_report(write_folder(tmp_path, summary([row_of()], NAMES))).read_text("utf-8")


def test_many_classes_are_a_picture_and_the_most_frequent_confusions(tmp_path):
    names = [f"class {place}" for place in range(40)]
    counts = [[5 if i == j else 0 for j in range(40)] for i in range(40)]
    counts[3][7], counts[4][1] = 2, 4
    folder = write_folder(tmp_path, summary([row_of(counts, names)], names), classes=names)
    write_errors(folder / "errors.csv", [error("x.jpg", "class 4", "class 1")])

    text = build_report(folder).read_text(encoding="utf-8")

    section = text[text.index('class="matrix"') : text.index('id="curves"')]
    assert "Confusion matrix of vgg19 + softmax" in section and 'class="confusion"' not in section
    assert section.index("taken for class 1;") < section.index('<td class="wrap">class 7</td>')
