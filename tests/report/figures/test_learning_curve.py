"""The label-efficiency figure draws means and bands where the points say."""

import numpy as np
import pytest

from steelbench.evaluation.learning_curve import Point
from steelbench.report.figures.learning_curve import label_efficiency
from steelbench.report.figures.style import figure_style, save

SHARES, COUNTS = (0.01, 0.1, 1.0), (1, 5)


def accuracies(backbone, budget):
    """Of ten fits, between .5 and 1."""
    seed = [ord(backbone[0]), int(100 * budget)]
    return np.random.default_rng(seed).uniform(0.5, 1.0, 10)


@pytest.fixture
def figure():
    points = []
    for backbone in ("vgg19", "xception"):
        for budget in (*SHARES, *COUNTS):
            share, per_class = (budget, None) if budget in SHARES and isinstance(budget, float) else (None, budget)
            points += [
                Point(backbone, draw % 2, share, per_class, 9, draw // 2, value, 0.1)
                for draw, value in enumerate(accuracies(backbone, budget))
            ]
    with figure_style():
        return label_efficiency(points)


@pytest.mark.parametrize(("panel", "budgets", "scale"), [(0, SHARES, 100), (1, COUNTS, 1)])
def test_lines_are_means_and_bands_the_middle_ninety_per_cent(figure, panel, budgets, scale):
    axis = figure.axes[panel]
    lines = [line for line in axis.get_lines() if len(line.get_xdata())]

    assert axis.get_xscale() == "log" and len(lines) == len(axis.collections) == 2
    for backbone, line, band in zip(("vgg19", "xception"), lines, axis.collections, strict=True):
        fits = np.array([100 * accuracies(backbone, budget) for budget in budgets])
        np.testing.assert_allclose(line.get_xdata(), scale * np.array(budgets))
        np.testing.assert_allclose(line.get_ydata(), fits.mean(axis=1))
        for budget, own in zip(budgets, fits, strict=True):
            corners = band.get_paths()[0].vertices
            here = corners[np.isclose(corners[:, 0], scale * budget), 1]
            np.testing.assert_allclose((here.min(), here.max()), np.percentile(own, [5, 95]))


def test_the_panels_share_one_accuracy_axis_and_name_every_budget(figure):
    left, right = figure.axes

    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] <= 101
    assert [label.get_text() for label in left.get_xticklabels()] == ["1", "10", "100"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["1", "5"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["vgg19", "xception"]
    assert left.get_legend() is None


def test_it_says_what_the_band_covers(figure, tmp_path):
    (note,) = (text.get_text() for text in figure.axes[0].texts)

    assert "middle 90 %" in note and "2 splits x 5 draws" in note
    with figure_style():
        save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
