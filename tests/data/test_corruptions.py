"""Corruptions: pixels stay pixels, 0 is the identity, more strength is more change, and each keeps its closed form."""

import subprocess
import sys
from itertools import pairwise

import cv2
import numpy as np
import pytest
from each import each

from steelbench.data import corruptions
from steelbench.data.corruptions import CORRUPTIONS, READ_NOISE, STRENGTHS, corrupt, disc_kernel

BLURS = ("motion_blur", "defocus_blur", "low_resolution")


def rough(height=96, width=128, seed=0):
    """Structure of every scale, with three different channels; a pixel is like its neighbours."""
    rng = np.random.default_rng(seed)
    layers = sum(
        cv2.resize(rng.uniform(-1, 1, (side, side, 3)), (width, height), interpolation=cv2.INTER_CUBIC) * 60
        for side in (2, 5, 12, 40)
    )
    return np.clip(np.rint(128 + layers), 0, 255).astype(np.uint8)


def constant(value, height=60, width=80):
    return np.full((height, width, 3), value, np.uint8)


def change(name, strength, images):
    return np.mean([np.abs(corrupt(name, own, strength, str(n)).astype(float) - own).mean() for n, own in images])


@each("name", CORRUPTIONS)
@each("shape", [(96, 128), (1, 1), (3, 200), (33, 32)])
def test_pixels_stay_pixels_and_the_input_is_left_alone(name, shape):
    image = rough(*shape)
    before = image.copy()

    for strength in STRENGTHS:
        found = corrupt(name, image, strength, "a")

        assert found.dtype == np.uint8 and found.shape == image.shape and found.flags["C_CONTIGUOUS"]
    assert np.array_equal(image, before)


@each("name", CORRUPTIONS)
def test_strength_0_is_the_identity(name):
    image = rough()

    found = corrupt(name, image, 0, "a")

    assert np.array_equal(found, image) and found is not image


@each("name", CORRUPTIONS)
def test_the_same_key_gives_the_same_pixels_and_gray_stays_gray(name):
    gray = np.repeat(rough()[..., :1], 3, axis=2)

    for strength in STRENGTHS:
        found = corrupt(name, gray, strength, "a")

        assert np.array_equal(found, corrupt(name, gray, strength, "a"))
        assert np.array_equal(found, np.repeat(found[..., :1], 3, axis=2))


@each("name", ["water_drops", "oil_spots", "scale_dust", "uneven_light", "sensor_noise"])
def test_another_key_gives_other_pixels(name):
    assert not np.array_equal(corrupt(name, rough(), 3, "a"), corrupt(name, rough(), 3, "b"))


def test_another_process_gives_the_same_pixels():
    script = (
        "import numpy as np, zlib\n"
        "from steelbench.data.corruptions import CORRUPTIONS, corrupt\n"
        "image = np.arange(60 * 50 * 3, dtype=np.uint32).reshape(60, 50, 3).astype(np.uint8)\n"
        "print([zlib.crc32(corrupt(name, image, 3, 'k').tobytes()) for name in CORRUPTIONS])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }

    assert len(texts) == 1 and len(texts.pop()) > 50


@each("name", CORRUPTIONS)
def test_more_strength_is_more_change(name):
    images = [(n, rough(seed=n)) for n in range(6)]

    changes = [change(name, strength, images) for strength in (0, *STRENGTHS)]

    assert changes[0] == 0 and all(np.diff(changes) > 0), changes


@each("name", [name for name, row in CORRUPTIONS.items() if not row.redrawn and name.endswith(("drops", "spots"))])
def test_the_spots_of_a_strength_stay_at_the_next(name):
    image = rough()
    touched = [(corrupt(name, image, strength, "a") != image).any(axis=2) for strength in STRENGTHS]

    for less, more in pairwise(touched):
        # A spot over another one may by chance give back a pixel.
        assert (less & more).sum() >= 0.97 * less.sum()


@each("name", BLURS)
@each("value", [0, 77, 255])
def test_a_blur_keeps_a_constant_image_and_the_mean_of_any(name, value):
    image = rough()

    for strength in STRENGTHS:
        assert np.array_equal(corrupt(name, constant(value), strength, "a"), constant(value))
        assert corrupt(name, image, strength, "a").mean() == pytest.approx(image.mean(), abs=1.5)


@each("length,weights", [(1, [1]), (2, [0.25, 0.5, 0.25]), (3, [1 / 3] * 3), (5, [0.2] * 5)])
def test_motion_blur_is_the_mean_along_the_way(length, weights):
    dot = constant(0, 21, 41)
    dot[10, 20] = 240

    found = corruptions.motion_blur(dot, length, None)

    reach = len(weights) // 2
    expected = constant(0, 21, 41)
    expected[10, 20 - reach : 21 + reach] = np.rint(240 * np.array(weights))[:, None]
    assert np.array_equal(found, expected)


def test_motion_blur_keeps_what_does_not_change_along_x():
    stripes = np.repeat(rough()[:, :1], 128, axis=1)

    assert np.array_equal(corrupt("motion_blur", stripes, 5, "a"), stripes)
    turned = corruptions.blur_along(np.transpose(stripes, (1, 0, 2)).copy(), 12, 90, None)
    assert np.array_equal(turned, np.transpose(stripes, (1, 0, 2)))


def test_the_way_of_motion_blur_is_speed_times_exposure():
    """20 m/s at 1 mm a pixel: 50 microseconds are a pixel."""
    assert CORRUPTIONS["motion_blur"].amounts == tuple(round(time / 50, 3) for time in (100, 150, 250, 400, 600))


@each("radius", [1, 2, 3.5, 6])
def test_defocus_is_a_disc(radius):
    kernel = disc_kernel(radius)
    y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2

    assert kernel.sum() == pytest.approx(1) and np.array_equal(kernel, kernel.T)
    assert kernel[np.hypot(x, y) > radius + 0.5].sum() == 0
    inside = kernel[np.hypot(x, y) < radius - 0.5]
    assert np.allclose(inside, inside[0]) and 1 / inside[0] == pytest.approx(np.pi * radius**2, rel=0.15)


def test_uneven_light_goes_from_less_to_more_and_keeps_the_mean():
    gray = constant(100, 101, 101)

    for amount, strength in zip(CORRUPTIONS["uneven_light"].amounts, STRENGTHS, strict=True):
        found = corrupt("uneven_light", gray, strength, "a").astype(float)
        assert (found.min(), found.max()) == (
            pytest.approx(100 * (1 - amount), abs=1),
            pytest.approx(100 * (1 + amount), abs=1),
        )
        assert found.mean() == pytest.approx(100, abs=0.2)
        # A plane: no second difference.
        assert np.abs(np.diff(found[..., 0], 2, axis=0)).max() <= 2


def test_light_drift_is_a_gain_and_an_offset():
    image = rough()

    for amount, strength in zip(CORRUPTIONS["light_drift"].amounts, STRENGTHS, strict=True):
        expected = np.rint((1 - amount) * image + amount * 25.5)
        assert np.array_equal(corrupt("light_drift", image, strength, "a"), expected.astype(np.uint8))


@pytest.mark.parametrize("value", [40, 128])
def test_the_noise_has_the_variance_of_its_electrons(value):
    image = constant(value, 300, 300)

    for electrons, strength in zip(CORRUPTIONS["sensor_noise"].amounts, STRENGTHS, strict=True):
        found = corrupt("sensor_noise", image, strength, "a")[..., 0].astype(float)
        # Rounding adds 1/12.
        variance = 255 * value / electrons + (255 * READ_NOISE / electrons) ** 2 + 1 / 12
        if value - 3.5 * variance**0.5 < 0 or value + 3.5 * variance**0.5 > 255:
            continue
        assert found.mean() == pytest.approx(value, abs=5 * variance**0.5 / 300)
        assert found.var() == pytest.approx(variance, rel=0.03)


@each("quality,strength", list(zip(CORRUPTIONS["jpeg_compression"].amounts, STRENGTHS, strict=True)))
def test_jpeg_is_opencvs(quality, strength):
    image = rough()
    written = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]

    assert np.array_equal(corrupt("jpeg_compression", image, strength, "a"), cv2.imdecode(written, 1)[..., ::-1])


def test_low_resolution_of_a_quarter_keeps_the_means_of_blocks():
    """Shrunk by 4, each new pixel is the mean of 16; enlarged again, its middle keeps that value between neighbours."""
    image = rough(80, 120)
    means = image.reshape(20, 4, 30, 4, 3).mean(axis=(1, 3))

    found = corrupt("low_resolution", image, 5, "a").reshape(20, 4, 30, 4, 3)

    # Four pixels lie at 3/8 and 1/8 before and after the centre: linear between the means of neighbours.
    weights = np.array([0.375, 0.125, -0.125, -0.375])
    for i, up in enumerate(weights):
        for j, left in enumerate(weights):
            rows = means[:-2] if up > 0 else means[2:]
            along = (1 - abs(up)) * means[1:-1] + abs(up) * rows
            sides = along[:, :-2] if left > 0 else along[:, 2:]
            expected = (1 - abs(left)) * along[:, 1:-1] + abs(left) * sides
            assert np.abs(found[1:-1, i, 1:-1, j] - expected).max() <= 0.51


def test_shift_moves_right_and_down_and_mirrors_the_edge():
    image = rough(40, 60)

    found = corrupt("shift", image, 3, "a")

    step = 4
    assert np.array_equal(found[step:, step:], image[:-step, :-step])
    assert np.array_equal(found[step - 1, step:], image[1, : 60 - step])
    assert np.array_equal(found[step:, 0], image[: 40 - step, step])


def test_dust_is_as_dense_as_it_says_and_oil_is_dark():
    gray = constant(128, 200, 200)

    dust = corrupt("scale_dust", gray, 1, "a").astype(int) - 128
    assert dust.min() < -50 and dust.max() > 50
    assert 8 * 0.5 <= cv2.connectedComponents((dust[..., 0] != 0).astype(np.uint8))[0] - 1 <= 8
    oil = corrupt("oil_spots", gray, 5, "a")
    assert oil.max() == 128 and oil.min() == pytest.approx(0.4 * 128, abs=1)


def test_drops_leave_the_rest_of_the_image_alone():
    image = rough(200, 200)

    changed = (corrupt("water_drops", image, 2, "a") != image).any(axis=2)

    # Four drops of at most 8 % of the side.
    assert 0 < changed.sum() <= 4 * np.pi * 17**2


@each(
    "pixels,strength",
    [(rough().astype(np.float32), 1), (rough()[..., 0], 1), (rough()[:0], 1), (rough(), 6), (rough(), -1)],
    ids=["float", "gray", "empty", "6", "-1"],
)
def test_other_pixels_and_strengths_are_refused(pixels, strength):
    with pytest.raises(ValueError, match=r"strength|expected pixels"):
        corrupt("shift", pixels, strength, "a")


@each("name", CORRUPTIONS)
def test_every_row_says_where_its_strengths_come_from(name):
    row = CORRUPTIONS[name]

    assert row.title and row.unit and row.source and len(row.amounts) == len(STRENGTHS)
    assert sorted(row.amounts) in (list(row.amounts), list(row.amounts)[::-1])


@each("name,shares", [("water_drops", (1.8, 3.8, 7.3, 12, 19)), ("oil_spots", (1.5, 3.2, 6.3, 11, 16)),
                      ("scale_dust", (0.1, 0.3, 0.6, 1.3, 2.5))])  # fmt: skip
def test_spots_cover_what_their_rows_say(name, shares):
    image = np.random.default_rng(0).integers(90, 160, (200, 200, 3), np.uint8)

    for strength, share in zip(STRENGTHS, shares, strict=True):
        touched = [(corrupt(name, image, strength, str(key)) != image).any(axis=2).mean() for key in range(12)]

        assert 100 * np.mean(touched) == pytest.approx(share, rel=0.25, abs=0.05)
        assert f"{share:g}" in CORRUPTIONS[name].source
