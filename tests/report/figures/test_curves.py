"""The curves show the epochs that a history holds, gaps included."""

import math

import numpy as np
import pytest
from results_folder import model_row, summary, write_folder

from steelbench.report.figures import style
from steelbench.report.figures.curves import compare, one_backbone
from steelbench.report.load import History, load
from steelbench.report.results_page import build_report

ROW = model_row("vgg19", "softmax", 0.9)


def history(row=ROW, best_epoch=2, **curves):
    epochs = len(next(iter(curves.values())))
    missing = {name: [math.nan] * epochs for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
    return History(row, "classifier", True, best_epoch, [*range(1, epochs + 1)], missing | curves)


def folder_with_history(path, text):
    """A results folder of one row, whose history is this text."""
    folder = write_folder(path, summary([ROW]))
    (folder / "runs" / "vgg19-softmax-s0-f0" / "history.csv").write_text(text, encoding="utf-8")
    return folder


def lines(axis):
    """Epochs and values of each line of an axis that is no marker of a kept epoch."""
    drawn = [line for line in axis.get_lines() if line.get_linestyle() != "None"]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in drawn]


def test_epochs_without_a_number_are_gaps_in_their_curve(tmp_path):
    text = "epoch,loss,val_loss\n1,0.9,0.8\n2,nan,x\n3,inf\n4,0.3,0.5\n"
    histories = load(folder_with_history(tmp_path, text)).histories
    with style.figure_style():
        figure = one_backbone("vgg19", histories, {"softmax": "#0072b2"})

    (axis,) = figure.axes
    assert axis.get_title(loc="left") == "vgg19: loss"
    training, validation = lines(axis)
    np.testing.assert_array_equal(training, [[1, 2, 3, 4], [0.9, math.nan, math.nan, 0.3]])
    np.testing.assert_array_equal(validation, [[1, 2, 3, 4], [0.8, math.nan, math.nan, 0.5]])
    build_report(tmp_path)
    assert {"curves-all.png", "curves-vgg19.png"} <= {path.name for path in (tmp_path / "figures").iterdir()}


def test_a_history_without_any_number_is_an_empty_axis(tmp_path):
    histories = load(folder_with_history(tmp_path, "epoch,loss,val_loss\n1,nan,x\n2,inf\n")).histories
    with style.figure_style():
        figure = one_backbone("vgg19", histories, {"softmax": "#0072b2"})

    (axis,) = figure.axes
    for _, values in lines(axis):
        assert np.isnan(values).all()
    assert np.isfinite(axis.get_ylim()).all()


def test_a_dot_marks_the_epoch_that_was_kept_and_accuracy_is_in_per_cent():
    found = history(best_epoch=2, accuracy=[0.5, 0.7, 0.8], val_accuracy=[0.4, 0.75, 0.6])
    with style.figure_style():
        figure = one_backbone("vgg19", [found], {"softmax": "#0072b2"})

    (axis,) = figure.axes
    (dot,) = [line for line in axis.get_lines() if line.get_linestyle() == "None"]
    assert (list(dot.get_xdata()), list(dot.get_ydata())) == ([2], [75])
    assert lines(axis) == [([1, 2, 3], [50, 70, 80]), ([1, 2, 3], [40, 75, 60])]


@pytest.mark.parametrize(("rows", "named", "other"), [(5, 5, None), (6, 5, "1 lower row"), (8, 5, "3 lower rows")])
def test_rows_beyond_the_dashes_of_their_colour_stay_pale(rows, named, other):
    names = [f"t={place}" for place in range(rows)]
    shown = [model_row("vgg19", "softmax", 0.9, variant=name) for name in names]
    histories = [history(row, val_loss=[1.0, 0.5, 0.2]) for row in shown]
    with style.figure_style():
        figure = compare(histories, {row.name: style.PALETTE[0] for row in shown})

    (axis,) = figure.axes
    assert len(lines(axis)) == rows
    assert [line.get_color() for line in axis.get_lines()].count(style.PALE) == rows - named
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    expected = [f"vgg19 + softmax {name}" for name in names[:named]]
    assert labels == expected + ([other] if other else [])


def test_losses_of_different_kinds_share_no_axis():
    rows = [model_row("vgg19", method, 0.9) for method in ("softmax", "arcface", "triplet")]
    histories = [
        history(row, val_loss=[value, value], val_accuracy=[0.5, 0.6])
        for row, value in zip(rows, (1, 30, 0.2), strict=True)
    ]
    colours = {row.name: style.PALETTE[place] for place, row in enumerate(rows)}
    with style.figure_style():
        figure = compare(histories, colours)

    titles = {axis.get_title(loc="left"): lines(axis) for axis in figure.axes}
    assert list(titles) == [
        "Validation accuracy",
        "Validation loss",
        "Validation ArcFace loss",
        "Validation triplet loss",
    ]
    assert [values for _, values in titles["Validation ArcFace loss"]] == [[30, 30]]
    assert len(titles["Validation accuracy"]) == 3
