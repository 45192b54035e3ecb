"""The audit's figure draws the numbers that it is given."""

import numpy as np
import pytest

from steelbench.audit.shortcuts import Brightness
from steelbench.report.figures.brightness import brightness
from steelbench.report.figures.style import figure_style, save

ROWS = [Brightness("dark", 40, 5, 120, 1), Brightness("$x^2$ " + "long " * 20, 200, 30, 118, 2)]


@pytest.fixture
def axis():
    with figure_style():
        return brightness(ROWS).axes[0]


def test_each_class_has_a_bar_before_and_one_after(axis):
    before, after = ([patch.get_width() for patch in bars.patches] for bars in axis.containers[:2])

    assert before == [40, 200] and after == [120, 118]
    middles = [bar.get_y() + bar.get_height() / 2 for bar in axis.containers[0].patches]
    assert [round(middle) for middle in middles] == [0, 1]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["as they are", "homogenised"]


def test_the_whisker_is_the_spread(axis):
    segments = [whisker.get_segments() for bars in axis.containers[2:] for whisker in bars.lines[2]]
    ends = [tuple(segment[:, 0]) for part in segments for segment in part]

    np.testing.assert_allclose(ends, [(35, 45), (170, 230), (119, 121), (116, 120)])


def test_the_numbers_stand_beside_the_bars_and_names_are_text(axis, tmp_path):
    assert {text.get_text() for text in axis.texts} == {"40 ± 5", "200 ± 30", "120 ± 1", "118 ± 2"}
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "dark" and names[1].startswith("$x^2$") and len(names[1]) <= 28
    with figure_style():
        save(axis.figure, tmp_path / "brightness.png")
    assert (tmp_path / "brightness.png").read_bytes().startswith(b"\x89PNG")
