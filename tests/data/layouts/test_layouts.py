"""Layouts as people have them, through `steelbench data check`: what is recognised, what is refused, what is said."""

import os
import time
from pathlib import Path

import pytest
from layout_page import checked, fields, page
from layout_trees import NEU, REFUSED, TREES, boxed, mvtec, named, neu_det, numbered, put, voc, write

from steelbench.cli.exit import main
from steelbench.cli.recognised import short_lines
from steelbench.data.layouts.split_names import split_parts
from steelbench.data.readers import DATASETS, read_dataset
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions

ROOT = Path(__file__).resolve().parents[3]


def read(root, **options):
    return read_dataset(DataOptions(data=str(root), **options))


def refusal(root, **options):
    with pytest.raises(SteelbenchError) as caught:
        read(root, **options)
    return str(caught.value)


def counts(dataset):
    labels = [sample.label for sample in dataset.samples]
    return {label: labels.count(label) for label in sorted(set(labels))}


def splits(dataset):
    return {part: sum(sample.split == part for sample in dataset.samples) for part in ("train", "validation", "test")}


@pytest.fixture
def check(capsys):
    """Runs `steelbench data check`; returns its exit code, its fields, and standard error."""

    def run(*arguments):
        code = main(["data", "check", *map(str, arguments)])
        told = capsys.readouterr()
        return code, fields(told.out), told.err

    return run


def test_the_page_of_layouts_is_what_the_command_says():
    assert (ROOT / "docs" / "data.md").read_text("utf-8") == page(), "python tests/layout_page.py > docs/data.md"


@pytest.mark.parametrize("tree", REFUSED, ids=[tree.title for tree in REFUSED])
def test_nonsense_is_refused_in_one_sentence(tree, tmp_path):
    code, _, out, err = checked(tree, tmp_path)

    assert code == 2 and not out
    assert err.startswith("steelbench: ") and err.count("\n") == 1 and "DIR" in err


OVERRULED = [tree for tree in REFUSED if tree.overruled]


@pytest.mark.parametrize("tree", OVERRULED, ids=[tree.title for tree in OVERRULED])
def test_what_is_refused_can_be_said_to_be_meant(tree, tmp_path):
    name, dataset = read(tree.make(tmp_path), layout="class_folders")

    assert name == "class_folders" and len(counts(dataset)) >= 2


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (["train", "val", "test"], ["train", "validation", "test"]),
        (["TRAINING", "Valid", "testing"], ["train", "validation", "test"]),
        (["train", "dev", "eval"], ["train", "validation", "test"]),
        (["train", "eval", "test"], ["train", "validation", "test"]),
        (["train_set", "Validation_Images", "test-data"], ["train", "validation", "test"]),
        (["trainset", "development", "Hold Out"], ["train", "validation", "test"]),
    ],
)
def test_words_for_the_parts_of_a_split(names, parts):
    assert list(split_parts(names).values()) == parts


@pytest.mark.parametrize(
    "name", ["strain", "latest", "trains", "contest", "tested", "value", "scratches", "set", "images", ""]
)
def test_other_words_are_no_parts(name):
    assert split_parts([name]) == {}


@pytest.mark.parametrize("upper", [False, True])
def test_a_table_takes_the_same_words_as_folders(tmp_path, upper):
    put(tmp_path, *(f"{k}.png" for k in range(3)))
    words = [word.upper() if upper else word for word in ("training", "dev", "eval")]
    rows = "".join(f"{k}.png,a,{word}\n" for k, word in enumerate(words))
    write(tmp_path, f"path,label,split\n{rows}", "x.csv")

    _, dataset = read(tmp_path / "x.csv")

    assert [sample.split for sample in dataset.samples] == ["train", "validation", "test"]


def test_one_folder_is_looked_through_and_the_place_is_said(tmp_path, check):
    neu_det(tmp_path / "archive" / "NEU")
    put(tmp_path, "__MACOSX/archive/._1.png")

    code, told, _ = check(tmp_path)

    assert code == 0 and told["layout"][0].startswith("neu_det")
    assert told["data"] == [f"{tmp_path}/archive/NEU/NEU-DET (in {tmp_path})"]
    assert told["split"] == ["the data's own: 24 train, 12 validation; test is drawn from train"]


def test_a_part_of_neu_det_is_a_data_set_without_a_split(tmp_path):
    neu_det(tmp_path)

    name, dataset = read(tmp_path / "NEU-DET" / "train")

    assert name == "neu_det" and counts(dataset) == dict.fromkeys(NEU, 4) and splits(dataset)["train"] == 0


def test_validation_images_may_lie_beside_the_folder_of_the_others(tmp_path):
    put(tmp_path, *named("NEU-DET/IMAGES", *NEU), *named("Validation_Images", *NEU, count=1, start=9))
    boxed(tmp_path, "NEU-DET/ANNOTATIONS", *NEU)

    name, dataset = read(tmp_path)

    assert name == "neu_det" and len(dataset.samples) == 30 and splits(dataset)["validation"] == 6


def test_images_beside_neu_det_are_counted(tmp_path):
    put(tmp_path, *named("IMAGES", *NEU), "IMAGES/unknown.jpg", "overview.jpg", *named("Validation_Images", "other"))

    _, dataset = read(tmp_path)

    assert len(dataset.samples) == 24
    assert dataset.left_out == {"no class in folder or name": 5, "in no folder of images": 1}


def coils(root, text="", suffix=""):
    """Images named by coil, of which only annotations say what they show."""
    images = named("images", "coilA", "coilB", count=6)
    put(root, *images)
    if suffix:
        write(root, text, *(image.replace("images/", "labels/").replace(".jpg", suffix) for image in images))
    return root


@pytest.mark.parametrize(("text", "suffix"), [(voc("dent"), ".xml"), ("0 .5 .5 .1 .1", ".txt"), ("{}", ".json")])
def test_a_name_is_no_class_where_annotations_say_something_else(tmp_path, text, suffix):
    coils(tmp_path, text, suffix)

    assert not DATASETS["neu_det"].matches(tmp_path) and not DATASETS["name_prefixes"].matches(tmp_path / "images")
    assert read(tmp_path, layout="neu_det")[0] == "neu_det"


@pytest.mark.parametrize("hostile", [b"<name>" * 9999, b"\xff\xfe\0", b"", b"<name>" + b"x" * 10**6 + b"</name>"])
def test_annotations_of_any_content_are_only_looked_at(tmp_path, hostile):
    coils(tmp_path, "", ".xml")
    for path in (tmp_path / "labels").iterdir():
        path.write_bytes(hostile)

    assert set(counts(read(tmp_path)[1])) == {"coilA", "coilB"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_annotation(tmp_path):
    coils(tmp_path)
    (tmp_path / "labels").mkdir()
    os.mkfifo(tmp_path / "labels" / "coilA_1.xml")

    assert read(tmp_path)[0] == "neu_det"


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["crazing_{}.jpg", "rolled-in_scale_{}.jpg"], {"crazing", "rolled-in_scale"}),
        (["dent ({}).png", "ok ({}).png"], {"dent", "ok"}),
        (["Fläche{}.png", "鉄{}.png"], {"Fläche", "鉄"}),
        (["a_7_{}.png", "b-{}_2.png"], {"a", "b"}),
        (["dent_{}_jpg.rf.0a9f.jpg", "ok_{}_jpg.rf.11bb.jpg"], {"dent", "ok"}),
    ],
)
def test_classes_in_names(tmp_path, names, classes):
    put(tmp_path, *(name.format(k) for name in names for k in range(3)))

    name, dataset = read(tmp_path)

    assert name == "name_prefixes" and set(counts(dataset)) == classes and set(counts(dataset).values()) == {3}


@pytest.mark.parametrize(
    "names",
    [
        ["IMG_{}.jpg", "DSC_{}.jpg"],
        ["{}.jpg"],
        ["dent_{}.jpg"],
        ["dent_{}.jpg", "{}.jpg", "{}_x.jpg"],
        ["dent.jpg", "ok.jpg"],
    ],
)
def test_names_without_classes_are_no_layout(tmp_path, names):
    put(tmp_path, *dict.fromkeys(name.format(k) for name in names for k in range(4)))

    assert "no layout that is known; seen:" in refusal(tmp_path)


def test_objects_are_named_and_a_wrong_one_has_a_suggestion(tmp_path):
    mvtec(tmp_path)

    assert "bottle, metal_nut, screw" in refusal(tmp_path) and "--object bottle" in refusal(tmp_path)
    assert "did you mean 'screw'?" in refusal(tmp_path, object="scrw")
    _, dataset = read(tmp_path, object="screw")
    assert dataset.root == tmp_path / "screw" and counts(dataset) == {"crack": 4, "cut": 4, "good": 10}
    assert set(splits(dataset).values()) == {0} and "split is drawn" in dataset.notes[0]


def test_an_object_where_there_are_none_is_a_mistake(tmp_path):
    put(tmp_path, *numbered("dent", "ok"))

    assert "--object screw" in refusal(tmp_path, object="screw")


def test_parts_whose_training_has_defects_are_no_object(tmp_path):
    put(tmp_path, *numbered("train/good", "train/dent", "test/good", "test/dent"))

    assert read(tmp_path)[0] == "split_folders"


def test_numbered_folders_of_one_name_stay_two_classes(tmp_path):
    put(tmp_path, *numbered("1_hole", "2_hole"))
    write(tmp_path, voc("x"), "lable/1.xml")

    assert set(counts(read(tmp_path)[1])) == {"1_hole", "2_hole"}


def test_class_folders_may_have_one_folder_each_of_the_same_name(tmp_path):
    """As a well-known set of tiles: `MT_Blowhole/Imgs`; and images beside masks."""
    put(tmp_path / "a", *numbered("blowhole/Imgs", "crack/Imgs"))
    put(tmp_path / "b", *numbered("blowhole/images", "crack/images", "blowhole/masks", "crack/masks"))

    assert set(counts(read(tmp_path / "a")[1])) == set(counts(read(tmp_path / "b")[1])) == {"blowhole", "crack"}


def test_yolo_folders_are_no_classes(tmp_path):
    put(tmp_path, *numbered("train/images", "valid/images"))
    write(tmp_path, "", "train/labels/1.txt", "valid/labels/1.txt")

    assert read(tmp_path, layout="class_folders")  # only if it is said
    assert not DATASETS["split_folders"].matches(tmp_path)


def test_an_unknown_layout_has_a_suggestion_and_one_that_does_not_fit_says_what_was_expected(tmp_path):
    put(tmp_path, *numbered("dent", "ok"))

    assert "unknown layout 'neudet'; did you mean 'neu_det'?" in refusal(tmp_path, layout="neudet")
    message = refusal(tmp_path, layout="severstal")
    assert DATASETS["severstal"].layout in message and "It looks like class_folders" in message
    assert "unknown layout 'demo'" in refusal(tmp_path, layout="demo")


@pytest.mark.parametrize(("classes", "listed"), [(40, 40), (41, 20), (1000, 20)])
def test_many_classes_are_counted_and_the_first_are_listed(tmp_path, check, classes, listed):
    rows = "".join(f"{k}.png,c{k % classes:04}\n" for k in range(3 * classes))
    write(tmp_path, f"path,label\n{rows}", "x.csv")

    code, told, _ = check(tmp_path / "x.csv")

    assert code == 0 and told["images"][0] == f"{3 * classes} images in {classes} classes"
    assert len(told["images"]) - 1 - (classes > 40) == listed
    assert classes == 40 or told["images"][-1] == f"and {classes - 20} more classes"


def test_no_name_reaches_the_terminal_as_a_command(tmp_path, capsys):
    evil = "\x1b]0;owned\x07" + "x" * 200
    put(tmp_path, *numbered(f"{evil}a", f"{evil[:-1]}\u202eb"), "note\x1b[2J.png")
    write(tmp_path, "", f"{evil[:20]}c/1.txt")

    # No card holds such a name, so that a run would refuse it.
    assert main(["data", "check", str(tmp_path)]) == 2
    printed = capsys.readouterr().out
    main(["run", "--data", str(tmp_path), "--folds", "9"])
    first = capsys.readouterr().err.splitlines()[:3]

    assert "owned" in printed and "owned" in first[0] and "c is no class" in first[2]
    assert not {"\x1b", "\x07", "\u202e"} & set(printed + "".join(first))
    assert max(map(len, printed.splitlines())) < 300


@pytest.mark.parametrize("command", ["run", "audit"])
def test_the_first_lines_say_what_was_recognised(tmp_path, capsys, command):
    neu_det(tmp_path)
    put(tmp_path, "NEU-DET/overview.jpg")

    main(
        [command, "--data", str(tmp_path), *(["--folds", "9"] if command == "run" else ["--out", str(tmp_path / "x")])]
    )

    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("steelbench: data: read as neu_det, 36 images in 6 classes: crazing 6, inclusion 6, ")
    assert lines[1] == "steelbench: data: split: the data's own: 24 train, 12 validation; test is drawn from train"
    assert lines[2] == "steelbench: data: left out: 1 in no folder of images"
    assert lines[3].startswith("steelbench: data: train/annotations holds 24 .xml files")


def test_what_cannot_be_trained_is_shown_and_then_refused(tmp_path, check):
    put(tmp_path, *numbered("dent", "ok"), "scale/1.png")

    code, told, err = check(tmp_path)

    assert code == 2 and told["images"][0] == "9 images in 3 classes" and "class 'scale' has 1 image" in err


def test_nothing_that_is_there_to_read_is_exit_two(tmp_path, check):
    assert check(tmp_path / "missing")[0] == check(tmp_path)[0] == 2
    put(tmp_path, "__MACOSX/a/1.png", "__MACOSX/b/1.png")
    assert check(tmp_path)[0] == 2


def test_two_thousand_files_take_less_than_two_seconds(tmp_path, check):
    for folder in range(40):
        (tmp_path / f"class {folder}").mkdir()
        for k in range(50):
            (tmp_path / f"class {folder}" / f"{k}.png").touch()
    write(tmp_path, "", *(f"class 7/{k}.xml" for k in range(300)))
    start = time.perf_counter()

    code, told, _ = check(tmp_path)

    assert time.perf_counter() - start < 2
    assert code == 0 and told["images"][0] == "2000 images in 40 classes"


def test_a_results_folder_inside_the_given_folder_is_refused(tmp_path, capsys):
    neu_det(tmp_path)

    assert main(["run", "--data", str(tmp_path), "--backbones", "mobilenet_v2_035", "--results", f"{tmp_path}/r"]) == 2
    assert "lies in the data folder" in capsys.readouterr().err


def linked(folder, sources):
    folder.mkdir(parents=True)
    for source in sources:
        (folder / source.name).symlink_to(source)


@pytest.mark.slow
def test_real_neu_det_as_it_is_downloaded(tmp_path, data_folder, check):
    neu, annotations = data_folder / "NEU", data_folder / "NEU-annotations"
    flat, parts = tmp_path / "flat" / "NEU-DET", tmp_path / "parts" / "NEU-DET"
    linked(flat / "IMAGES", (path for name in NEU for path in (neu / name).iterdir()))
    linked(flat / "ANNOTATIONS", annotations.iterdir())
    for name in NEU:
        linked(parts / "train" / "images" / name, (neu / name).iterdir())
    linked(parts / "train" / "annotations", annotations.iterdir())

    for folder in (flat, flat.parent, flat / "IMAGES", parts, parts / "train"):
        start = time.perf_counter()
        code, told, _ = check(folder)
        assert time.perf_counter() - start < 2
        assert code == 0 and told["images"][0] == "1800 images in 6 classes"
        assert [line.split() for line in told["images"][1:]] == [[name, "300"] for name in NEU]
    assert check(flat)[1]["note"] == ["ANNOTATIONS holds 1770 .xml files, not needed for whole images."]


@pytest.mark.slow
def test_real_sample_of_severstal(data_folder, check):
    code, told, _ = check(data_folder / "Severstal-sample")

    assert code == 0 and told["layout"][0].startswith("severstal") and told["images"][0] == "10 images in 2 classes"
    assert told["left out"] == ["15 no defect marked (--include-none uses them)"]


def test_every_row_of_the_table_is_told_from_the_others():
    assert len({reader.layout for reader in DATASETS.values()}) == len(DATASETS)
    assert {tree.reader for tree in TREES} == set(DATASETS)


@pytest.mark.parametrize(("redrawn", "words"), [(False, "24 train, 12 validation"), (True, "not used")])
def test_the_split_of_the_data_is_told_or_that_another_is_drawn(tmp_path, redrawn, words):
    neu_det(tmp_path)

    lines = short_lines(*read(tmp_path), redrawn=redrawn)

    assert words in lines[1]


def test_annotations_are_needed_for_boxes(tmp_path):
    neu_det(tmp_path)

    assert DATASETS["neu_det"].read(tmp_path / "NEU-DET", DataOptions(data="x", boxes="crop")).notes == ()
