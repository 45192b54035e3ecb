"""Augmentation: pixels stay pixels, and the seed, the position or the digest of an image decide what becomes of it."""

import hashlib
import subprocess
import sys
from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from each import each

from steelbench.data.augmentation import AUGMENTATIONS, Augmentation, augment, identity, view
from steelbench.errors import SteelbenchError

RNG = np.random.default_rng(0)
NOISY = RNG.uniform(0, 255, (6, 40, 56, 3)).astype(np.float32)
AMOUNTS = [field.name for field in fields(Augmentation) if field.name not in ("flips", "smallest_crop", "chance")]


@pytest.fixture
def only(monkeypatch):
    """`only(**fields)` is the name of a preset of one's own, which ends with the test."""

    def make(**values):
        monkeypatch.setitem(AUGMENTATIONS, "own", Augmentation(**values))
        return "own"

    return make


def where(height=160, width=200):
    """An image whose channels say where each pixel was: x, y, and a constant."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 100)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("preset", AUGMENTATIONS)
@each(
    "images",
    [
        NOISY,
        np.zeros((3, 32, 32, 3), np.float32),
        np.full((3, 33, 47, 3), 255, np.float32),
        RNG.choice([0, 255], (8, 128, 128, 3)).astype(np.float32),
    ],
    ids=["noise", "black", "white", "extremes"],
)
def test_shape_type_and_range_stay(preset, images):
    for seed in range(8):
        got = augment(preset, images, seed)

        assert got.shape == images.shape and got.dtype == np.float32
        assert np.isfinite(got).all() and got.min() >= 0 and got.max() <= 255


def test_none_changes_nothing():
    assert np.array_equal(augment("none", NOISY, 0), NOISY)


@pytest.mark.parametrize("preset", ["light", "heavy"])
def test_same_numbers_give_the_same_pixels(preset):
    before, first = NOISY.copy(), augment(preset, NOISY, (1, 2, 3))
    np.random.seed(5)
    cv2.setRNGSeed(5)

    assert np.array_equal(augment(preset, NOISY, (1, 2, 3)), first)
    assert np.array_equal(NOISY, before)
    for other in [(1, 2, 4), (1, 3, 3), (2, 2, 3), 1]:
        assert not np.array_equal(augment(preset, NOISY, other), first)


@pytest.mark.parametrize("preset", ["light", "heavy"])
def test_neighbours_do_not_matter(preset):
    whole = augment(preset, NOISY, 7)

    assert np.array_equal(augment(preset, NOISY[:2], 7), whole[:2])
    others = np.concatenate([255 - NOISY[:3], NOISY[3:4]])
    assert np.array_equal(augment(preset, others, 7)[3], whole[3])


@pytest.mark.parametrize("preset", ["light", "heavy"])
def test_images_of_a_batch_are_drawn_for_one_by_one(preset):
    got = augment(preset, np.repeat(NOISY[:1], 6, axis=0), 0)

    assert len({image.tobytes() for image in got}) == 6


def test_number_of_threads_does_not_matter():
    threads, images = cv2.getNumThreads(), RNG.uniform(0, 255, (8, 224, 224, 3)).astype(np.float32)
    got = {}
    try:
        for number in (1, 4):
            cv2.setNumThreads(number)
            got[number] = augment("heavy", images, 3)
    finally:
        cv2.setNumThreads(threads)

    assert np.array_equal(got[1], got[4])


@pytest.mark.parametrize("preset", ["light", "heavy"])
def test_a_view_depends_on_preset_number_and_key_alone(preset):
    pixels = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    got = {(n, key): view(preset, pixels, n, key).tobytes() for n in range(3) for key in ("a", "b", "")}

    again = {place: view(preset, pixels.astype(np.float32), *place).tobytes() for place in reversed(got)}

    assert again == got
    assert len(set(got.values())) == 9


def test_a_view_is_the_same_in_another_process():
    program = (
        "import hashlib, numpy as np; from steelbench.data.augmentation import view; "
        "pixels = np.arange(1200, dtype=np.uint8).reshape(20, 20, 3); "
        "print(hashlib.sha256(view('heavy', pixels, 2, 'key').tobytes()).hexdigest())"
    )
    pixels = np.arange(1200).astype(np.uint8).reshape(20, 20, 3)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.strip() == hashlib.sha256(view("heavy", pixels, 2, "key").tobytes()).hexdigest(), done.stderr


@each("name", [*AMOUNTS, "smallest_crop", "chance"])
def test_identity_of_a_preset_changes_with_its_row(monkeypatch, name):
    row = AUGMENTATIONS["heavy"]
    before = {preset: identity(preset) for preset in AUGMENTATIONS}
    assert before == {preset: identity(preset) for preset in AUGMENTATIONS}
    assert len(set(before.values())) == 3

    with monkeypatch.context() as patch:
        patch.setitem(AUGMENTATIONS, "heavy", replace(row, **{name: getattr(row, name) / 2}))

        assert identity("heavy") not in before.values()
        assert identity("light") == before["light"]


@pytest.mark.parametrize("preset", AUGMENTATIONS)
def test_gray_images_stay_gray(preset):
    gray = np.repeat(NOISY[..., :1], 3, axis=-1)

    for seed in range(10):
        got = augment(preset, gray, seed)
        np.testing.assert_allclose(got[..., 1:], got[..., :2], atol=1e-3)


@each("name", AMOUNTS)
def test_each_step_alone_changes_the_image(only, name):
    amount = getattr(AUGMENTATIONS["heavy"], name)
    images = RNG.uniform(60, 190, (1, 120, 128, 3)).astype(np.float32)

    assert amount > 0
    assert np.abs(augment(only(chance=1, **{name: amount}), images, 1) - images).mean() > 0.01
    assert np.abs(augment(only(chance=0, **{name: amount}), images, 1) - images).max() < 1e-2


@pytest.mark.parametrize("name", ["brightness", "rotation", "elastic"])
def test_a_step_is_done_as_often_as_its_chance(only, name):
    images = np.repeat(where(40, 40)[None], 600, axis=0)

    got = augment(only(chance=0.3, **{name: getattr(AUGMENTATIONS["heavy"], name)}), images, 0)

    share = np.mean(np.abs(got - images).max(axis=(1, 2, 3)) > 1e-2)
    # Four standard deviations of a binomial share.
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 600)


def test_light_takes_a_crop_inside_the_image_of_the_stated_size_and_flips_half_of_the_time():
    height, width = 160, 200
    got = augment("light", np.repeat(where(height, width)[None], 400, axis=0), 0)

    # From pixel to pixel the result walks this far in the source.
    across = (got[:, 0, -1, 0] - got[:, 0, 0, 0]) / (width - 1)
    down = (got[:, -1, 0, 1] - got[:, 0, 0, 1]) / (height - 1)
    np.testing.assert_allclose(got[..., 2], 100, atol=1e-3)
    area, aspect = np.abs(across * down), np.abs(across / down)
    assert area.min() > 0.58 and area.max() < 1.01
    assert aspect.min() > 3 / 4 - 0.02 and aspect.max() < 4 / 3 + 0.02
    assert area.std() > 0.05 and aspect.std() > 0.05
    for signs in (across > 0, down > 0):
        assert abs(signs.mean() - 0.5) < 4 * np.sqrt(0.25 / 400)
    # Straight to the last pixel: no mirror at the edge, so nothing from outside.
    steps = np.diff(got[:, 0, :, 0], axis=1)
    assert np.all(np.sign(steps[:, 1:-1]) == np.sign(across)[:, None])


def test_rows_keep_half_of_the_image_and_have_names_of_options():
    """A smaller crop may miss the defect that the label names."""
    assert set(AUGMENTATIONS) == {"none", "light", "heavy"}
    assert all(row.smallest_crop >= 0.5 for row in AUGMENTATIONS.values())
    assert all(getattr(AUGMENTATIONS["heavy"], name) > 0 for name in AMOUNTS)


@pytest.mark.parametrize(
    "images",
    [NOISY - 1, NOISY + 2, NOISY * np.nan, np.zeros((1, 0, 0, 3), np.float32)],
    ids=["below 0", "above 255", "nan", "no pixels"],
)
def test_other_than_pixels_are_refused(images):
    with pytest.raises(ValueError, match=r"must lie in 0\.\.255"):
        augment("light", images, 0)


def test_unknown_preset_is_refused():
    with pytest.raises(SteelbenchError, match="unknown augmentation 'hevy'; did you mean 'heavy'"):
        augment("hevy", NOISY, 0)
    with pytest.raises(SteelbenchError, match="unknown augmentation"):
        view("strong", NOISY[0], 0, "key")
