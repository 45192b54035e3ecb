"""Pascal VOC in every place that it is found in, and files that mean harm."""

import pytest
from annotated_sets import make_voc, usual_boxes, voc_text, write_picture, write_voc
from each import each

from steelbench.data.annotations import AnnotationError, Box
from steelbench.data.layouts.voc import is_voc
from steelbench.data.layouts.voc_xml import MAX_XML, parse_voc
from steelbench.data.readers import read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def read(data, **options):
    return read_dataset(DataOptions(data=str(data), **options))


def test_boxes_of_a_file_as_an_annotator_writes_it():
    text = voc_text([(" crack ", 2, 3, 10, 20), ("hole", "1.5", "2", "9.5", "8")])

    assert parse_voc(text.encode()) == (Box("crack", 2, 3, 10, 20), Box("hole", 1.5, 2, 8, 6))
    assert parse_voc(b"<?xml version='1.0'?><annotation><size/></annotation>") == ()
    assert parse_voc(b"<note><object/></note>") is None
    assert parse_voc(text.encode("utf-16")) == parse_voc(text.encode())


BOMB = '<!DOCTYPE annotation [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><annotation>&b;</annotation>'


@each(
    "data, told",
    [
        (BOMB.encode(), "DOCTYPE"),
        (BOMB.encode("utf-16"), "DOCTYPE"),
        (b'<!DOCTYPE annotation SYSTEM "file:///etc/passwd"><annotation/>', "DOCTYPE"),
        (b"<annotation>", "no XML"),
        (b"", "no XML"),
        (b"\xff\xfe\xfd", "no XML"),
        (b"<?xml version='1.0' encoding='x-none'?><annotation/>", "no XML"),
        (b"<annotation>&other;</annotation>", "no XML"),
        (b"<annotation><object><name>a</name></object></annotation>", "no bndbox"),
        (voc_text([("a", "nan", "0", "9", "9")]).encode(), "x nan"),
        (voc_text([("a", "0", "0", "inf", "9")]).encode(), "width inf"),
        (voc_text([("a", "9", "0", "1", "9")]).encode(), "width -8"),
        (voc_text([("a", "0", "0", "1e9", "9")]).encode(), "width 1e"),
        (voc_text([("a", "0", "0", "", "9")]).encode(), "xmax ''"),
        (voc_text([("a", "0", "0", "nine", "9")]).encode(), "xmax 'nine'"),
        (voc_text([("", "0", "0", "9", "9")]).encode(), "no class"),
        (voc_text([("a", 0, 0, 9, 9)] * 1001).encode(), "1001 boxes"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(data, told):
    with pytest.raises(AnnotationError, match=told):
        parse_voc(data)


def flat(root):
    for number in range(9):
        write_voc(root / "IMAGES" / f"crack_{number}.jpg", usual_boxes(number), root / "ANNOTATIONS")


def beside(root):
    for number in range(9):
        write_voc(root / f"{number}.png", usual_boxes(number))


def parts(root):
    for part in ("train", "valid", "test"):
        for number in range(3):
            write_voc(root / part / f"{part}{number}.png", usual_boxes(number))


def labels_folder(root):
    for number in range(9):
        write_voc(root / "imgs" / f"{number}.png", usual_boxes(number), root / "lable")


@pytest.mark.parametrize("write", [flat, beside, parts, labels_folder, make_voc])
def test_every_place_of_the_files_is_recognised(write, tmp_path):
    write(tmp_path)

    name, whole = read(tmp_path)
    crops = read(tmp_path, boxes="crop")[1]

    assert name == "voc" and len(whole.samples) == 9 and len(crops.samples) == 18
    assert not whole.left_out and not crops.left_out
    expected = {flat: {""}, parts: {"train", "validation", "test"}}.get(write, {""})
    assert {sample.split for sample in whole.samples} == {sample.split for sample in crops.samples} == expected
    assert [told.code for told in whole.notices] == ["SB120"] and not read(tmp_path, boxes="image")[1].notices


def test_linked_folders_are_entered_once(tmp_path):
    make_voc(tmp_path / "there")
    (tmp_path / "data").mkdir()
    for name in ("JPEGImages", "Annotations"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "there" / name)
    (tmp_path / "there" / "JPEGImages" / "round").symlink_to(tmp_path / "there")

    assert len(read(tmp_path / "data", boxes="crop")[1].samples) == 18


def test_class_folders_with_a_stray_xml_file_are_not_of_this_layout(tmp_path):
    for name in "ab":
        for number in range(3):
            write_picture(tmp_path / name / f"{number}.png")
    (tmp_path / "settings.xml").write_text("<settings/>")
    (tmp_path / "a" / "0.xml").write_text(voc_text([]))

    assert not is_voc(tmp_path) and read(tmp_path)[0] == "class_folders"
    assert not is_voc(tmp_path / "settings.xml")


def test_few_faulty_files_are_counted_and_the_first_is_named(tmp_path):
    make_voc(tmp_path, count=40)
    for name in ("12", "7"):
        (tmp_path / "Annotations" / f"{name}.xml").write_text(BOMB)

    dataset = read(tmp_path)[1]

    assert len(dataset.samples) == 38
    (reason,) = dataset.left_out
    assert reason.startswith("with an annotation that cannot be used (the first is Annotations/12.xml: it declares")
    assert dataset.left_out[reason] == 2
    (tmp_path / "Annotations" / "0.xml").write_bytes(b" " * (MAX_XML + 1))
    with pytest.raises(SteelbenchError, match=r"3 of 40 annotations .* at most 5% may; the first is Annotations/0.xml"):
        read(tmp_path)
