"""COCO as Roboflow and others export it, and files that are damaged, ambiguous or mean harm."""

import json
from collections import Counter

import pytest
from annotated_sets import CLASSES, coco_text, make_coco, usual_boxes, write_picture
from each import each

from steelbench.cli.exit import main
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions

SIZE = (64, 48)


def read(data, **options):
    return read_dataset(DataOptions(data=str(data), **options))


def refusal(data, **options):
    with pytest.raises(SteelbenchError) as caught:
        read(data, **options)
    return str(caught.value)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def one_file(root):
    """`annotations/instances_default.json` beside `images/`, as CVAT writes it."""
    names = [f"{number}.png" for number in range(9)]
    for name in names:
        write_picture(root / "images" / name)
    boxes = {name: usual_boxes(number) for number, name in enumerate(names)}
    write_json(root / "annotations" / "instances_default.json", coco_text(dict.fromkeys(names, SIZE), boxes))


def years(root):
    """`train2017/`, `val2017/` and `annotations/instances_*.json`; the same names in both folders."""
    for part in ("train2017", "val2017"):
        names = [f"{number}.png" for number in range(9)]
        for name in names:
            write_picture(root / part / name)
        boxes = {name: usual_boxes(number) for number, name in enumerate(names)}
        content = coco_text(dict.fromkeys(names, SIZE), boxes)
        write_json(root / "annotations" / f"instances_{part}.json", content)
        write_json(root / "annotations" / f"person_keypoints_{part}.json", content)


@pytest.mark.parametrize("write", [lambda root: make_coco(root, 3), one_file, years])
def test_every_place_of_the_files_is_recognised(write, tmp_path):
    write(tmp_path)

    name, whole = read(tmp_path)
    crops = read(tmp_path, boxes="crop", margin=0)[1]

    assert name == "coco" and not whole.left_out and not crops.left_out
    each_class = 6 if write is years else 3
    assert Counter(sample.label for sample in whole.samples) == dict.fromkeys(CLASSES, each_class)
    assert len(crops.samples) == 6 * each_class
    parts = {one_file: {""}, years: {"train", "validation"}}.get(write, {"train", "validation", "test"})
    assert {sample.split for sample in crops.samples} == parts
    assert any(sample.path.endswith("#2,4,20,18") for sample in crops.samples)
    assert [told.code for told in whole.notices] == ["SB120"]


def test_what_is_listed_and_what_is_there_are_counted(tmp_path):
    one_file(tmp_path)
    write_picture(tmp_path / "images" / "new.png")
    (tmp_path / "images" / "0.png").unlink()
    for folder in ("a", "b"):
        write_picture(tmp_path / "images" / folder / "1.png")
    content = json.loads((tmp_path / "annotations" / "instances_default.json").read_text())
    content["images"][1]["file_name"] = "elsewhere/1.png"
    content["images"] += [{"id": 99, "file_name": "..\\..\\etc\\passwd"}, {"id": 98}]
    write_json(tmp_path / "annotations" / "instances_default.json", content)

    assert read(tmp_path)[1].left_out == {
        "images without a file": 3,
        "images that several files may be": 1,
        "in no COCO file": 4,
    }


def changed(content, **annotation):
    content["annotations"][0].update(annotation)
    return content


@each(
    "change, told",
    [
        ({"bbox": [1, 2, 3]}, "bbox of 4 numbers"),
        ({"bbox": [1, 2, 3, "x"]}, "4 numbers"),
        ({"bbox": [1, 2, float("nan"), 3]}, "width nan"),
        ({"bbox": [1, 2, -3, 3]}, "width -3"),
        ({"bbox": [1, 2, 10**400, 3]}, "4 numbers"),
        ({"bbox": None}, "bbox"),
        ({"category_id": 1000}, "category 1000, which has no name"),
        ({"category_id": [1]}, "category [1]"),
    ],
)
def test_few_annotations_that_cannot_be_are_counted_and_the_first_is_named(change, told, tmp_path):
    names = [f"{number}.png" for number in range(30)]
    for name in names:
        write_picture(tmp_path / name)
    boxes = {name: usual_boxes(number) for number, name in enumerate(names)}
    write_json(tmp_path / "x.json", changed(json.loads(coco_text(dict.fromkeys(names, SIZE), boxes)), **change))

    dataset = read(tmp_path)[1]

    (reason,) = dataset.left_out
    assert told in reason and "x.json, 0.png" in reason and len(dataset.samples) == 29


def one_of(tmp_path, count=30):
    """A COCO file of `count` images with two boxes each, as read, and where to write it."""
    names = [f"{number}.png" for number in range(count)]
    for name in names:
        write_picture(tmp_path / name)
    boxes = {name: usual_boxes(number) for number, name in enumerate(names)}
    return json.loads(coco_text(dict.fromkeys(names, SIZE), boxes)), tmp_path / "x.json"


@each("kind", [str, float, int])
@each("key", ["image_id", "category_id"])
def test_identifiers_of_one_value_are_the_same_whatever_their_type(key, kind, tmp_path):
    content, path = one_of(tmp_path)
    for found in content["annotations"]:
        found[key] = kind(found[key])
    write_json(path, content)

    dataset = read(tmp_path, include_none=True)[1]

    assert Counter(sample.label for sample in dataset.samples) == dict.fromkeys(CLASSES, 10)


@each(
    "value, told",
    [
        (99999, "the first has 99999"),
        (None, "the first has None"),
        (True, "the first has True"),
        (1.5, "the first has 1.5"),
        ("\ud800" + "x" * 1000, "the first has \\ud800" + "x" * 39 + "...)"),
        ([1], "the first has [1]"),
    ],
)
def test_annotations_of_no_image_are_counted_and_refused_where_they_are_many(value, told, tmp_path, capsys):
    content, path = one_of(tmp_path)
    content["annotations"][0]["image_id"] = content["annotations"][1]["image_id"] = value
    write_json(path, content)

    assert main(["data", "check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"2 annotations of x.json whose image_id no image has ({told}" in said

    for found in content["annotations"][:10]:
        found["image_id"] = value
    write_json(path, content)
    assert main(["data", "check", str(tmp_path), "--include-none"]) == 2
    said = capsys.readouterr().err
    assert "x.json: 10 of 60 annotations have an image_id that no image has" in said and told.rstrip(")") in said


def test_an_image_without_an_identifier_is_not_joined_to_annotations_without_one(tmp_path):
    content, path = one_of(tmp_path)
    del content["images"][0]["id"]
    for found in content["annotations"][:2]:
        del found["image_id"]
    write_json(path, content)

    dataset = read(tmp_path, include_none=True)[1]

    assert len(dataset.samples) == 29 and "none" not in {sample.label for sample in dataset.samples}
    assert set(dataset.left_out.values()) == {1, 2}
    assert any("x.json, 0.png: the image has no id" in reason for reason in dataset.left_out)


@each(
    "key, entry, told",
    [
        ("images", {"id": 2, "file_name": "0.png"}, "gives the id 2 to two images, 1.png and 0.png"),
        ("images", {"id": "2", "file_name": "0.png"}, "gives the id 2 to two images"),
        ("categories", {"id": 7, "name": "OTHER"}, "gives the id 7 to two categories, crack and OTHER"),
        ("categories", {"id": 7.0, "name": None}, "gives the id 7 to two categories, crack and None"),
    ],
)
def test_identifiers_that_are_given_twice_are_refused(key, entry, told, tmp_path, capsys):
    content, path = one_of(tmp_path)
    content[key].append(entry)
    write_json(path, content)

    assert main(["data", "check", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("steelbench: x.json " + told) and "export it again" in said


def test_a_category_that_stands_there_twice_with_one_name_is_one(tmp_path):
    content, path = one_of(tmp_path)
    content["categories"] += content["categories"]
    write_json(path, content)

    assert len(read(tmp_path)[1].samples) == 30


@each(
    "where, key, value",
    [
        ("annotations", "category_id", "\ud800"),
        ("annotations", "bbox", ["\ud800", 1, 2, 3]),
        ("categories", "name", "\ud800"),
        ("images", "file_name", "\ud800/0.png"),
    ],
)
def test_half_a_letter_is_escaped(where, key, value, tmp_path):
    content, path = one_of(tmp_path)
    content["annotations"] = [found for found in content["annotations"] if found["category_id"] != 7][:2] * 10
    content["annotations"][0]["category_id"], content["annotations"][0]["image_id"] = 7, 1
    if where == "images":
        content["annotations"][0]["bbox"] = [0, 0, -1, 1]
    content[where][0][key] = value
    write_json(path, content)

    (fault,) = (reason for reason in read(tmp_path)[1].left_out if "cannot be used" in reason)

    assert "\\ud800" in fault and fault.isprintable()


@each("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@each("size", [0, 2**20])
def test_json_is_read_in_every_encoding_of_unicode(encoding, size, tmp_path):
    content, path = one_of(tmp_path)
    content["categories"][0]["name"] = "Riß"
    path.write_bytes((json.dumps(content, ensure_ascii=False) + " " * size).encode(encoding))

    assert {sample.label for sample in read(tmp_path)[1].samples} == {"Riß", *CLASSES} - {"crack"}


@each(
    "content, told",
    [
        ('{"images": [], "annotations": [], "categories": [', "cannot be read as JSON"),
        ('{"images": 3, "annotations": [], "categories": []}', "no list of images"),
        ('{"images": [], "annotations": [3], "categories": []}', "no list of annotations"),
        ('{"images": [], "annotations": [], "categories": {}}', "no list of categories"),
        ('["images", "annotations", "categories"]', "no list of images"),
        ('{"images": ' + "[" * 100_000 + ', "annotations", "categories"', "cannot be read as JSON"),
    ],
)
def test_a_damaged_file_is_named(content, told, tmp_path):
    write_picture(tmp_path / "0.png")
    write_json(tmp_path / "x.json", content)

    assert told in refusal(tmp_path) and "x.json" in refusal(tmp_path)


def test_an_image_that_two_files_name_is_refused(tmp_path):
    one_file(tmp_path)
    source = tmp_path / "annotations" / "instances_default.json"
    source.with_name("instances_more.json").write_bytes(source.read_bytes())

    assert "instances_more.json names images/0.png, which annotations/instances_default.json names" in refusal(tmp_path)


def test_other_json_files_do_not_make_this_layout(tmp_path):
    for name in "ab":
        for number in range(3):
            write_picture(tmp_path / name / f"{number}.png")
    write_json(tmp_path / "settings.json", {"images": 3})
    (tmp_path / "broken.json").write_bytes(b"\xff\xff")

    assert read(tmp_path)[0] == "class_folders"
