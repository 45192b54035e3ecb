"""The curves show the epochs that a history holds, gaps included."""

import math
from dataclasses import replace

import numpy as np
import pytest
from results_folder import model_row, summary, write_folder

from steelbench.report.figures import style
from steelbench.report.figures.curves import band, compare, kept_epoch, one_backbone, small_multiples
from steelbench.report.load import CURVES, History, load
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


def several(values, best=(1, 1, 3), stage="classifier", last=True, row=ROW):
    """One stage of several runs, whose validation losses are `values`."""
    runs = [
        History(row, stage, last, own, [*range(1, len(line) + 1)], dict.fromkeys(CURVES, [math.nan] * len(line)) | {
            "val_loss": line, "learning_rate": [1e-3] * len(line),
        })
        for line, own in zip(values, best, strict=False)
    ]  # fmt: skip
    return replace(runs[0], others=tuple(runs[1:]))


def test_several_runs_are_a_mean_from_the_lowest_to_the_highest_where_half_of_them_go_on():
    found = band(several([[0.9, 0.5, 0.4, 0.3], [0.7, math.nan], [0.8, 0.3, 0.2]]).runs, "val_loss")

    assert found.epochs.tolist() == [1, 2, 3], "one of three runs reached the fourth epoch"
    np.testing.assert_allclose(found.middle, [0.8, 0.4, 0.3])
    np.testing.assert_allclose(found.low, [0.7, 0.3, 0.2])
    np.testing.assert_allclose(found.high, [0.9, 0.5, 0.4])


def test_many_runs_are_their_median_and_middle_half():
    values = [[value] for value in (0.1, 0.2, 0.3, 0.4, 9.0)]
    found = band(several(values, best=(1,) * 5).runs, "val_loss", scale=2)

    assert (found.low.item(), found.middle.item(), found.high.item()) == (0.4, 0.6, 0.8)


def test_the_dot_lies_on_the_line_at_the_median_of_the_epochs_that_were_kept():
    found = several([[0.9, 0.5, 0.4], [0.7, 0.5, 0.2], [0.8, 0.2, 0.3]], best=(1, 3, 2))
    with style.figure_style():
        figure = one_backbone("vgg19", [found], {"softmax": "#0072b2"})

    (dot,) = [line for line in figure.axes[0].get_lines() if line.get_linestyle() == "None"]
    assert kept_epoch(found) == 2
    np.testing.assert_allclose([dot.get_xdata(), dot.get_ydata()], [[2], [0.4]])


def test_small_multiples_share_axes_within_a_quantity_and_never_between_kinds_of_loss():
    rows = [model_row(name, "supcon", 0.9) for name in ("vgg19", "xception")]
    histories = [
        several([[value, value / 2]], stage=stage, last=last, row=row)
        for row in rows
        for stage, last, value in (("encoder", False, 7.0), ("head", True, 0.5))
    ]
    with style.figure_style():
        figure = small_multiples(histories, {"supcon": "#0072b2"})

    named = [axis.get_ylabel() for axis in figure.axes]
    assert named == ["loss", "", "contrastive loss", "", "learning\nrate", ""]
    assert [axis.get_title(loc="left") for axis in figure.axes[:2]] == ["vgg19", "xception"]
    for first, second in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        assert first.get_ylim() == second.get_ylim() and first.get_xlim() == second.get_xlim()
    assert [values for _, values in lines(figure.axes[0])] == [[0.5, 0.25]]
    assert [values for _, values in lines(figure.axes[2])] == [[7.0, 3.5]]
    assert [line.get_linestyle() for line in figure.axes[4].get_lines()] == [":", "-"]
