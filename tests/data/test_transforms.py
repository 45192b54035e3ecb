"""The steps of an augmentation against scipy, numpy's own flips and turns, and what each must keep."""

import numpy as np
import pytest
from scipy import ndimage

from steelbench.data import transforms

RNG = np.random.default_rng(0)
SIDE = (40, 56)
PIXELS = RNG.uniform(40, 200, (*SIDE, 3)).astype(np.float32)
SMOOTH = ndimage.gaussian_filter(PIXELS, (3, 3, 0), mode="mirror")
WHOLE, MIDDLE, STRAIGHT = np.ones(2), np.zeros(2), np.zeros((4, 2))


def corners_of(flips=(1, 1), degrees=0, shear=(0, 0), tilt=STRAIGHT, side=SIDE):
    return transforms.source_corners(flips, degrees, shear, tilt, side)


def moved(pixels=SMOOTH, corners=None, share=WHOLE, centre=MIDDLE, shifts=None):
    return transforms.warp(
        pixels, corners_of(side=pixels.shape[:2]) if corners is None else corners, share, centre, shifts
    )


def sampled(pixels, x, y):
    """scipy's bilinear interpolation, mirrored at the edge as OpenCV's."""
    return np.stack(
        [ndimage.map_coordinates(pixels[..., c], [y, x], order=1, mode="mirror") for c in range(3)], axis=-1
    )


def test_nothing_to_do_leaves_the_image_alone():
    np.testing.assert_allclose(moved(PIXELS), PIXELS, atol=1e-3)


@pytest.mark.parametrize("flips", [(1, -1), (-1, 1), (-1, -1)])
def test_flips_are_those_of_numpy(flips):
    np.testing.assert_allclose(moved(PIXELS, corners_of(flips)), PIXELS[:: int(flips[1]), :: int(flips[0])], atol=1e-2)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_quarter_turns_are_those_of_numpy(degrees, turns):
    square = PIXELS[:, :40]

    got = moved(square, corners_of(degrees=degrees, side=(40, 40)))

    np.testing.assert_allclose(got, np.rot90(square, turns), atol=2e-2)


@pytest.mark.parametrize("degrees", [-25, 10])
def test_turn_about_the_centre(degrees):
    """Each pixel from its place turned about the centre, worked out one by one."""
    angle = np.deg2rad(degrees)
    y, x = np.mgrid[: SIDE[0], : SIDE[1]]
    right, down = x - (SIDE[1] - 1) / 2, y - (SIDE[0] - 1) / 2

    expected = sampled(
        SMOOTH,
        np.cos(angle) * right - np.sin(angle) * down + (SIDE[1] - 1) / 2,
        np.sin(angle) * right + np.cos(angle) * down + (SIDE[0] - 1) / 2,
    )

    np.testing.assert_allclose(moved(SMOOTH, corners_of(degrees=degrees)), expected, atol=0.5)


def test_shear_about_the_centre():
    y, x = np.mgrid[: SIDE[0], : SIDE[1]].astype(float)
    right, down = x - (SIDE[1] - 1) / 2, y - (SIDE[0] - 1) / 2

    np.testing.assert_allclose(moved(SMOOTH, corners_of(shear=(0.2, 0))), sampled(SMOOTH, x + 0.2 * down, y), atol=0.5)
    np.testing.assert_allclose(moved(SMOOTH, corners_of(shear=(0, 0.2))), sampled(SMOOTH, x, y + 0.2 * right), atol=0.5)


def test_tilt_takes_straight_lines_to_straight_lines_between_the_corners():
    """The projective map of four points, from its eight equations; Hartley & Zisserman, section 2.3."""
    tilt = RNG.uniform(-0.1, 0.1, (4, 2))
    height, width = SIDE
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]]) - 0.5
    source = target + tilt * min(SIDE)
    rows, values = [], []
    for (u, v), (x, y) in zip(target, source, strict=True):
        rows += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        values += [x, y]
    a, b, c, d, e, f, g, h = np.linalg.solve(rows, values)
    v, u = np.mgrid[:height, :width]
    scale = g * u + h * v + 1

    expected = sampled(SMOOTH, (a * u + b * v + c) / scale, (d * u + e * v + f) / scale)

    np.testing.assert_allclose(moved(SMOOTH, corners_of(tilt=tilt)), expected, atol=0.5)


def test_crop_is_the_named_part():
    """A crop of half the sides, in the upper left corner, is that quarter enlarged: every second pixel is between."""
    y, x = np.mgrid[: SIDE[0], : SIDE[1]]

    got = moved(SMOOTH, share=np.array([0.5, 0.5]), centre=np.array([-0.5, -0.5]))

    np.testing.assert_allclose(got, sampled(SMOOTH, x / 2 - 0.25, y / 2 - 0.25), atol=0.5)


def test_shifts_are_added_in_pixels():
    shifts = np.zeros((*SIDE, 2), np.float32)
    shifts[..., 0], shifts[..., 1] = 3, -2
    y, x = np.mgrid[: SIDE[0], : SIDE[1]]

    np.testing.assert_allclose(moved(PIXELS, shifts=shifts), sampled(PIXELS, x + 3, y - 2), atol=1e-2)


@pytest.mark.parametrize("smallest", [0.1, 0.5, 0.9, 1.0])
def test_crop_has_the_stated_area_and_aspect_and_stays_inside(smallest):
    rng = np.random.default_rng(0)
    for _ in range(300):
        share, centre = transforms.random_crop(smallest, rng)

        assert smallest - 1e-9 <= share.prod() <= 1 + 1e-9
        assert 3 / 4 - 1e-9 <= share[0] / share[1] <= 4 / 3 + 1e-9
        assert np.all(np.abs(centre) + share <= 1 + 1e-9)


def test_elastic_shifts_are_smooth_of_the_stated_size_and_its_two_directions_differ():
    """A field whose x and y are one drawing moves every pixel along one diagonal."""
    rng = np.random.default_rng(0)
    fields = np.stack([transforms.elastic_shifts((100, 200), 0.02, rng) for _ in range(200)])

    assert fields.shape == (200, 100, 200, 2)
    # The point of the grid in the middle.
    assert fields[:, 50, 100].std() == pytest.approx(2, rel=0.15)
    assert np.abs(np.diff(fields, axis=1)).max() < 1
    assert abs(np.corrcoef(fields[..., 0].ravel(), fields[..., 1].ravel())[0, 1]) < 0.1


def drawn(low, high, seed=3):
    """What a step draws first from the generator of that seed."""
    return np.random.default_rng(seed).uniform(low, high)


def test_blur_is_the_gaussian_of_scipy():
    got = transforms.blur(PIXELS, 0.05, np.random.default_rng(3))

    expected = ndimage.gaussian_filter(PIXELS, (*[drawn(0.1, 1) * 0.05 * 40] * 2, 0), mode="mirror", truncate=4)
    np.testing.assert_allclose(got, expected, atol=0.2)


def test_sharpen_adds_the_difference_from_a_blurred_copy():
    got = transforms.sharpen(PIXELS, 1.5, np.random.default_rng(3))

    soft = ndimage.gaussian_filter(PIXELS.astype(float), (1, 1, 0), mode="mirror", truncate=4)
    np.testing.assert_allclose(got, PIXELS + drawn(0, 1.5) * (PIXELS - soft), atol=0.2)


@pytest.mark.parametrize(
    ("length", "degrees", "expected"),
    [
        (2, 0, [[0, 0, 0], [0.25, 0.5, 0.25], [0, 0, 0]]),
        (2, 90, [[0, 0.25, 0], [0, 0.5, 0], [0, 0.25, 0]]),
        (0.5, 0, [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    ],
)
def test_kernel_of_a_line(length, degrees, expected):
    np.testing.assert_allclose(transforms.line_kernel(length, degrees), expected, atol=0.02)


@pytest.mark.parametrize("degrees", [0, 20, 45, 90, 133])
def test_line_lies_along_its_direction_and_sums_to_one(degrees):
    kernel = transforms.line_kernel(15, degrees).astype(float)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2

    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    spread = np.array([[np.sum(kernel * a * b) for b in (x, -y)] for a in (x, -y)])
    values, vectors = np.linalg.eigh(spread)
    along = np.array([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))])
    assert abs(vectors[:, 1] @ along) > 0.999
    # The variance of a uniform line, L^2 / 12.
    assert values[1] == pytest.approx(15**2 / 12, rel=0.1)
    assert values[0] < 0.5


def test_motion_leaves_a_constant_image_alone_and_smooths_another():
    flat = np.full((40, 40, 3), 77, np.float32)

    np.testing.assert_allclose(transforms.motion(flat, 0.2, np.random.default_rng(0)), flat, rtol=1e-5)
    assert transforms.motion(PIXELS, 0.2, np.random.default_rng(0)).std() < 0.8 * PIXELS.std()


def test_contrast_keeps_the_mean_and_scales_the_rest():
    got = transforms.contrast(PIXELS, 0.4, np.random.default_rng(3))

    factor = 1 + drawn(-0.4, 0.4)
    assert got.mean() == pytest.approx(PIXELS.mean(), abs=0.01)
    assert got.std() == pytest.approx(factor * PIXELS.std(), rel=1e-4)


def test_brightness_adds_one_number_of_at_most_the_amount():
    shifts = [transforms.brightness(PIXELS, 0.2, np.random.default_rng(seed)) - PIXELS for seed in range(60)]

    assert all(np.ptp(shift) < 1e-3 for shift in shifts)
    found = [float(shift.mean()) for shift in shifts]
    assert -51 <= min(found) < -35 and 35 < max(found) <= 51


def test_noise_is_white_and_the_same_in_the_three_channels():
    difference = transforms.noise(np.full((200, 200, 3), 100, np.float32), 0.1, np.random.default_rng(3)) - 100

    assert np.array_equal(difference[..., 0], difference[..., 1])
    assert np.array_equal(difference[..., 0], difference[..., 2])
    assert difference.std() == pytest.approx(255 * drawn(0, 0.1), rel=0.02)
    assert abs(difference.mean()) < 4 * difference.std() / 200
    assert abs(np.mean(difference[1:] * difference[:-1])) < 4 * difference.var() / 200


def test_occlusion_covers_a_rectangle_of_the_stated_area_with_the_mean():
    pixels = np.repeat(RNG.uniform(0, 1, (100, 100, 1)).astype(np.float32), 3, axis=-1) * [50, 100, 200]
    pixels = (pixels + 1).astype(np.float32)
    areas, places = [], set()
    for seed in range(100):
        got = transforms.occlusion(pixels, 0.15, np.random.default_rng(seed))

        changed = (got != pixels).any(axis=-1)
        rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
        assert changed.sum() == len(rows) * len(columns), "a whole rectangle"
        np.testing.assert_allclose(got[changed], np.tile(pixels.mean(axis=(0, 1)), (changed.sum(), 1)), rtol=1e-4)
        assert np.array_equal(got[~changed], pixels[~changed])
        areas.append(changed.mean())
        places.add((int(rows[0]), int(columns[0])))
        assert 1 / 3.4 < len(rows) / len(columns) < 3.4
    assert 0.014 < min(areas) < 0.04 and 0.12 < max(areas) < 0.18
    assert len(places) > 80
