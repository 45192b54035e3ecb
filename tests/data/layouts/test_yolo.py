"""YOLO as its tools export it: every place of the text files, every way to write the names, files that mean harm."""

import os
import time
from collections import Counter

import pytest
from annotated_sets import CLASSES, make_yolo, usual_boxes, write_picture, write_yolo, yolo_line
from each import each

from steelbench.cli.exit import main
from steelbench.data.crops import split_address
from steelbench.data.layouts.yolo_names import read_names
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def read(data, **options):
    return read_dataset(DataOptions(data=str(data), **options))


def parts_inside(root):
    """`images/train` and `labels/train`, as the trainer's own examples have them."""
    for number in range(9):
        part = ("train", "val", "test")[number // 3]
        image, text = root / "images" / part / f"{number}.png", root / "labels" / part / f"{number}.txt"
        write_yolo(image, text, usual_boxes(number))
    (root / "set.yaml").write_text("names:\n  0: crack\n  1: hole\n  2: spot\n")


def flat(root):
    """As LabelImg and CVAT write it."""
    for number in range(9):
        write_yolo(root / "Images" / f"{number}.JPG", root / "labels" / f"{number}.txt", usual_boxes(number))
    (root / "classes.txt").write_text("crack\nhole\nspot\n")


@pytest.mark.parametrize("write", [lambda root: make_yolo(root, 3), parts_inside, flat])
def test_every_place_of_the_files_is_recognised(write, tmp_path):
    write(tmp_path)

    name, whole = read(tmp_path)
    crops = read(tmp_path, boxes="crop", margin=0)[1]

    assert name == "yolo" and not whole.left_out and not crops.left_out
    assert Counter(sample.label for sample in whole.samples) == dict.fromkeys(CLASSES, 3)
    assert len(crops.samples) == 18
    assert {sample.split for sample in crops.samples} == ({""} if write is flat else {"train", "validation", "test"})
    assert [told.code for told in whole.notices] == ["SB120"]
    count = 3 if write(tmp_path / "again") else 9
    expected = {tuple(box[1:]) for number in range(count) for box in usual_boxes(number)}
    assert {split_address(sample.path)[1] for sample in crops.samples} == expected, "shares are rounded to pixels"


def test_an_image_without_boxes_is_none_where_that_is_asked_for(tmp_path):
    make_yolo(tmp_path, 3)
    write_picture(tmp_path / "train" / "images" / "bare.png")
    write_yolo(tmp_path / "train" / "images" / "empty.png", tmp_path / "train" / "labels" / "empty.txt", [])
    (tmp_path / "valid" / "labels" / "lost.txt").write_text("0 0.5 0.5 0.5 0.5\n")

    assert read(tmp_path)[1].left_out == {
        "without a box (--include-none uses them as class none)": 2,
        "label files without an image": 1,
    }
    found = read(tmp_path, include_none=True)[1]
    assert [sample.label for sample in found.samples].count("none") == 2
    assert read(tmp_path, boxes="crop")[1].left_out["without a box to crop"] == 2


def test_a_polygon_is_the_box_around_it(tmp_path):
    make_yolo(tmp_path, 3)
    (tmp_path / "test" / "labels" / "test0.txt").write_text("1 0.25 0.5 0.5 0.25 0.75 0.5 0.5 0.75\n")

    paths = [sample.path for sample in read(tmp_path, boxes="crop", margin=0)[1].samples]

    assert [path for path in paths if "test0" in path] == ["test/images/test0.png#16,12,32,24"]


@each(
    "line, told",
    [
        ("3 0.5 0.5 0.1 0.1", "line 1 has the class 3, and there are 3: 0 to 2"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("0 32 24 10 10", "more than 1.01"),
        ("0 nan 0.5 0.1 0.1", "no number"),
        ("0 0.5 0.5 -0.1 0.1", "width -0.1, less than 0"),
        ("0 0.5 0.5", "3 numbers, expected 5"),
        ("0 0.5 0.5 0.1 0.1 0.5 0.5 0.1", "8 numbers"),
        ("crack 0.5 0.5 0.1 0.1", "more than numbers"),
        ("0.0 0.5 0.5 0.1 0.1", "line 1 has the class 0.0, expected a whole number"),
        ("9" * 4000 + " 0.5 0.5 0.1 0.1", "line 1 has the class " + "9" * 40 + ","),
        ("\x00\x01", "more than numbers"),
        ("0 0.5 0.5 0.1 0.1\n" * 1001, "1001 boxes"),
    ],
)
def test_a_file_that_cannot_be_used_is_counted_and_says_why(line, told, tmp_path):
    make_yolo(tmp_path, 10)
    (tmp_path / "train" / "labels" / "train0.txt").write_text(line)

    dataset = read(tmp_path)[1]

    (reason,) = dataset.left_out
    assert told in reason and "train/labels/train0.txt" in reason and dataset.left_out[reason] == 1
    assert len(dataset.samples) == 29


@each(
    "replace, told",
    [
        (os.mkfifo, "it is a named pipe"),
        (os.mkdir, "it is a folder"),
        (lambda path: path.symlink_to(path.name), "symbolic links"),
        (lambda path: path.symlink_to("gone.txt"), "No such file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
    ],
    ids=["pipe", "folder", "loop", "dangling", "device"],
)
def test_what_stands_in_place_of_a_label_file_is_no_image_without_a_box(replace, told, tmp_path, capsys):
    root = make_yolo(tmp_path / told.replace(" ", "_"), 10)
    label = root / "train" / "labels" / "train0.txt"
    label.unlink()
    replace(label)

    dataset = read(root, include_none=True)[1]

    (reason,) = dataset.left_out
    assert "train/labels/train0.txt: it cannot be read (" in reason and told in reason
    assert len(dataset.samples) == 29 and "none" not in {sample.label for sample in dataset.samples}
    assert main(["data", "check", str(root), "--include-none"]) == 0
    assert "1 with an annotation that cannot be used" in capsys.readouterr().out


def test_an_image_has_the_boxes_of_its_own_name_before_those_of_another_case(tmp_path):
    make_yolo(tmp_path, 10)
    place = tmp_path / "train"
    for name, label in (("k", "hole"), ("K", "spot")):
        write_yolo(place / "images" / f"{name}.png", place / "labels" / f"{name}.txt", [(label, 2, 2, 20, 20)])
    # Of two images one has a label file; of the other there is none in any case.
    write_yolo(place / "images" / "one.png", place / "labels" / "one.txt", [("hole", 2, 2, 20, 20)])
    write_picture(place / "images" / "ONE.png")
    (place / "labels" / "train0.txt").rename(place / "labels" / "TRAIN0.TXT")

    dataset = read(tmp_path)[1]

    labels = {sample.path.rpartition("/")[2]: sample.label for sample in dataset.samples}
    assert (labels["k.png"], labels["K.png"], labels["one.png"]) == ("hole", "spot", "hole")
    assert "ONE.png" not in labels and labels["train0.png"] == "crack"
    assert dataset.left_out == {"without a box (--include-none uses them as class none)": 1}


@each(
    "text, names",
    [
        ("names: ['a', \"b\", c d]\nnc: 3", ["a", "b", "c d"]),
        ("nc: 2 # two\nnames: ['it''s', 'x, y']", ["it's", "x, y"]),
        ("names:\n- a\n- 'b'\n- c-d # three\nnc: 3\n", ["a", "b", "c-d"]),
        ("names:\n  - a\n\n  # no name\n  - b\ntrain: x", ["a", "b"]),
        ("path: x\nnames:\n  1: b\n  0: a\n", ["a", "b"]),
        ("names: {0: a, 1: 'b'}", ["a", "b"]),
        ("names: [\n  'a',\n  'b',\n]\n", ["a", "b"]),
        ("\ufeffnames: [a]\r\nnc: 1\r\n", ["a"]),
        ("names: [a, # first\n  b, 'c # d', e#f] # see [1]\nnc: 4", ["a", "b", "c # d", "e#f"]),
        ("names: # of [all]\n  - a # first\n  - 'b # c'\n", ["a", "b # c"]),
        ("names: {0: a, # 0\n  # 1: x\n  1: b}", ["a", "b"]),
    ],
)
def test_names_in_every_form_that_tools_write(text, names, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(text, encoding="utf-8")

    assert read_names(path) == names


@each(
    "text, told",
    [
        ("names: [a, b]\nnc: 3", "nc is 3, but names holds 2"),
        ("names: []", "0 names"),
        ("names: [a, a]", "'a' stands there twice"),
        ("names:\n  0: a\n  2: b", "not 0, 1, 2"),
        ("names: [[a], b]", "is no name"),
        ("names: !!python/object/apply:os.system ['x']", "is no name"),
        ("names: &a [*a, *a]\n", "is no name"),
        ("names: ['" + "x" * 300 + "']", "300 characters"),
        ("names:\n  0: {a: b}: c: - d\n  x", "is no name"),
        ("names: [a, b]\nnc: 2\nnames: [c, d]", "names stands there 2 times"),
        ("names: [a, b]\nnc: 2\nnc: 3", "nc is 3, but names holds 2"),
        ("names: [a, b]\n#" + "x" * 1024 * 1024, "at most 1048576); expected a text file"),
    ],
)
def test_names_that_cannot_be_read_say_why(text, told, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(SteelbenchError, match=r"data\.yaml") as caught:
        read_names(path)
    assert told in str(caught.value)


def test_only_the_end_of_a_line_ends_a_name(tmp_path):
    (tmp_path / "classes.txt").write_text("a\x0bb\r\nc\x85d\ne\n", encoding="utf-8", newline="")

    assert read_names(tmp_path / "classes.txt") == ["a\x0bb", "c\x85d", "e"]


@each("name, text", {"data.yaml": "names: [größe, Riß]\n", "classes.txt": "größe\nRiß\n"}.items())
@each("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_names_are_read_in_every_encoding_that_is_certain(name, text, encoding, tmp_path):
    make_yolo(tmp_path, 3)
    (tmp_path / "data.yaml").unlink()
    for part in ("train", "valid", "test"):
        for path in (tmp_path / part / "labels").iterdir():
            path.write_text("1 0.5 0.5 0.5 0.5\n")
    (tmp_path / name).write_bytes(text.encode(encoding))

    assert {sample.label for sample in read(tmp_path)[1].samples} == {"Riß"}
    (tmp_path / name).unlink()


@each("name, text", {"data.yaml": "names: [ржа, трещина]\n", "classes.txt": "ржа\nтрещина\n"}.items())
def test_names_in_a_code_page_that_is_not_certain_are_refused(name, text, tmp_path, capsys):
    make_yolo(tmp_path, 3)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / name).write_bytes(text.encode("cp1251"))

    assert main(["data", "check", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"{name}: the class names cannot be read (" in told and "code page" in told and "UTF-8" in told
    (tmp_path / name).unlink()


@each(
    "text",
    [
        "names: [" + " " * 500_000 + "a b" + " " * 500_000 + "'",
        "names: [" + "a " * 400_000,
        "names:\n  - a" + " " * 900_000 + "'b\n  ]",
        "names:\n" + "  \n" * 300_000 + " - a\n  ]",
        "names: [" + ", ".join(f"n{number}" for number in range(100_000)) + "]",
        "names: [" + ", ".join(f"n{number}" for number in range(9_999)) + ", n0]",
        "names: [" + "a # 'b\n" * 120_000,
        "names: [" + "'" * 1_000_000,
        "names: [" + "\"'a" * 300_000,
        "names: []\n" * 100_000,
    ],
    ids=[
        "blanks",
        "words",
        "line",
        "lines",
        "many names",
        "twice",
        "comments",
        "quotes",
        "both quotes",
        "many lists",
    ],
)
def test_names_that_mean_harm_are_refused_soon(text, tmp_path):
    path = tmp_path / "data.yaml"
    path.write_text(text, encoding="utf-8")

    start = time.process_time()
    with pytest.raises(SteelbenchError, match=r"data\.yaml"):
        read_names(path)
    assert time.process_time() - start < 2


def test_a_class_folder_called_labels_needs_more_to_be_this_layout(tmp_path):
    for name in ("labels", "other"):
        for number in range(3):
            write_picture(tmp_path / name / f"{number}.png")

    assert read(tmp_path)[0] == "class_folders"


def test_lines_hold_what_the_generator_means():
    assert yolo_line(("hole", 16, 12, 32, 24)) == "1 0.500000 0.500000 0.500000 0.500000"
