"""Planted pairs are found where they were planted, and textures that share nothing are left alone."""

import json

import cv2
import numpy as np
import pytest
from surfaces import surface

from steelbench.audit.duplicates.search import find_pairs
from steelbench.data.demo import write_demo
from steelbench.data.groups import Pair, group_files
from steelbench.data.images import read_image
from steelbench.data.inspection import Inspected, inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.data.samples import Sample


def texture(seed, height=160, width=160):
    """A surface as RGB uint8."""
    return np.repeat(surface(seed, height, width)[..., None], 3, axis=2)


def jpeg(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def search(images, labels=None, order=1):
    """The pairs of a dict of names to pixels, given to the search in this order or (-1) the other way round."""
    inspected = [
        Inspected(
            Sample(name, (labels or {}).get(name, "steel")), "", f"{pixels.shape}{pixels.tobytes()}", 0, 0, 8, 255
        )
        for name, pixels in images.items()
    ]
    return find_pairs(inspected[::order], lambda image: images[image.sample.path])


def background(count=12):
    return {f"z{k}": texture(1000 + k) for k in range(count)}


def found_with(first, second):
    """The only pair among `first`, `second` and others that share nothing."""
    pairs = search({"a": first, "b": second, **background()})
    assert [(pair.file_a, pair.file_b) for pair in pairs] == [("a", "b")]
    return pairs[0]


def test_equal_pixels_are_exact_duplicates_whatever_their_label():
    pairs = search({"b": texture(1), "a": texture(1), "c": texture(2)}, {"a": "rust"})

    assert pairs == [Pair("a", "b", "exact", 1.0, 0, 0, False)]


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: jpeg(pixels, 60),
        lambda pixels: np.clip(pixels.astype(int) + 20, 0, 255).astype(np.uint8),
        lambda pixels: np.clip(pixels * 0.7, 0, 255).astype(np.uint8),
        lambda pixels: np.clip(pixels + np.random.default_rng(0).normal(0, 3, pixels.shape), 0, 255).astype(np.uint8),
    ],
    ids=["jpeg 60", "brighter by 20", "darker by 30 %", "noise of 3 levels"],
)
def test_a_changed_copy_is_a_near_duplicate(change):
    assert found_with(texture(3), change(texture(3))) == Pair("a", "b", "near", 1.0, 0, 0, True)


@pytest.mark.parametrize(
    ("turned", "kind"),
    [
        (lambda pixels: pixels[:, ::-1], "mirrored"),
        (lambda pixels: pixels[::-1], "mirrored"),
        (lambda pixels: pixels.transpose(1, 0, 2), "mirrored"),
        (np.rot90, "rotated"),
        (lambda pixels: np.rot90(pixels, 2), "rotated"),
        (lambda pixels: np.rot90(pixels, 3), "rotated"),
    ],
    ids=["left to right", "upside down", "transposed", "90", "180", "270"],
)
def test_a_turned_copy_lies_at_the_origin(turned, kind):
    second = jpeg(np.ascontiguousarray(turned(texture(4, 130, 160))), 75)

    assert found_with(texture(4, 130, 160), second) == Pair("a", "b", kind, 1.0, 0, 0, True)


@pytest.mark.parametrize(("dy", "dx"), [(0, 40), (37, 0), (31, 43), (31, -43), (-50, 11), (0, 100), (1, 1), (61, 67)])
@pytest.mark.parametrize("quality", [None, 60])
def test_overlapping_crops_are_found_at_their_offset(dy, dx, quality):
    frame = texture(5, 340, 340)
    crops = [frame[y : y + 128, x : x + 128] for y, x in ((70, 110), (70 + dy, 110 + dx))]
    first, second = (jpeg(crop, quality) if quality else np.ascontiguousarray(crop) for crop in crops)

    pair = found_with(first, second)

    assert (pair.kind, pair.dy, pair.dx) == ("overlap", dy, dx)
    assert pair.overlap == pytest.approx((128 - abs(dy)) * (128 - abs(dx)) / 128**2, abs=1e-4)


def test_a_crop_inside_a_wide_image_shares_all_of_its_own_area():
    strip = texture(6, 256, 1600)

    assert found_with(strip, jpeg(strip[50:210, 700:900], 70)) == Pair("a", "b", "overlap", 1.0, 50, 700, True)


def test_a_turned_crop_lies_where_its_upright_picture_does():
    frame = texture(7, 240, 240)

    pair = found_with(frame[:160, :160], np.ascontiguousarray(np.rot90(frame[60:220, 30:190])))

    assert (pair.kind, pair.dy, pair.dx) == ("rotated", 60, 30)


def test_crops_that_meet_only_through_a_third_are_found_too():
    frame = texture(8, 130, 400)
    names = {f"crop{k}": frame[:, 30 * k : 30 * k + 130] for k in range(6)}

    pairs = {(pair.file_a, pair.file_b): pair for pair in search(names)}

    near = [(i, j) for i in range(6) for j in range(i + 1, 6) if j - i <= 3]
    assert set(pairs) >= {(f"crop{i}", f"crop{j}") for i, j in near}
    assert all(pair.dy == 0 and pair.dx == 30 * (int(b[-1]) - int(a[-1])) for (a, b), pair in pairs.items())


def test_textures_and_plain_images_that_share_nothing_are_no_pairs():
    rng = np.random.default_rng(0)
    images = {f"t{k}": texture(2000 + k, 128, 128) for k in range(60)}
    images |= {f"plain{k}": np.full((128, 128, 3), 4 * k, np.uint8) for k in range(20)}
    images |= {f"dark{k}": rng.integers(0, 3, (128, 128, 3)).astype(np.uint8) for k in range(10)}
    slope = np.tile(np.linspace(60, 180, 128), (128, 1))
    images |= {f"slope{k}": jpeg(np.dstack([slope + k] * 3).astype(np.uint8), 60 + k) for k in range(10)}

    assert search(images) == []


def test_the_same_scratch_on_other_grain_is_no_pair():
    images = {f"s{k}": texture(3000 + k, 128, 128) for k in range(12)}
    for image in images.values():
        image[:, 60:64] = 230

    assert search(images) == []


def test_very_many_equal_images_do_not_become_all_pairs():
    images = {f"black{k:03d}": np.zeros((40, 40, 3), np.uint8) for k in range(300)}

    pairs = search(images)

    assert len(pairs) == 299
    assert len(set(group_files(images, pairs).values())) == 1


def test_tiny_images_are_paired_only_if_equal():
    images = {"a": texture(9, 12, 12), "b": texture(9, 12, 12), "c": texture(10, 1, 30)}

    assert [pair.kind for pair in search(images)] == ["exact"]


def test_no_images_have_no_pairs():
    assert search({}) == []


def test_the_order_of_the_images_does_not_matter():
    frame = texture(11, 200, 200)
    images = {"a": frame[:150, :150], "b": frame[40:190, 40:190], **background(5)}

    assert search(images) == search(images, order=-1) != []


def found_in(folder):
    _, dataset = read_dataset(str(folder))
    images = inspect_dataset(dataset).images
    return find_pairs(images, lambda image: read_image(dataset.root / image.sample.path))


def check_against_truth(folder):
    """All planted pairs of 20 % and more, each where it was planted, and no other."""
    pairs = {(pair.file_a, pair.file_b): pair for pair in found_in(folder)}
    listed = {(p["file_a"], p["file_b"]): p for p in json.loads((folder / "truth.json").read_text())["pairs"]}
    assert {names for names, p in listed.items() if p["overlap"] >= 0.2} <= set(pairs) <= set(listed)
    for names, pair in pairs.items():
        true = listed[names]
        assert (pair.kind, pair.dy, pair.dx, pair.same_label) == tuple(
            true[key] for key in ("kind", "dy", "dx", "same_label")
        )
        assert pair.overlap == pytest.approx(true["overlap"], abs=1e-3)


def test_the_planted_pairs_of_a_small_demo_set_are_found(tmp_path):
    check_against_truth(write_demo(tmp_path / "demo", images=120, seed=11))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_planted_pairs_of_the_demo_set_are_found(tmp_path, seed):
    check_against_truth(write_demo(tmp_path / "demo", images=360, seed=seed))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "exact", "least"), [("X-SDD", 9, 80)])
def test_real_sets_hold_overlapping_crops(data_folder, name, exact, least):
    pairs = found_in(data_folder / name)

    assert sum(pair.kind == "exact" for pair in pairs) == exact
    assert len(pairs) > least
    # Crops of one frame agree where they overlap: whoever follows two offsets comes to the third.
    where = {(p.file_a, p.file_b): np.array([p.dy, p.dx]) for p in pairs if p.kind in ("overlap", "near", "exact")}
    after = {a: {q for p, q in where if p == a} for a, _ in where}
    errors = [
        np.abs(where[a, b] + where[b, c] - where[a, c]).max()
        for a, b in where
        for c in after.get(b, ())
        if (a, c) in where
    ]
    assert sum(error <= 2 for error in errors) >= 0.99 * len(errors)
