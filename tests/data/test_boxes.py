"""Boxes: where a crop lies, what is left out and counted, one decoding for all crops of an image, and their groups."""

import csv
import hashlib
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from annotated_sets import make_voc, usual_boxes, write_picture, write_voc, write_yolo
from each import each
from PIL import Image

from steelbench.cli.exit import main
from steelbench.data import images as image_module
from steelbench.data.annotations import MAX_BOXES, AnnotationError, Box, make_box, refuse_many_boxes
from steelbench.data.boxes import place_crop
from steelbench.data.crops import Crop, crop_address, source_path, split_address
from steelbench.data.groups import Pair, crop_links, group_files, image_keys, pair_links
from steelbench.data.image_sizes import image_size
from steelbench.data.images import ImageFiles, UnreadableImageError, open_image, read_image
from steelbench.data.inspection import inspect_dataset
from steelbench.data.parallel import ordered_map
from steelbench.data.readers import read_dataset
from steelbench.data.recent_files import MOST_FILES, RecentFiles
from steelbench.data.split_plan import plan_splits
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions, RunOptions
from steelbench.features.cache import FeatureStore
from steelbench.features.extraction import extract
from steelbench.features.spec import ImageRef
from steelbench.runs.unlabelled import read_unlabelled, tie


def read(data, **options):
    return read_dataset(DataOptions(data=str(data), **options))


def place(box, size=(100, 80), **options):
    return place_crop(Box("a", *box), size, DataOptions(data="x", **{"margin": 0.0, "min_box": 1, **options}))


def test_a_crop_is_the_box_with_its_margin_inside_the_image():
    assert place((10, 20, 30, 40)) == (10, 20, 30, 40)
    assert place((10, 20, 30, 40), margin=0.1) == (7, 16, 36, 48)
    assert place((10.4, 20.6, 30, 40)) == (10, 20, 31, 41), "every pixel that the box touches"
    assert place((0, 0, 100, 80), margin=0.5) == (0, 0, 100, 80)
    assert place((90, 70, 30, 40)) == (90, 70, 10, 10), "what lies outside of the image does not count"
    assert place((120, 20, 30, 40)) is None and place((-50, 20, 30, 40)) is None
    assert place((10, 20, 0, 40)) is None


def test_small_boxes_are_measured_inside_the_image_and_before_the_margin():
    assert place((10, 20, 16, 40), min_box=16) is not None
    assert place((10, 20, 15.9, 40), min_box=16, margin=2.0) is None
    assert place((90, 20, 30, 40), min_box=16) is None


@each(
    "box, expected",
    [
        ((10, 20, 30, 40), (5, 20, 40, 40)),
        ((0, 20, 30, 40), (0, 20, 40, 40)),
        ((80, 20, 20, 40), (60, 20, 40, 40)),
        ((10, 0, 90, 20), (10, 0, 90, 80)),
    ],
)
def test_squares_are_moved_into_the_image_and_end_at_its_sides(box, expected):
    assert place(box, square=True) == expected


def test_crops_lie_inside_and_hold_their_box_whatever_it_is():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        width, height = (int(n) for n in rng.integers(1, 300, 2))
        x, y = rng.uniform(-50, 300, 2)
        box = (float(x), float(y), *(float(n) for n in rng.uniform(0, 300, 2)))
        options = {"margin": float(rng.uniform(0, 2)), "square": bool(rng.integers(2)), "min_box": 3}

        crop = place(box, (width, height), **options)

        inside = min(box[0] + box[2], width) - max(box[0], 0), min(box[1] + box[3], height) - max(box[1], 0)
        assert (crop is None) == (min(inside) < 3)
        if crop:
            assert 0 <= crop.x < crop.x + crop.width <= width and 0 <= crop.y < crop.y + crop.height <= height
            assert crop.x <= max(box[0], 0) + 0.01 and crop.x + crop.width >= min(box[0] + box[2], width) - 0.01
            assert crop.y <= max(box[1], 0) + 0.01 and crop.y + crop.height >= min(box[1] + box[3], height) - 0.01
            if options["square"]:
                assert crop.width == crop.height or crop.width == width or crop.height == height


@each(
    "numbers, told",
    [
        ((float("nan"), 0, 1, 1), "x nan"),
        ((0, float("inf"), 1, 1), "y inf"),
        ((0, 0, -1, 1), "width -1"),
        ((0, 0, 1, -0.5), "height -0.5"),
        ((0, 0, 1e7, 1), "width 1e"),
        ((-1e7, 0, 1, 1), "x -1e"),
    ],
)
def test_numbers_that_cannot_be_a_box_are_named(numbers, told):
    with pytest.raises(AnnotationError, match=told):
        make_box("a", *numbers)


@each("label, told", [(" ", "no class"), ("x" * 201, "201 characters"), ("a\rb", "carriage"), ("\ud800", "UTF-8")])
def test_names_that_cannot_be_a_class_are_named(label, told):
    with pytest.raises(AnnotationError, match=told):
        make_box(label, 0, 0, 1, 1)


def test_a_class_has_one_name_however_it_is_written():
    assert (
        make_box(" Flache\u0308 ".replace("he", "he"), 0, 0, 1, 1).label
        == make_box("Flach\u0065\u0308", 0, 0, 1, 1).label
    )
    with pytest.raises(AnnotationError, match="1001 boxes"):
        refuse_many_boxes(MAX_BOXES + 1)


# Addresses and pixels.


@each("address", ["a.png", "a#1.png", "a.png#1,2,3", "a.png#1,2,0,4", "a.png#-1,2,3,4", "a.png#1,2,3,4 ", "#1,2,3,4"])
def test_other_texts_are_paths_of_whole_images(address):
    assert split_address(address) == (address, None)


def test_an_address_is_the_path_and_the_rectangle():
    assert split_address("a b/c#d.png#1,2,3,4") == ("a b/c#d.png", Crop(1, 2, 3, 4))
    assert crop_address("ä.png", Crop(1, 0, 3, 4)) == "ä.png#1,0,3,4"
    assert source_path("x/ä.png#1,0,3,4") == source_path("x/ä.png") == "x/ä.png"


def test_pixels_of_a_crop_are_those_of_the_image(tmp_path):
    path = write_picture(tmp_path / "a.png")

    crop = read_image(Path(f"{path}#5,6,7,8"))

    np.testing.assert_array_equal(crop, read_image(path)[6:14, 5:12])
    assert crop.base is None, "the whole image is not kept"
    np.testing.assert_array_equal(read_image(Path(f"{path}#0,0,64,48")), read_image(path))


def test_a_file_of_that_very_name_wins(tmp_path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png", (9, 9)).rename(tmp_path / "a.png#0,0,4,4")

    assert read_image(tmp_path / "a.png#0,0,4,4").shape == (9, 9, 3)
    assert read_image(tmp_path / "a.png#0,0,4,5").shape == (5, 4, 3)


@each("crop", ["60,0,5,5", "0,44,5,5", "64,0,1,1", "999999999,0,1,1"])
def test_a_crop_that_leaves_its_image_says_its_size(crop, tmp_path):
    path = write_picture(tmp_path / "a.png")

    with pytest.raises(UnreadableImageError, match="64 pixels wide and 48 high"):
        read_image(Path(f"{path}#{crop}"))


def test_a_crop_of_what_cannot_be_read_has_the_reason_of_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")

    for name in ("a.png", "none.png", "n" * 300):
        with pytest.raises(UnreadableImageError) as whole:
            read_image(tmp_path / name)
        for _ in range(2):
            with pytest.raises(UnreadableImageError, match=f"^{whole.value}$".replace("(", r"\(").replace(")", r"\)")):
                read_image(tmp_path / f"{name}#0,0,1,1")


def test_a_changed_file_is_read_again(tmp_path):
    path = write_picture(tmp_path / "a.png")
    read_image(Path(f"{path}#0,0,4,4"))
    write_picture(tmp_path / "bb.png", (70, 60)).replace(path)

    assert read_image(Path(f"{path}#60,50,10,10")).shape == (10, 10, 3)


def test_digests_of_whole_images_are_as_ever_and_those_of_crops_their_own(tmp_path):
    path = write_picture(tmp_path / "a.png")

    crops = [open_image(Path(f"{path}#{text}")) for text in ("0,0,4,4", "0,0,4,5", "1,0,4,4")]

    assert open_image(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert crops[0].digest == hashlib.sha256(path.read_bytes() + b"#0,0,4,4").hexdigest()
    assert len({crop.digest for crop in crops}) == 3
    assert crops[0].share == pytest.approx(16 / (64 * 48))


@each("suffix", [".jpg", ".png", ".tif", ".webp"])
@each("turn", [1, 3, 5, 6, 8])
def test_sizes_are_those_after_decoding(turn, suffix, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / f"{turn}{suffix}"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(path, exif=exif)

    assert image_size(path) == read_image(path).shape[1::-1]


@each("suffix", [".png", ".bmp", ".jpg", ".tif", ".webp"])
def test_sizes_of_every_format(suffix, tmp_path):
    assert image_size(write_picture(tmp_path / f"a{suffix}", (31, 17))) == (31, 17)


def test_what_is_no_image_has_no_size(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)

    assert image_size(tmp_path / "a.png") is None and image_size(tmp_path / "none.png") is None


# One decoding for all crops of an image.


@pytest.fixture
def decoded(monkeypatch):
    """Counts every file that is decoded, by its bytes."""
    counted, lock, real = Counter(), threading.Lock(), image_module.decode

    def decode(data, bit_depth=None):
        with lock:
            counted[hashlib.sha256(data).hexdigest()] += 1
        return real(data, bit_depth)

    monkeypatch.setattr(image_module, "decode", decode)
    return counted


def test_all_crops_of_an_image_are_one_decoding_in_inspection_extraction_and_reading(tmp_path, decoded):
    """As `steelbench run` asks for them: in the order of paths, by several threads."""
    for number in range(12):
        boxes = [("crack", x, y, 16, 16) for x in (0, 20, 40) for y in (0, 20, 32)]
        write_voc(tmp_path / "images" / f"{number}.png", boxes, tmp_path / "annotations")
    _, dataset = read(tmp_path, boxes="crop")
    assert len(dataset.samples) == 108 and not decoded, "sizes are read from headers"
    root, paths = dataset.root, [sample.path for sample in dataset.samples]

    found = list(ordered_map(lambda path: open_image(root / path), paths))
    assert len(decoded) == 12 and set(decoded.values()) == {1}

    image_module._recent_files._kept.clear()
    images = [ImageRef(path=path, digest=one.digest) for path, one in zip(paths, found, strict=True)]
    encoder = SimpleNamespace(get_layer=lambda name: SimpleNamespace(height=8))
    store, seen = FeatureStore(tmp_path / "cache", "tiny", 3, {}), []

    def compute(batches):
        for batch in batches:
            seen.append(len(batch))
            yield batch.mean(axis=(1, 2))

    for expected in (108, 0):
        assert extract(images, store, root=root, encoder=encoder, compute=compute, batch=4) == expected
    assert sum(seen) == 108 and set(decoded.values()) == {2}, "the features of a crop are computed once"

    image_module._recent_files._kept.clear()
    files = ImageFiles(root, paths, None)
    assert sum(1 for _ in files.raw(range(0, 108, 2))) == 54
    assert set(decoded.values()) == {3}


def test_threads_that_want_one_file_wait_for_the_one_that_reads_it():
    calls = Counter()

    def load(path, bit_depth):
        calls[path] += 1
        time.sleep(0.05)
        return str(path)

    recent = RecentFiles(load, len)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: recent(Path(f"{number % 2}"), None), range(40)))

    assert set(calls.values()) == {1} and found == [f"{number % 2}" for number in range(40)]


def test_few_files_are_kept_and_never_more_bytes_than_allowed():
    calls = Counter()

    def load(path, bit_depth):
        calls[path] += 1
        return 200 * 2**20

    recent = RecentFiles(lambda path, depth: calls.update([path]) or 1, lambda size: size)
    for number in [*range(MOST_FILES), *range(MOST_FILES), MOST_FILES, 0]:
        recent(Path(f"{number}"), None)
    assert calls[Path("0")] == 2 and calls[Path("1")] == 1

    large = RecentFiles(load, lambda size: size)
    for name in ("a", "a", "b", "b", "a"):
        large(Path(name), None)
    assert calls[Path("a")] == 2 and calls[Path("b")] == 1


# What boxes make of a data set.


@pytest.fixture
def marked(tmp_path):
    """Class folders with one folder of Pascal VOC files, as GC10-DET comes: each kind of trouble once."""
    xml = tmp_path / "lable"
    for number in range(8):
        label = ("crack", "hole")[number % 2]
        write_voc(tmp_path / label / f"{number}.png", [(label, 2, 2, 20, 20), (label, 30, 10, 24, 30)], xml)
    write_voc(tmp_path / "crack" / "two.png", [("crack", 0, 0, 20, 20), ("hole", 30, 10, 24, 30)], xml)
    write_voc(tmp_path / "crack" / "none.png", [], xml)
    write_voc(tmp_path / "crack" / "small.png", [("crack", 0, 0, 15, 40), ("crack", 0, 0, 30, 40)], xml)
    write_voc(tmp_path / "hole" / "same.png", [("hole", 0, 0, 30, 30), ("hole", 0, 0, 30, 30)], xml)
    write_voc(tmp_path / "hole" / "torn.png", [("hole", 0, 0, 30, 30), ("crack", 0, 0, 30, 30)], xml)
    write_picture(tmp_path / "hole" / "bare.png")
    write_voc(tmp_path / "lost.png", [("hole", 0, 0, 30, 30)], xml)
    (tmp_path / "lost.png").unlink()
    return tmp_path


def test_every_box_is_a_sample_and_what_is_left_out_is_counted(marked):
    _, dataset = read(marked, boxes="crop", margin=0.1)

    assert Counter(sample.label for sample in dataset.samples) == {"crack": 10, "hole": 10}
    assert dataset.left_out == {
        "without an annotation": 1,
        "annotations without an image": 1,
        "without a box to crop": 1,
        "boxes that are narrower or lower than --min-box 16": 1,
        "boxes that are given twice": 1,
        "boxes of several classes in one place": 2,
    }
    paths = [sample.path for sample in dataset.samples]
    assert "crack/0.png#0,0,24,24" in paths and "crack/0.png#27,7,30,36" in paths and paths == sorted(set(paths))
    assert [told.code for told in dataset.notices] == ["SB121"] and "20 crops of 11 images" in dataset.notices[0].text


def test_images_are_labelled_by_their_boxes_where_those_name_one_class(marked):
    _, dataset = read(marked, boxes="image")

    assert Counter(sample.label for sample in dataset.samples) == {"crack": 5, "hole": 5}
    assert dataset.left_out["with boxes of several classes"] == 2
    assert dataset.left_out["without a box (--include-none uses them as class none)"] == 1
    _, more = read(marked, boxes="image", include_none=True)
    assert {sample.path: sample.label for sample in more.samples}["crack/none.png"] == "none"
    assert "without a box (--include-none uses them as class none)" not in more.left_out
    assert not any(sample.path == "hole/bare.png" for sample in more.samples), (
        "no annotation says that nothing is there"
    )


BEYOND = [(64, 0, 9, 9), (0, 48, 9, 9), (-9, 0, 9, 9), (0, -20, 9, 9), (500, 500, 20, 20)]


def voc_beyond(root):
    for number, box in enumerate(BEYOND):
        write_voc(root / "JPEGImages" / f"{number}.png", [("spot", *box)], root / "Annotations")
    write_voc(root / "JPEGImages" / "9.png", [("crack", 0, 0, 20, 20), ("spot", 70, 0, 9, 9)], root / "Annotations")
    write_voc(root / "JPEGImages" / "8.png", [("hole", 50, 40, 40, 40)], root / "Annotations")
    for number, label in enumerate(["crack", "hole"] * 3, start=10):
        write_voc(root / "JPEGImages" / f"{number}.png", [(label, 0, 0, 20, 20)], root / "Annotations")


def yolo_beyond(root):
    """A share of 1.01 is as far outside as the layout lets a box lie."""
    out = "2 1.006 0.5 0.01 0.5\n"
    for number in range(5):
        write_yolo(root / "images" / f"{number}.png", root / "labels" / f"{number}.txt", [])
        (root / "labels" / f"{number}.txt").write_text(out)
    write_yolo(root / "images" / "9.png", root / "labels" / "9.txt", [("crack", 0, 0, 20, 20)])
    (root / "labels" / "9.txt").write_text((root / "labels" / "9.txt").read_text() + out)
    write_yolo(root / "images" / "8.png", root / "labels" / "8.txt", [("hole", 44, 18, 20, 30)])
    for number, label in enumerate(["crack", "hole"] * 3, start=10):
        write_yolo(root / "images" / f"{number}.png", root / "labels" / f"{number}.txt", [(label, 0, 0, 20, 20)])
    (root / "classes.txt").write_text("crack\nhole\nspot\n")


@pytest.mark.parametrize("write", [voc_beyond, yolo_beyond])
def test_boxes_outside_of_the_image_are_counted_and_label_nothing(write, tmp_path, capsys):
    write(tmp_path)

    for options in ({}, {"boxes": "image"}, {"boxes": "image", "include_none": True}):
        whole = read(tmp_path, **options)[1]
        labels = {sample.path.rpartition("/")[2]: sample.label for sample in whole.samples}
        assert len(labels) == 8 and (labels["9.png"], labels["8.png"]) == ("crack", "hole")
        assert whole.left_out == {"boxes outside of the image": 6, "with boxes outside of the image alone": 5}
    crops = read(tmp_path, boxes="crop", min_box=8)[1]
    assert Counter(sample.label for sample in crops.samples) == {"crack": 4, "hole": 4}
    assert crops.left_out == {"boxes outside of the image": 6}
    assert main(["data", "check", str(tmp_path)]) == 0
    assert "6 boxes outside of the image" in capsys.readouterr().out


def test_a_box_without_a_width_on_the_side_of_its_image_is_in_it(tmp_path):
    for number, box in enumerate([(0, 5, 0, 9), (64, 5, 0, 9), (5, 0, 9, 0), (5, 48, 9, 0)]):
        write_voc(tmp_path / f"{number}.png", [("spot", *box)])

    assert len(read(tmp_path, boxes="image")[1].samples) == 4


def test_without_boxes_asked_for_the_layout_is_read_as_ever(marked):
    for path in marked.glob("lable/*.xml"):
        path.unlink()
    (marked / "lable").rmdir()

    assert {sample.path.count("#") for sample in read(marked)[1].samples} == {0}
    with pytest.raises(SteelbenchError, match=r"--boxes crop, but no boxes were found below .*Pascal VOC"):
        read(marked, boxes="crop")


def test_the_nearest_annotation_of_a_name_is_taken(tmp_path):
    for part, label in (("train", "crack"), ("validation", "hole")):
        for kind in "ab":
            for number in range(3):
                image = tmp_path / part / kind / f"{number}{kind}.png"
                write_voc(image, [(label, 0, 0, 20, 20)], tmp_path / part / "annotations")

    _, dataset = read(tmp_path, boxes="image")

    assert {(sample.split, sample.label) for sample in dataset.samples} == {("train", "crack"), ("validation", "hole")}


def test_one_part_with_boxes_is_no_split(tmp_path):
    """NEU-DET's 30 validation images have no annotations in some copies; cross-validation must stay possible."""
    for part in ("train", "validation"):
        for number in range(6):
            image = tmp_path / part / "images" / "ab"[number % 2] / f"{part}{number}.png"
            write_voc(image, [("ab"[number % 2], 0, 0, 20, 20)], tmp_path / part / "annotations")
    assert {sample.split for sample in read(tmp_path, boxes="crop")[1].samples} == {"train", "validation"}
    for path in tmp_path.glob("validation/annotations/*.xml"):
        path.unlink()

    for boxes in ("crop", "image"):
        _, dataset = read(tmp_path, boxes=boxes)
        assert {sample.split for sample in dataset.samples} == {""} and len(dataset.samples) == 6
        assert dataset.left_out == {"without an annotation": 6}


def test_two_annotations_that_are_equally_near_are_left_out(tmp_path):
    for name in ("xml", "labels"):
        for number in range(2):
            write_voc(tmp_path / "a" / f"{number}.png", [("a", 0, 0, 20, 20)], tmp_path / name)
    write_voc(tmp_path / "b" / "9.png", [("b", 0, 0, 20, 20)], tmp_path / "xml")

    left_out = read(tmp_path, boxes="image")[1].left_out

    assert left_out["with several annotations of one name (the first are labels/0.xml and xml/0.xml)"] == 1
    assert left_out["with several annotations of one name (the first are labels/1.xml and xml/1.xml)"] == 1


def test_the_size_in_the_annotation_may_lie(tmp_path):
    make_voc(tmp_path)
    for path in tmp_path.glob("Annotations/*.xml"):
        path.write_text(path.read_text("utf-8").replace("<width>64<", "<width>6400<"), "utf-8")

    _, dataset = read(tmp_path, boxes="crop", margin=2.0)

    for sample in dataset.samples:
        crop = split_address(sample.path)[1]
        assert crop.x + crop.width <= 64 and crop.y + crop.height <= 48


def test_an_image_that_cannot_be_read_is_in_the_list_of_skipped_ones(tmp_path):
    make_voc(tmp_path, count=42)
    (tmp_path / "JPEGImages" / "7.png").write_bytes(b"text")

    found = inspect_dataset(read(tmp_path, boxes="crop")[1])

    assert [source_path(skipped.path) for skipped in found.skipped] == ["JPEGImages/7.png"] * 2
    assert len(found.images) == 82


def test_2000_files_are_read_in_seconds(tmp_path):
    data = cv2.imencode(".jpg", np.zeros((200, 200), np.uint8))[1].tobytes()
    write_voc(tmp_path / "IMAGES" / "0.jpg", usual_boxes(0), tmp_path / "ANNOTATIONS")
    text = (tmp_path / "ANNOTATIONS" / "0.xml").read_text("utf-8")
    for number in range(2000):
        (tmp_path / "IMAGES" / f"{number}.jpg").write_bytes(data)
        (tmp_path / "ANNOTATIONS" / f"{number}.xml").write_text(text, "utf-8")

    start = time.process_time()
    _, dataset = read(tmp_path, boxes="crop")

    assert len(dataset.samples) == 4000
    # 1.1 s on an idle core; a bound of 2 s would fail on a busy machine.
    assert time.process_time() - start < 6


# Groups.


def test_crops_of_one_image_are_one_group_and_pairs_of_images_tie_all_of_their_crops():
    files = ["a.png#0,0,4,4", "a.png#4,0,4,4", "b.png#0,0,4,4", "c.png#0,0,4,4", "c.png#9,0,4,4"]
    pair = Pair("a.png", "c.png", "overlap", 0.2, 3, 4, True)

    assert list(group_files(files, [pair]).values()) == [0, 0, 1, 0, 0]
    assert sorted(map(tuple, pair_links(files, [pair]).tolist())) == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert sorted(map(tuple, crop_links(files).tolist())) == [(0, 1), (3, 4)]
    many = [f"{name}.png#{x},0,4,4" for name in "ac" for x in range(100)]
    assert len(pair_links(many, [pair])) == 199 and len(crop_links(many)) == 198


def test_no_two_crops_of_an_image_stand_on_two_sides(tmp_path):
    make_voc(tmp_path, count=45)
    found = inspect_dataset(read(tmp_path, boxes="crop")[1])
    sources = np.array([source_path(image.sample.path) for image in found.images])

    for folds in (1, 3):
        plan = plan_splits(RunOptions(data="x", folds=folds, seeds=3), found)

        assert plan.groups == 45 and plan.leaking == 0
        for split in plan.splits.values():
            parts = [set(sources[rows]) for rows in (split.train, split.validation, split.test)]
            assert sum(map(len, parts)) == len(set.union(*parts)) == 45
    naive = plan_splits(RunOptions(data="x"), found)
    assert naive.naive_leaking > 0.5
    assert all(any(key.startswith("image ") for key in keys) for keys in image_keys(found.images))


def test_command_audits_crops_as_samples_and_their_images_for_shared_pixels(tmp_path, capsys):
    """Two images hold the same picture, in one of them a place has another class; doubtful images are crops."""
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for number in range(12):
        write_voc(data / "images" / f"{number:02}.png", usual_boxes(number), data / "annotations", (128, 96))
        pixels = rng.integers(0, 256, (96, 128), "u1")
        pixels = cv2.GaussianBlur(pixels, (0, 0), 1.2)
        if number == 3:
            pixels[5:50, 5:50] = 0
        cv2.imwrite(str(data / "images" / f"{number:02}.png"), pixels)
    whole = (data / "images" / "04.png").read_bytes()
    (data / "images" / "copy.png").write_bytes(whole)
    write_xml = [("crack", 2 + 4, 4, 20, 18), ("hole", 30, 14, 24, 30)]
    write_voc(data / "images" / "x.png", write_xml, data / "annotations", (128, 96))
    (data / "annotations" / "x.xml").rename(data / "annotations" / "copy.xml")
    (data / "images" / "x.png").unlink()
    (data / "annotations" / "03.xml").unlink()
    write_voc(data / "images" / "y.png", [("crack", 5, 5, 40, 40), ("crack", 60, 40, 40, 40)], data / "annotations")
    (data / "annotations" / "y.xml").rename(data / "annotations" / "03.xml")
    (data / "images" / "y.png").unlink()

    for _ in range(2):
        command = ["audit", "--data", str(data), "--boxes", "crop", "--margin", "0", "--out", str(tmp_path / "out")]
        assert main(command) == 0

    with (tmp_path / "out" / "pairs.csv").open(newline="") as file:
        pairs = {(row["file_a"], row["file_b"]): row for row in csv.DictReader(file)}
    assert pairs["images/04.png", "images/copy.png"]["kind"] == "exact"
    assert pairs["images/04.png", "images/copy.png"]["same_label"] == "true"
    conflict = pairs["images/04.png#6,4,20,18", "images/copy.png#6,4,20,18"]
    assert (conflict["kind"], conflict["same_label"]) == ("exact", "false")
    assert len(pairs) == 2
    with (tmp_path / "out" / "groups.csv").open(newline="") as file:
        groups = {row["file"]: row["group"] for row in csv.DictReader(file)}
    assert len(groups) == 26 and all("#" in file for file in groups)
    tied = {group for file, group in groups.items() if source_path(file) in ("images/04.png", "images/copy.png")}
    assert len(tied) == 1 and len(set(groups.values())) == 12
    page = (tmp_path / "out" / "audit.html").read_text("utf-8")
    assert "images/03.png#5,5,40,40" in page and page.count("<img") >= 5
    assert "crops" in capsys.readouterr().out


def test_a_table_may_name_crops_as_predictions_do(tmp_path):
    for number in range(6):
        write_picture(tmp_path / f"{number}.png")
    rows = [f'"{number}.png#{x},0,20,20",{"ab"[number % 2]}' for number in range(6) for x in (0, 30)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]))

    found = inspect_dataset(read(tmp_path / "labels.csv")[1])

    assert len(found.images) == 12 and {image.width for image in found.images} == {20}
    assert plan_splits(RunOptions(data="x"), found).groups == 6


def test_images_without_labels_are_tied_to_the_images_of_crops(tmp_path):
    data, rng = tmp_path / "data", np.random.default_rng(0)
    for number in range(9):
        write_voc(data / "images" / f"{number}.png", usual_boxes(number), data / "annotations", (128, 96))
        pixels = cv2.GaussianBlur(rng.integers(0, 256, (96, 128), "u1"), (0, 0), 1.2)
        cv2.imwrite(str(data / "images" / f"{number}.png"), pixels)
    other = tmp_path / "other"
    other.mkdir()
    (other / "copy.png").write_bytes((data / "images" / "2.png").read_bytes())
    cv2.imwrite(str(other / "new.png"), cv2.GaussianBlur(rng.integers(0, 256, (96, 128), "u1"), (0, 0), 1.2))
    found = inspect_dataset(read(data, boxes="crop")[1])
    groups = plan_splits(RunOptions(data="x"), found).group_of

    tied = tie(read_unlabelled(other, set()), found, groups, data, None, 0.9, lambda *step: None)

    sources = [source_path(image.sample.path) for image in found.images]
    own = {
        source: {group for name, group in zip(sources, tied.ties, strict=True) if name == source} for source in sources
    }
    copy, new = tied.images
    assert {copy.group} == own["images/2.png"] and new.group not in tied.ties and len(set(tied.ties)) == 9
