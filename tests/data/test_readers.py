"""Every layout that `--data` may name, and what people do to folders and tables."""

import csv
import os
import unicodedata
from pathlib import Path

import pytest
from layout_trees import TREES, put

from steelbench.cli.exit import main
from steelbench.data.crops import source_path
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import DATASETS, read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def table(path, *rows, header="path,label,split,group", encoding="utf-8"):
    path.write_text("\n".join((header, *rows)) + "\n", encoding=encoding)
    return path


def labels(dataset):
    return {sample.path: sample.label for sample in dataset.samples}


def refusal(data, **options):
    with pytest.raises(SteelbenchError) as caught:
        read_dataset(DataOptions(data=str(data), **options))
    return str(caught.value)


def make_class_folders(root):
    return put(root, *(f"{name}/{k}.png" for name in ("red iron", "Oxid-Fläche", "鉄") for k in range(3)))


@pytest.mark.parametrize("tree", TREES, ids=[tree.title for tree in TREES])
def test_every_reader_keeps_the_contract(tree, tmp_path):
    """Recognised; samples sorted, distinct, inside the root, readable; the same again on a second reading."""
    given = dict(zip(tree.options[::2], tree.options[1::2], strict=False))
    options = DataOptions(
        data=str(tree.make(tmp_path)),
        object=given.get("--object"),
        boxes=given.get("--boxes"),
        min_box=int(given.get("--min-box", 16)),
        include_none="--include-none" in tree.options,
    )

    found, dataset = read_dataset(options)

    assert found == tree.reader
    paths = [sample.path for sample in dataset.samples]
    assert paths and paths == sorted(set(paths))
    assert dataset.root.is_absolute()
    for sample in dataset.samples:
        assert not sample.path.startswith("/") and "\\" not in sample.path
        assert (dataset.root / source_path(sample.path)).is_file() and sample.label
        assert sample.split in ("", "train", "validation", "test")
    assert all(count > 0 for count in dataset.left_out.values())
    assert read_dataset(options) == (found, dataset)
    assert len(inspect_dataset(dataset).classes) >= 2


def test_every_layout_has_an_example():
    assert {tree.reader for tree in TREES} == set(DATASETS)
    assert all(reader.layout for reader in DATASETS.values())


def test_demo_is_360_images_of_seven_classes_and_made_once(own_cache):
    _, dataset = read_dataset("demo")

    assert len(dataset.samples) == 360 and len({sample.label for sample in dataset.samples}) == 7
    assert dataset.root.parent == own_cache.resolve()


def test_class_folders_may_have_any_name(tmp_path):
    names = ["red iron", "Fläche", "鉄", 'a"quote', "comma, name", "new\nline", "..dots", "100%", "-dash"]
    put(tmp_path, *(f"{name}/x.png" for name in names if not name.startswith(".")))

    found = labels(read_dataset(str(tmp_path))[1])

    assert sorted(found.values()) == sorted(set(names) - {"..dots"})


def test_names_of_one_look_are_one_class_however_they_are_composed(tmp_path):
    composed, apart = unicodedata.normalize("NFC", "Fläche"), unicodedata.normalize("NFD", "Fläche")
    put(tmp_path, f"train/{composed}/1.png", "train/b/1.png", f"test/{apart}/2.png", "test/b/2.png")

    found = labels(read_dataset(str(tmp_path))[1])

    assert set(found.values()) == {composed, "b"}
    assert f"test/{apart}/2.png" in found  # the path stays what the disk says


def test_images_are_found_at_any_depth_and_by_upper_case_extensions(tmp_path):
    put(tmp_path, "a/1.PNG", "a/deep/er/2.Jpg", "a/3.TIFF", "b/4.webp", "b/5.bmp", "b/6.jpeg")

    assert labels(read_dataset(str(tmp_path))[1]) == {
        "a/1.PNG": "a",
        "a/deep/er/2.Jpg": "a",
        "a/3.TIFF": "a",
        "b/4.webp": "b",
        "b/5.bmp": "b",
        "b/6.jpeg": "b",
    }


def test_hidden_and_other_files_are_no_images(tmp_path):
    put(
        tmp_path,
        "a/1.png",
        "b/1.png",
        "a/.2.png",
        "a/._1.png",
        ".git/3.png",
        "a/.cache/4.png",
        "a/Thumbs.db",
        "a/n.txt",
    )
    (tmp_path / "a" / "folder.png").mkdir()

    assert labels(read_dataset(str(tmp_path))[1]) == {"a/1.png": "a", "b/1.png": "b"}


def test_images_beside_the_class_folders_are_counted(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", "overview.png", ".hidden.png")

    assert read_dataset(str(tmp_path))[1].left_out == {"in no class folder": 1}


def test_a_file_name_that_is_not_utf8_is_refused_by_name(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png", os.fsdecode(b"b/caf\xe9.png"))

    message = refusal(tmp_path)

    assert "caf" in message and "UTF-8" in message
    message.encode()  # can be printed


@pytest.mark.parametrize("name", ["new\nline.png", 'comma, quote".png', "..leading.png", " space .png", "%s{}.png"])
def test_odd_file_names_survive(tmp_path, name):
    put(tmp_path, f"a/{name}", "b/1.png")
    hidden = name.startswith(".")

    assert (f"a/{name}" in labels(read_dataset(str(tmp_path))[1])) is not hidden


def test_links_in_a_circle_are_followed_by_no_reader(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "up").symlink_to("..", target_is_directory=True)
    (tmp_path / "self").symlink_to("self")

    assert labels(read_dataset(str(tmp_path))[1]) == {"a/1.png": "a", "b/1.png": "b"}
    assert read_dataset(str(tmp_path / "again"))[1].root == tmp_path.resolve()
    assert "does not exist" in refusal(tmp_path / "self")


def test_class_folders_and_files_may_be_links_to_elsewhere(tmp_path):
    store = put(tmp_path / "store", "x/1.png", "2.png")
    root = put(tmp_path / "data", "a/1.png", "b/1.png")
    (root / "c").symlink_to(store / "x", target_is_directory=True)
    (root / "a" / "2.png").symlink_to(store / "2.png")

    assert labels(read_dataset(str(root))[1]) == {"a/1.png": "a", "a/2.png": "a", "b/1.png": "b", "c/1.png": "c"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_no_empty_folder(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b").chmod(0)

    with pytest.raises(PermissionError):
        read_dataset(str(tmp_path))


@pytest.mark.parametrize("data", ["missing", "", "~nobody-of-that-name/x", "x" * 5000, "a\nb"])
def test_what_does_not_exist_is_refused_with_what_was_expected(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    make_class_folders(tmp_path)

    assert "does not exist; expected a folder of images, a CSV file, or the word demo" in refusal(data)


def test_an_empty_folder_names_the_layouts(tmp_path):
    message = refusal(tmp_path)

    assert all(reader.layout in message for reader in DATASETS.values())


def test_folders_without_images_are_refused_when_they_are_inspected(tmp_path):
    (tmp_path / "a").mkdir()

    with pytest.raises(SteelbenchError, match="no labelled images"):
        inspect_dataset(read_dataset(str(tmp_path))[1])


@pytest.mark.parametrize(
    ("folder", "part"),
    [("val", "validation"), ("valid", "validation"), ("Validation", "validation"), ("TEST", "test")],
)
def test_split_folders_by_their_names(tmp_path, folder, part):
    put(tmp_path, "train/a/1.png", "train/b/1.png", f"{folder}/a/2.png", "Extra/a/3.png", "1.png", "train/4.png")

    name, dataset = read_dataset(str(tmp_path))

    assert name == "split_folders"
    assert {sample.path: (sample.label, sample.split) for sample in dataset.samples} == {
        "train/a/1.png": ("a", "train"),
        "train/b/1.png": ("b", "train"),
        f"{folder}/a/2.png": ("a", part),
    }
    assert dataset.left_out == {"in Extra, neither train, val nor test": 1, "in no class folder": 2}


def test_unlabelled_test_images_do_not_make_train_and_test_the_classes(tmp_path):
    put(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "test/2.png")

    name, dataset = read_dataset(str(tmp_path))

    assert name == "split_folders" and labels(dataset) == {"train/a/1.png": "a", "train/b/1.png": "b"}
    assert dataset.left_out == {"in no class folder": 2}


def test_neu_names_give_the_six_classes(tmp_path):
    put(tmp_path, "Cr_1.bmp", "In_2.BMP", "Pa_3.jpg", "PS_4.bmp", "RS_300.bmp", "Sc_6.bmp", "Xx_1.bmp", "Cr_1b.bmp")

    name, dataset = read_dataset(str(tmp_path))

    assert name == "neu_cls" and dataset.left_out == {"no NEU-CLS name": 2}
    assert labels(dataset) == {
        "Cr_1.bmp": "crazing",
        "In_2.BMP": "inclusion",
        "Pa_3.jpg": "patches",
        "PS_4.bmp": "pitted_surface",
        "RS_300.bmp": "rolled-in_scale",
        "Sc_6.bmp": "scratches",
    }


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_with_all_columns_in_any_order(tmp_path, encoding):
    put(tmp_path / "img", "ä 1.png", "2.png", "3.png")
    path = table(
        tmp_path / "x.csv",
        'coil 7,img/ä 1.png," Fläche, rau ",,TRAIN',
        "coil 7,./img/2.png,b,ignored,valid",
        ",img/../img/3.png,b,,",
        header="group,path, label ,note,split",
        encoding=encoding,
    )

    name, dataset = read_dataset(str(path))

    assert name == "csv" and dataset.root == tmp_path.resolve()
    assert [(s.path, s.label, s.split, s.group) for s in dataset.samples] == [
        ("img/2.png", "b", "validation", "coil 7"),
        ("img/3.png", "b", "", ""),
        ("img/ä 1.png", "Fläche, rau", "train", "coil 7"),
    ]


def test_csv_with_path_and_label_only(tmp_path):
    path = table(tmp_path / "x.csv", "1.png,a", "", "2.png,b", header="path,label")

    assert labels(read_dataset(str(path))[1]) == {"1.png": "a", "2.png": "b"}


def test_csv_survives_what_a_csv_writer_quotes(tmp_path):
    names = ["new\nline.png", 'quote".png', "comma, name.png", ".hidden.png", "ü.png"]
    put(tmp_path, *names)
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *([name, "new\nlabel"] for name in names)])

    assert labels(read_dataset(str(tmp_path / "x.csv"))[1]) == dict.fromkeys(names, "new\nlabel")


@pytest.mark.parametrize("missing", ["path", "label"])
def test_csv_without_a_column_says_which_and_what_is_there(tmp_path, missing):
    path = table(tmp_path / "x.csv", "1", header={"path": "label", "label": "path"}[missing] + ",foo")

    message = refusal(path)

    assert f"lacks the column {missing};" in message and "foo" in message


def test_csv_with_nothing_in_it(tmp_path):
    (tmp_path / "x.csv").touch()

    assert "lacks the columns label, path" in refusal(tmp_path / "x.csv")


@pytest.mark.parametrize("row", ["../out.png,a", "{out},a", "link.png,a", "img/../../out.png,a", "folder/out.png,a"])
def test_csv_paths_stay_in_its_folder(tmp_path, row):
    root = tmp_path / "data"
    put(tmp_path, "out.png", "data/1.png")
    (root / "link.png").symlink_to("../out.png")
    (root / "folder").symlink_to("..", target_is_directory=True)

    message = refusal(table(root / "x.csv", "1.png,a", row.format(out=tmp_path / "out.png"), header="path,label"))

    assert "line 3" in message and "leaves the CSV's folder" in message


@pytest.mark.parametrize("name", ["nul\0.png", "circle.png", "circle.png/x.png"])
def test_csv_paths_that_lead_nowhere_are_refused(tmp_path, name):
    (tmp_path / "circle.png").symlink_to("circle.png")

    assert "line 2" in refusal(table(tmp_path / "x.csv", f"{name},a", header="path,label"))


def test_csv_files_that_are_missing_are_left_to_the_inspection(tmp_path):
    path = table(tmp_path / "x.csv", "missing.png,a", header="path,label")

    with pytest.raises(SteelbenchError, match=r"missing\.png: no such file"):
        inspect_dataset(read_dataset(str(path))[1])


@pytest.mark.parametrize("again", ["1.png,a", "1.png,b", "./1.png,a", "x/../1.png,a", "same.png,a"])
def test_csv_with_an_image_listed_twice_is_refused(tmp_path, again):
    put(tmp_path, "1.png")
    (tmp_path / "same.png").symlink_to("1.png")

    message = refusal(table(tmp_path / "x.csv", "1.png,a", again, header="path,label"))

    assert "line 3" in message and "listed twice" in message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("1.png,,,", "empty"),
        ("1.png,  ,,", "empty"),
        (",a,,", "empty"),
        ("1.png", "empty"),
        ("1.png,a,sometimes,", "'sometimes'"),
    ],
)
def test_csv_rows_that_say_too_little_are_named_by_their_line(tmp_path, row, words):
    put(tmp_path, "0.png", "1.png")

    message = refusal(table(tmp_path / "x.csv", "0.png,a,,", "", row))  # an empty line counts as one

    assert "line 4" in message and words in message


@pytest.mark.parametrize("data", ["path,label\n1.png,ржавый\n".encode("cp1251"), bytes(range(256)), b"\xff\xfep\0a"])
def test_what_is_no_csv_is_refused_whatever_its_name(tmp_path, data):
    (tmp_path / "x.png").write_bytes(data)

    assert "UTF-8" in refusal(tmp_path / "x.png")


def severstal(root, *rows, header="ImageId,ClassId,EncodedPixels"):
    put(root / "train_images", "one.jpg", "two.jpg", "three.jpg", "four.jpg", ".hidden.jpg")
    table(root / "train.csv", *rows, header=header)
    return str(root)


def test_severstal_uses_images_with_one_class(tmp_path):
    data = severstal(
        tmp_path,
        "one.jpg,1,1 2",
        "one.jpg,1,9 9",
        "one.jpg,1,1 2",
        "two.jpg,3,1 1",
        "two.jpg,4,5 5",
        "three.jpg,4,1 1",
        "gone.jpg,2,1 1",
        "gone too.jpg,1,1 1",
        "four.jpg,2,",
    )

    name, dataset = read_dataset(data)

    assert name == "severstal"
    assert labels(dataset) == {"train_images/one.jpg": "defect_1", "train_images/three.jpg": "defect_4"}
    assert dataset.left_out == {
        "several classes in one image": 1,
        "no defect marked (--include-none uses them)": 1,
        "in train.csv, but no such file": 2,
    }


@pytest.mark.parametrize("empty", ["four.jpg,2,", "four.jpg,,", "five.jpg,1,1 1"])
def test_severstal_images_without_a_defect_are_a_class_if_asked_for(tmp_path, empty):
    data = severstal(tmp_path, "one.jpg,1,1 2", "two.jpg,2,1 1", "three.jpg,2,1 1", empty)

    found = labels(read_dataset(DataOptions(data=data, include_none=True))[1])

    assert found == {
        "train_images/one.jpg": "defect_1",
        "train_images/two.jpg": "defect_2",
        "train_images/three.jpg": "defect_2",
        "train_images/four.jpg": "none",
    }


def test_severstal_without_pixels_lists_only_defects(tmp_path):
    data = severstal(tmp_path, "one.jpg,1", "two.jpg,2", "four.jpg,", header="ImageId,ClassId")

    found = labels(read_dataset(data)[1])

    assert set(found.values()) == {"defect_1", "defect_2"}


def test_severstal_table_of_another_kind_is_refused(tmp_path):
    data = severstal(tmp_path, "a.jpg_1,1 1", header="ImageId_ClassId,EncodedPixels")

    assert "lacks the columns ClassId, ImageId" in refusal(data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "name", "images", "classes"),
    [("NEU", "class_folders", 1800, 6), ("X-SDD", "class_folders", 1360, 7), ("Severstal-sample", "severstal", 10, 2)],
)
def test_real_data_sets_have_what_their_readme_says(data_folder, folder, name, images, classes):
    found, dataset = read_dataset(str(data_folder / folder))

    assert found == name and len(dataset.samples) == images
    assert len({sample.label for sample in dataset.samples}) == classes
    assert len(list((data_folder / folder).rglob("*.*g"))) == images + sum(dataset.left_out.values())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux's folder of open files")
def test_a_folder_that_is_gone_before_it_is_read_is_named(tmp_path, capsys):
    """In it lies the open folder itself, which is closed before it is entered."""
    (tmp_path / "fd").symlink_to("/proc/self/fd")
    (tmp_path / "other").mkdir()

    assert main(["data", "check", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert f"--data {tmp_path}: {tmp_path}/fd/" in told and "is gone now" in told and "run again" in told
