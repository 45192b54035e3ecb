"""Attributes that give the class away are named; harmless ones are not."""

import runpy

import cv2
import numpy as np
import pytest
from each import each

from steelbench.audit import image_statistics
from steelbench.audit.image_statistics import (
    ImageStatistics,
    doubtful_images,
    file_format,
    jpeg_quality,
    measure_images,
)
from steelbench.audit.shortcuts import brightness_by_class, find_shortcuts, grouped_folds, tree_accuracy
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset


def statistics(number, label, brightness=120, format_="PNG", size=(64, 64), sharpness=100.0):
    levels = np.zeros(256, np.int64)
    levels[[brightness - 5, brightness + 5]] = 2048
    return ImageStatistics(f"{label}/{number}", label, format_, *size, 4000, None, levels, sharpness)


def by_name(images):
    return {shortcut.attribute: shortcut for shortcut in find_shortcuts(images, range(len(images)))}


def test_a_format_of_one_class_is_named_with_its_count():
    images = [statistics(k, "roll", format_="PNG" if k < 30 else "JPEG") for k in range(40)]
    images += [statistics(k, "rust", format_="JPEG") for k in range(40)]

    found = by_name(images)["file format"]

    assert found.facts == ("PNG occurs in one class only ('roll', 30 of 40).",)
    # JPEG says rust (40 of 50), PNG says roll (30 of 30): 70 of 80.
    assert found.accuracy == pytest.approx(70 / 80)
    assert found.majority == 0.5 and found.notable


def test_brightness_that_differs_by_class_is_a_shortcut_and_equal_sizes_are_none():
    rng = np.random.default_rng(0)
    images = [statistics(k, "dark", int(rng.integers(50, 110))) for k in range(60)]
    images += [statistics(k, "bright", int(rng.integers(115, 180))) for k in range(60)]

    found = by_name(images)

    assert found["brightness"].accuracy == pytest.approx(1.0, abs=0.05)
    assert found["image size"].accuracy is None and not found["image size"].notable
    assert "JPEG quality" not in found


def test_brightness_by_chance_is_no_shortcut():
    rng = np.random.default_rng(1)
    images = [statistics(k, f"class{k % 4}", int(rng.integers(60, 180))) for k in range(200)]

    assert not by_name(images)["brightness"].notable


def test_copies_in_one_group_do_not_count_as_prediction():
    # Each value occurs twice with one random label: only who has seen the copy can know it.
    rng = np.random.default_rng(2)
    values = np.repeat(rng.permutation(40), 2)[:, None].astype(float)
    labels = np.repeat(rng.permutation(["a", "b"] * 20), 2)

    assert tree_accuracy(values, labels, grouped_folds(labels, np.repeat(np.arange(40), 2))) < 0.65


def test_homogenised_classes_are_equally_bright():
    images = [statistics(k, "dark", 60) for k in range(3)] + [statistics(k, "bright", 160) for k in range(3)]

    bright, dark = brightness_by_class(images)

    assert (dark.label, dark.mean, bright.mean) == ("dark", 60, 160)
    assert dark.mean_after == bright.mean_after == pytest.approx(110)


@each("quality", [10, 35, 50, 75, 90, 95, 100])
def test_jpeg_quality_is_what_the_file_was_written_with(quality):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()

    assert abs(jpeg_quality(data) - quality) <= 1


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xdb\x00\x05abc", b"\xff\xd8\xff\xdb\x00\x43\x00"]
)
def test_a_file_without_a_table_has_no_quality(data):
    assert jpeg_quality(data) is None


def test_a_damaged_exif_block_neither_hides_the_quality_nor_warns(recwarn):
    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
    # One tag is announced where the block ends.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0"
    damaged = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[20:]

    # Run again, because pytest forgets the filters that a module sets when it is imported.
    fresh = runpy.run_path(image_statistics.__file__)

    assert fresh["jpeg_quality"](damaged) == 75
    assert not recwarn.list


@pytest.mark.parametrize(
    ("suffix", "name"), [(".png", "PNG"), (".jpg", "JPEG"), (".bmp", "BMP"), (".tif", "TIFF"), (".webp", "WebP")]
)
def test_the_format_is_read_from_the_content(suffix, name):
    assert file_format(cv2.imencode(suffix, np.zeros((8, 8, 3), np.uint8))[1].tobytes()) == name


def test_black_white_and_blurred_images_are_listed(tmp_path):
    rng = np.random.default_rng(0)
    images = {f"{k}": rng.integers(60, 190, (48, 48)) for k in range(8)}
    images["black"] = rng.integers(0, 8, (48, 48))
    images["white"] = rng.integers(247, 256, (48, 48))
    images["blurred"] = cv2.GaussianBlur(images["0"].astype(float), (0, 0), 5)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for name, pixels in images.items():
            cv2.imwrite(str(tmp_path / label / f"{name}.png"), pixels.astype(np.uint8))
    _, dataset = read_dataset(str(tmp_path))

    found = doubtful_images(measure_images(dataset.root, inspect_dataset(dataset).images))

    assert found == {
        "almost black": ["a/black.png", "b/black.png"],
        "almost white": ["a/white.png", "b/white.png"],
        "blurred": ["a/blurred.png", "b/blurred.png"],
    }


def test_brightness_and_contrast_are_those_of_the_pixels(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30), dtype=np.uint8)
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    _, dataset = read_dataset(str(tmp_path))

    measured = measure_images(dataset.root, inspect_dataset(dataset).images)[0]

    assert measured.brightness == pytest.approx(pixels.mean())
    assert measured.contrast == pytest.approx(pixels.std())
    assert (measured.height, measured.width) == (20, 30)
