"""The arithmetic of line speed, by numbers worked out by hand."""

import pytest
from line_arithmetic import candidates_per_second, cores_needed, exposure_microseconds, tiles_per_second

from steelbench.evaluation.line import LINES


@pytest.mark.parametrize(
    ("speed", "pixel", "width", "tile", "expected"),
    [
        # 100 mm tiles: 10 each second and lane; 1 m holds 10 lanes.
        (1, 0.5, 1, 200, 10 * 10),
        # A little wider needs one more lane.
        (1, 0.5, 1.001, 200, 10 * 11),
        # 224 mm: 20 / .224 = 89.2857 rows, 1650 / 224 = 7.37 -> 8 lanes.
        (20, 1, 1.65, 224, 714.2857142857),
        # 56 mm: 2 / .056 = 35.714 rows, 200 / 56 = 3.57 -> 4 lanes.
        (2, 0.25, 0.2, 224, 142.857142857),
        # In decimals 3.3 / 1.1 is 3, in binary a little more.
        (1.1, 0.011, 0.0033, 100, 1000 * 3),
    ],
)
def test_tiles_of_a_strip(speed, pixel, width, tile, expected):
    assert tiles_per_second(speed, pixel, width, tile) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("speed", "pixel", "expected"), [(20, 1, 50), (15, 0.5, 100 / 3), (3, 0.5, 500 / 3)])
def test_exposure_for_a_pixel_of_blur(speed, pixel, expected):
    assert exposure_microseconds(speed, pixel) == pytest.approx(expected)


def test_candidates_at_their_peak():
    assert candidates_per_second(200, 3) == 600


@pytest.mark.parametrize(
    ("images", "rate", "threads", "expected"),
    [(600, 200, 2, 6), (600.1, 200, 2, 7), (10, 200, 2, 1), (0, 200, 2, 1), (200, 100, 1, 2), (0.3, 0.1, 1, 3)],
)
def test_cores_of_a_model(images, rate, threads, expected):
    assert cores_needed(images, rate, threads) == expected


def test_presets_are_those_of_the_trade():
    assert [(line.name, line.speed, line.pixel, line.width) for line in LINES] == [
        ("hot strip", 20, 1, 1.65),
        ("tinplate", 15, 0.5, 1),
        ("pickling", 15, 0.5, 1.65),
        ("galvanising", 4.2, 0.5, 1.4),
        ("billet", 2, 0.25, 0.2),
    ]
    assert all(line.source for line in LINES)
