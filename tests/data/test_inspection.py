"""Inspection of a data set: what is recorded of each image, what is refused, and what changes the digest."""

import dataclasses
import hashlib
import zlib

import cv2
import numpy as np
import pytest

from steelbench.data.inspection import Inspected, inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.data.samples import Dataset, Sample
from steelbench.errors import SteelbenchError


def inspected(root, **options):
    return inspect_dataset(read_dataset(str(root))[1], **options)


def refusal(root):
    with pytest.raises(SteelbenchError) as caught:
        inspected(root)
    return str(caught.value)


@pytest.fixture
def small(tiny_images):
    return tiny_images(images=10, classes=2)


def write_deep(root, top, bits16=True):
    """Two classes of three images with values up to `top`; the classes differ in 8 bits, too."""
    for name in "ab":
        (root / name).mkdir(parents=True)
        for k in range(3):
            values = np.full(
                (4, 4), top - k - (600 if bits16 else 10) * (name == "b"), np.uint16 if bits16 else np.uint8
            )
            values[0, 0] = top
            (root / name / f"{k}.png").write_bytes(cv2.imencode(".png", values)[1].tobytes())
    return root


def test_every_image_is_recorded_as_its_file_is(small):
    found = inspected(small)

    assert found.classes == ("columns", "rows") and found.counts == {"columns": 10, "rows": 10}
    assert [image.sample.path for image in found.images] == sorted(
        path.relative_to(small).as_posix() for path in small.rglob("*.png")
    )
    for image in found.images:
        path = small / image.sample.path
        pixels = cv2.imread(str(path))
        assert (image.height, image.width, image.bits) == (*pixels.shape[:2], 8)
        assert image.largest == pixels.max()
        assert image.bytes_digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.skipped == () and found.notices == ()


def test_equal_pixels_in_other_bytes_have_one_pixel_digest(small):
    path = small / "rows" / "000.png"
    (small / "rows" / "copy.bmp").write_bytes(cv2.imencode(".bmp", cv2.imread(str(path)))[1].tobytes())

    images = {image.sample.path: image for image in inspected(small).images}

    one, other = images["rows/000.png"], images["rows/copy.bmp"]
    assert one.pixels_digest == other.pixels_digest and one.bytes_digest != other.bytes_digest
    assert len({image.pixels_digest for image in images.values()}) == len(images) - 1


def test_a_row_of_pixels_is_not_its_column(tmp_path):
    for name, shape in (("a", (1, 6)), ("b", (6, 1))):
        (tmp_path / name).mkdir()
        for k in range(3):
            (tmp_path / name / f"{k}.png").write_bytes(cv2.imencode(".png", np.full(shape, k, np.uint8))[1].tobytes())

    assert len({image.pixels_digest for image in inspected(tmp_path).images}) == 6


def test_five_percent_may_be_unreadable_and_are_listed(small):
    (small / "rows" / "003.png").write_bytes(b"")

    found = inspected(small)

    assert found.skipped == (("rows/003.png", "the file is empty"),)
    assert found.counts["rows"] == 9


def test_more_than_five_percent_unreadable_is_refused(small):
    (small / "rows" / "003.png").write_bytes(b"")
    (small / "columns" / "001.png").write_text("no image")

    message = refusal(small)

    assert "2 of 20 images (10%)" in message and "columns/001.png: damaged" in message


def keep(root, name, images):
    """Only the first images of a class."""
    for path in sorted((root / name).iterdir())[images:]:
        path.unlink()


@pytest.mark.parametrize("images", [1, 2])
def test_a_class_of_less_than_three_images_is_refused(small, images):
    keep(small, "rows", images)

    assert f"class 'rows' has {images} readable image{'s' * (images > 1)};" in refusal(small)


def test_three_images_of_a_class_are_enough(small):
    keep(small, "rows", 3)

    assert inspected(small).counts == {"columns": 10, "rows": 3}


def test_a_class_of_three_of_which_one_is_unreadable_is_refused(tiny_images):
    root = tiny_images(images=30, classes=2)
    keep(root, "rows", 3)
    (root / "rows" / "001.png").write_bytes(b"x")

    assert "class 'rows' has 2 readable images" in refusal(root)


def test_one_class_is_refused(tiny_images):
    assert "one class only ('rows')" in refusal(tiny_images(classes=1))


def test_a_notice_names_the_bit_depth_of_images_that_look_like_12_bits(tmp_path):
    root = write_deep(tmp_path, 4095)

    assert "--bit-depth 12" in inspected(root).notices[0].text
    assert inspected(root, bit_depth=12).notices == ()
    assert inspected(root, bit_depth=12).digest != inspected(root).digest


@pytest.mark.parametrize(("top", "bits16"), [(4096, True), (65535, True), (255, False)])
def test_other_depths_have_no_notice(tmp_path, top, bits16):
    assert inspected(write_deep(tmp_path, top, bits16)).notices == ()


def test_a_depth_that_is_too_small_names_the_value(tmp_path):
    with pytest.raises(SteelbenchError, match="holds the value 4095, more than --bit-depth 10"):
        inspected(write_deep(tmp_path, 4095), bit_depth=10)


def test_the_digest_is_the_same_wherever_the_folder_lies(tiny_images):
    one, other = (inspected(tiny_images(images=4, seed=5)) for _ in range(2))

    assert one.digest == other.digest
    assert [dataclasses.replace(a) for a in one.images] == list(other.images)


def test_the_digest_does_not_depend_on_the_machine_or_the_release(tmp_path):
    """Against a value computed by hand from what it is said to cover; a results folder is refused if it changes."""
    dataset, expected = Dataset(tmp_path, ()), hashlib.sha256()
    samples = [Sample(f"{k}.png", "ab"[k % 2], "train", "g") for k in range(6)]
    for k, sample in enumerate(samples):
        data = cv2.imencode(".png", np.full((2, 2), k, np.uint8))[1].tobytes()
        (tmp_path / sample.path).write_bytes(data)
        expected.update(f"{sample.path}\0{sample.label}\0train\0g\0{hashlib.sha256(data).hexdigest()}\n".encode())
    expected.update(b"None")

    assert inspect_dataset(dataclasses.replace(dataset, samples=tuple(samples))).digest == expected.hexdigest()


@pytest.mark.parametrize("change", ["label", "split", "group", "path", "bytes", "one image less"])
def test_the_digest_notices(small, change):
    dataset = read_dataset(str(small))[1]
    before = inspect_dataset(dataset).digest
    first, *others = dataset.samples
    if change == "bytes":
        path = small / first.path
        # The same pixels: a text chunk before the end.
        chunk = b"tEXta\0b"
        data = path.read_bytes()
        path.write_bytes(data[:-12] + b"\0\0\0\3" + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[-12:])
    elif change == "path":
        (small / first.path).rename(small / "columns" / "0.png")
        dataset = read_dataset(str(small))[1]
    elif change == "one image less":
        dataset = dataclasses.replace(dataset, samples=tuple(others))
    else:
        changed = dataclasses.replace(first, **{change: {"label": "rows", "split": "test", "group": "g"}[change]})
        dataset = dataclasses.replace(dataset, samples=(changed, *others))

    assert inspect_dataset(dataset).digest != before


def test_progress_counts_every_image_once(small):
    seen = []

    inspected(small, progress=seen.append)

    assert seen == list(range(1, 21))


def test_an_inspected_image_is_plain(small):
    assert {field.name for field in dataclasses.fields(Inspected)} >= {"sample", "bytes_digest", "pixels_digest"}
    assert all(isinstance(value, (int, str, Sample)) for value in vars(inspected(small).images[0]).values())


def test_labels_are_places_in_the_sorted_classes(small):
    found = inspected(small)

    assert found.labels.dtype == np.int64
    assert [found.classes[label] for label in found.labels] == [image.sample.label for image in found.images]
