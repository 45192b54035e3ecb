"""The figure of accuracy against time: its frontier against all pairs, its dots where the records say."""

import numpy as np
import pytest
from cost_records import costed
from results_folder import judged, model_row, summary

from steelbench.report.figures.cost import frontier, milliseconds, pareto
from steelbench.report.figures.style import figure_style

COLOURS = {"vgg19": "#0072b2", "xception": "#d55e00", "mobilenet_v2": "#009e73"}


def beaten(point, points):
    """By its definition: another one is as good in both, and better in one."""
    return any(ms <= point[0] and acc >= point[1] and (ms, acc) != point for ms, acc in points)


@pytest.mark.parametrize("seed", range(30))
def test_the_frontier_is_what_no_other_point_beats(seed):
    rng = np.random.default_rng(seed)
    # Few values, so that some are equal.
    points = [(float(a), float(b)) for a, b in rng.integers(1, 8, (12, 2))]

    found = [points[place] for place in frontier(points)]

    assert found == sorted({point for point in points if not beaten(point, points)})


def test_dots_stand_at_time_and_accuracy_and_are_hollow_where_worse():
    rows = [
        costed(model_row("vgg19", "softmax", 0.99), 40.0),
        costed(model_row("mobilenet_v2", "linear", 0.98), 4.0),
        costed(model_row("xception", "softmax", 0.7), 20.0),
    ]
    rows = judged(summary(rows), tied=2).rows
    with figure_style():
        (axis,) = pareto(rows, COLOURS).axes

    dots = {tuple(line.get_xydata()[0]): line for line in axis.get_lines() if len(line.get_xydata()) == 1}
    for row, hollow in zip(rows, (False, False, True), strict=True):
        place = [milliseconds(row), 100 * row.accuracy]
        below = place[1] < axis.get_ylim()[0]
        (dot,) = [line for (x, y), line in dots.items() if x == place[0]]
        assert below == (row.backbone == "xception")
        if below:
            assert dot.get_marker() == "v"
            continue
        assert dot.get_ydata()[0] == place[1]
        assert (dot.get_markerfacecolor() == "white") == hollow
        assert dot.get_color() == COLOURS[row.backbone]
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in axis.texts] == ["mobilenet_v2 linear", "vgg19 softmax"]


def test_worse_dots_are_hollow():
    rows = judged(
        summary([costed(model_row(name, "softmax", 0.99), 9.0) for name in ("vgg19", "xception")]), tied=1
    ).rows
    with figure_style():
        (axis,) = pareto(rows, COLOURS).axes

    faces = [line.get_markerfacecolor() for line in axis.get_lines() if line.get_marker() == "o"]
    assert faces == ["#0072b2", "white"]


def test_the_time_is_that_of_the_row_s_own_engine():
    row = costed(model_row("vgg19", "softmax", 0.99), 40.0, "keras", "openvino")

    assert row.engine == "openvino" and milliseconds(row) == row.cost.times[1].ms_p50 == 41.0
    assert milliseconds(costed(row, 7.0, "keras")) == 7.0
    assert milliseconds(row.model_copy(update={"cost": None})) is None


def test_without_a_time_there_is_no_figure():
    assert pareto([model_row("vgg19", "softmax", 0.99)], COLOURS) is None
