"""What is left out of a folder as people have it: other files, masks, small classes; spellings of a label."""

import os

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data.inspection import inspect_dataset, left_out_counts
from steelbench.data.masks import REASON as MASK
from steelbench.data.readers import read_dataset
from steelbench.data.samples import LeftOut, is_passed_over
from steelbench.errors import SteelbenchError
from steelbench.experiment import DataOptions


def photo(seed, side=32):
    noise = np.random.default_rng(seed).integers(0, 256, (side, side)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1)


def mask(seed, side=32, value=255):
    found = np.zeros((side, side), np.uint8)
    cv2.circle(found, (8 + seed % 13, 8 + seed % 17), 3 + seed % 5, value, -1)
    return found


def binary(seed, side=32):
    """A picture of a surface that was binarised."""
    return np.where(photo(seed, side) > 127, 255, 0).astype(np.uint8)


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def photos(root, *names, images=8, suffix=".jpg"):
    for place, name in enumerate(names):
        for k in range(images):
            write(root / name / f"{k:02}{suffix}", photo(100 * place + k))
    return root


def read(root, **options):
    return read_dataset(DataOptions(data=str(root), **options))[1]


def paths(dataset):
    return {sample.path for sample in dataset.samples}


@pytest.mark.parametrize(
    "name",
    [".DS_Store", ".ipynb_checkpoints", "._x.jpg", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX", "~$a.xlsx"],
)
def test_hidden_and_system_names_are_passed_over(name):
    assert is_passed_over(name)


@pytest.mark.parametrize("name", ["a.jpg", "Thumbs.jpg", "macosx", "..", ".", "_x.jpg", "desktop"])
def test_other_names_are_not(name):
    assert not is_passed_over(name)


def test_hidden_and_system_files_are_neither_samples_nor_counted(tmp_path):
    photos(tmp_path, "a", "b")
    photos(tmp_path, "a/.ipynb_checkpoints", "a/__MACOSX", "__MACOSX", "b/@eaDir/1.jpg")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (tmp_path / "a" / name).write_text("x")
    write(tmp_path / "a" / "._00.jpg", photo(0))

    dataset = read(tmp_path)

    assert len(dataset.samples) == 16 and {sample.label for sample in dataset.samples} == {"a", "b"}
    assert dataset.left_out == {} and dataset.passed_over == () and dataset.empty == ()


def test_files_that_are_no_images_are_counted_by_extension_and_named(tmp_path):
    photos(tmp_path, "a", "b")
    for name in ("a/x.txt", "a/deep/y.TXT", "b/README", "b/m.psd", "a/.hidden.txt", "top.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    dataset = read(tmp_path)

    assert dataset.left_out == {"no image (.txt)": 2, "no image (.psd)": 1, "no image (no extension)": 1}
    assert dataset.passed_over == (
        LeftOut("a/deep/y.TXT", "no image (.txt)"),
        LeftOut("a/x.txt", "no image (.txt)"),
        LeftOut("b/README", "no image (no extension)"),
        LeftOut("b/m.psd", "no image (.psd)"),
    )


def test_files_beside_images_in_the_data_folder_count_and_those_of_other_folders_do_not(tmp_path):
    for k in range(3):
        write(tmp_path / f"Cr_{k}.bmp", photo(k))
        write(tmp_path / f"In_{k}.bmp", photo(9 + k))
    (tmp_path / "notes.doc").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.doc").write_text("x")

    assert read(tmp_path).passed_over == (LeftOut("notes.doc", "no image (.doc)"),)


def test_many_extensions_and_names_that_are_no_text_have_a_bounded_count(tmp_path):
    photos(tmp_path, "a", "b")
    for k in range(60):
        (tmp_path / "a" / f"x.e{k:02}").touch()
    (tmp_path / "a" / "z.\x1b[31m").touch()
    (tmp_path / "a" / ("z." + "long" * 20)).touch()
    (tmp_path / "a" / os.fsdecode(b"caf\xe9.txt")).touch()

    dataset = read(tmp_path)

    assert len(dataset.left_out) == 21 and sum(dataset.left_out.values()) == 63
    assert all(reason.isprintable() for reason in dataset.left_out)
    assert "a/caf\\xe9.txt" in {file.path for file in dataset.passed_over}


def test_annotations_that_a_layout_names_are_not_listed(tmp_path, monkeypatch):
    import dataclasses

    from steelbench.data import readers

    photos(tmp_path, "a", "b")
    for name in ("a/00.xml", "a/01.xml"):
        (tmp_path / name).write_text("x")
    row = readers.DATASETS["class_folders"]
    known = dataclasses.replace(
        row, read=lambda *given: dataclasses.replace(row.read(*given), annotations=frozenset({"a/00.xml"}))
    )
    monkeypatch.setitem(readers.DATASETS, "class_folders", known)

    assert read(tmp_path).left_out == {"no image (.xml)": 1}


def test_a_table_names_its_images_and_nothing_beside_them_counts(tmp_path):
    photos(tmp_path, "a", "b")
    (tmp_path / "a" / "x.txt").write_text("x")
    (tmp_path / "x.csv").write_text("path,label\n" + "".join(f"{n}/{k:02}.jpg,{n}\n" for n in "ab" for k in range(8)))

    assert read(tmp_path / "x.csv").left_out == {}


def tiles(root, images=8):
    """Tiles as a well-known set has them: `MT_Blowhole/Imgs/exp1_num_1.jpg` and its mask as `.png` beside it."""
    for place, name in enumerate(("MT_Blowhole", "MT_Break", "MT_Free")):
        for k in range(images):
            stem = f"{name}/Imgs/exp1_num_{place}{k}"
            write(root / f"{stem}.jpg", photo(100 * place + k))
            write(root / f"{stem}.png", mask(k) * (name != "MT_Free"))
    return root


def test_masks_beside_the_picture_of_the_same_name_are_left_out_and_kept_on_request(tmp_path):
    tiles(tmp_path)

    dataset = read(tmp_path)

    assert len(dataset.samples) == 24 and all(path.endswith(".jpg") for path in paths(dataset))
    assert dataset.left_out == {MASK: 24} and "--keep-masks" in MASK
    assert len(read(tmp_path, keep_masks=True).samples) == 48


def test_masks_of_many_classes_are_found(tmp_path):
    for place in range(20):
        for k in range(4):
            write(tmp_path / f"c{place}" / f"{k}.jpg", photo(100 * place + k))
            write(tmp_path / f"c{place}" / f"{k}.png", mask(place + k))

    assert read(tmp_path).left_out == {MASK: 80}


@pytest.mark.parametrize("ending", ["_mask", "_label", "_GT", "-mask"])
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg"])
def test_masks_by_the_ending_of_their_name(tmp_path, ending, suffix):
    photos(tmp_path, "a", "b")
    for k in range(8):
        write(tmp_path / "a" / f"{k:02}{ending}{suffix}", mask(k))

    dataset = read(tmp_path)

    assert len(dataset.samples) == 16 and dataset.left_out == {MASK: 8}


@pytest.mark.parametrize("folder", ["ground_truth", "masks", "Mask", "labels"])
@pytest.mark.parametrize("below", ["", "a/"])
def test_masks_by_the_name_of_their_folder(tmp_path, folder, below):
    photos(tmp_path, "a", "b")
    for k in range(8):
        # Values of two classes and the background, as instance masks have them.
        write(tmp_path / f"{below}{folder}" / f"{k:02}.png", np.maximum(mask(k, value=1), mask(k + 7, value=2)))

    dataset = read(tmp_path)

    assert {sample.label for sample in dataset.samples} == {"a", "b"}
    assert dataset.left_out == {MASK: 8}


def test_a_class_of_photos_with_the_name_of_a_mask_folder_is_kept(tmp_path):
    photos(tmp_path, "labels", "a")

    assert len(read(tmp_path).samples) == 16 and read(tmp_path).left_out == {}


def test_pictures_in_two_formats_are_no_masks(tmp_path):
    photos(tmp_path, "a", "b")
    photos(tmp_path, "a", "b", suffix=".png")

    assert len(read(tmp_path).samples) == 32


def test_the_few_masks_among_pictures_in_two_formats_are_found(tmp_path):
    photos(tmp_path, "a", "b", images=40)
    photos(tmp_path, "a", "b", images=40, suffix=".png")
    write(tmp_path / "a" / "07.png", mask(7))  # none of the sampled ones

    assert read(tmp_path).passed_over == (LeftOut("a/07.png", MASK),)


def test_the_few_photos_among_masks_are_kept(tmp_path):
    photos(tmp_path, "b")
    for k in range(40):
        write(tmp_path / "a" / f"{k:02}.jpg", photo(k))
        write(tmp_path / "a" / f"{k:02}.png", photo(900 + k, 64) if k == 7 else mask(k))

    dataset = read(tmp_path)

    assert dataset.left_out == {MASK: 39} and "a/07.png" in paths(dataset)


def test_two_valued_pictures_among_the_photos_of_a_class_are_left_out(tmp_path):
    photos(tmp_path, "a", "b", suffix=".png", images=12)
    for k in range(3):
        write(tmp_path / "a" / f"m{k}.png", mask(k))

    assert read(tmp_path).left_out == {MASK: 3}


def test_two_valued_pictures_of_another_format_with_other_names_are_left_out(tmp_path):
    photos(tmp_path, "a", "b", images=6)
    for k in range(6):
        write(tmp_path / "a" / f"seg{k}.bmp", mask(k))

    assert read(tmp_path).left_out == {MASK: 6}


def test_a_class_of_binarised_pictures_is_kept(tmp_path):
    photos(tmp_path, "a", "b", suffix=".png")
    for k in range(8):
        write(tmp_path / "c" / f"{k}.png", binary(k))

    assert len(read(tmp_path).samples) == 24


def test_a_class_of_which_most_pictures_have_two_values_is_kept(tmp_path):
    photos(tmp_path, "a", "b", suffix=".png", images=4)
    for k in range(5):
        write(tmp_path / "a" / f"m{k}.png", mask(k))

    assert read(tmp_path).left_out == {}


@pytest.mark.parametrize("names", [("a", "b"), ("a", "mask")])
def test_a_binarised_data_set_is_kept_whatever_its_classes_are_called(tmp_path, names):
    for place, name in enumerate(names):
        for k in range(8):
            write(tmp_path / name / f"{k}.png", binary(50 * place + k))

    assert len(read(tmp_path).samples) == 16 and read(tmp_path).left_out == {}


def test_plain_pictures_are_no_masks(tmp_path):
    photos(tmp_path, "a", suffix=".png")
    for k in range(8):
        write(tmp_path / "blank" / f"{k}.png", np.full((32, 32), 100 + k, np.uint8))
    write(tmp_path / "a" / "plain.png", np.full((32, 32), 7, np.uint8))

    assert read(tmp_path).left_out == {}


def test_dark_photos_of_12_bits_are_no_masks_of_their_previews(tmp_path):
    for place, name in enumerate("ab"):
        for k in range(4):
            deep = photo(100 * place + k)
            write(tmp_path / name / f"{k}.tif", deep.astype(np.uint16) * 8)
            write(tmp_path / name / f"{k}.png", deep)

    assert read(tmp_path).left_out == {}


def test_a_table_may_list_pictures_of_two_values_but_masks_beside_their_picture_are_told(tmp_path):
    tiles(tmp_path / "t", images=3)
    photos(tmp_path / "t", "x", suffix=".png")
    write(tmp_path / "t" / "x" / "binary.png", mask(1))
    names = sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "t").rglob("*.*g"))
    (tmp_path / "x.csv").write_text("path,label\n" + "".join(f"{name},{name.split('/')[1]}\n" for name in names))

    dataset = read(tmp_path / "x.csv")

    assert dataset.left_out == {MASK: 9} and "t/x/binary.png" in paths(dataset)


def test_masks_are_found_among_pictures_that_cannot_be_read(tmp_path):
    tiles(tmp_path)
    (tmp_path / "MT_Break" / "Imgs" / "exp1_num_10.png").write_bytes(b"\x89PNG")
    (tmp_path / "MT_Break" / "Imgs" / "exp1_num_11.jpg").unlink()
    (tmp_path / "MT_Break" / "Imgs" / "exp1_num_11.jpg").symlink_to("nowhere")

    assert read(tmp_path).left_out[MASK] >= 21


def test_names_that_differ_by_case_or_spaces_are_one_caution_and_joined_on_request(tmp_path, capsys):
    photos(tmp_path, "Scratch", "roll printing", "pit", images=6)
    photos(tmp_path / "x", "1", "2", images=3)
    (tmp_path / "x" / "1").rename(tmp_path / "scratch ")
    (tmp_path / "x" / "2").rename(tmp_path / "Rollprinting")
    (tmp_path / "x").rmdir()

    (told,) = (notice for notice in inspect_dataset(read(tmp_path)).notices if notice.code == "SB110")
    assert told.level == "caution" and "--join-labels" in told.text
    assert "'Scratch' (6) and 'scratch ' (3)" in told.text and "'roll printing' (6) and 'Rollprinting' (3)" in told.text

    joined = inspect_dataset(read(tmp_path, join_labels=True))
    assert joined.counts == {"Scratch": 9, "pit": 6, "roll printing": 9}
    assert not [notice for notice in joined.notices if notice.code == "SB110"]
    out = tmp_path.parent / "out"
    assert main(["audit", "--data", str(tmp_path), "--out", str(out)]) == 0
    assert "caution: Names of classes that differ by case or spaces only" in capsys.readouterr().err
    assert "--join-labels" in (out / "audit.html").read_text(encoding="utf-8")


def test_names_that_differ_by_more_are_not_joined(tmp_path):
    photos(tmp_path, "roll printing", "roll_printing", "roll-printing", images=3)

    assert inspect_dataset(read(tmp_path, join_labels=True)).counts.keys() == {
        "roll printing",
        "roll_printing",
        "roll-printing",
    }


def test_a_small_class_whose_other_spelling_is_there_is_refused_with_the_flag(tmp_path):
    photos(tmp_path, "a", "b", images=4)
    photos(tmp_path, "A", images=2)

    with pytest.raises(SteelbenchError, match=r"class 'A' has 2 .*--drop-small 3.*--join-labels joins it with 'a'"):
        inspect_dataset(read(tmp_path))


def test_one_picture_under_two_labels_is_a_caution_with_names_and_count(tmp_path):
    photos(tmp_path, "a", "b", images=6)
    for k in range(5):
        (tmp_path / "b" / f"copy{k}.jpg").write_bytes((tmp_path / "a" / f"{k:02}.jpg").read_bytes())
    (tmp_path / "a" / "again.jpg").write_bytes((tmp_path / "a" / "05.jpg").read_bytes())

    (told,) = inspect_dataset(read(tmp_path)).notices

    assert (told.code, told.level) == ("SB111", "caution")
    assert "5 pictures (equal pixels) stand under two labels: a/00.jpg ('a') and b/copy0.jpg ('b');" in told.text
    assert "and 2 more" in told.text


def test_small_classes_are_left_out_on_request_and_counted(tmp_path):
    photos(tmp_path, "a", "b", images=6)
    photos(tmp_path, "single", images=1)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SteelbenchError, match=r"class 'nothing' has 0 .*--drop-small 3"):
        inspect_dataset(read(tmp_path))

    dataset = read(tmp_path, drop_small=2)

    reason = "in a class of fewer than 2 images (--drop-small 2)"
    assert inspect_dataset(dataset, drop_small=2).counts == {"a": 6, "b": 6}
    assert dataset.left_out == {reason: 1} and dataset.passed_over == (LeftOut("single/00.jpg", reason),)
    assert inspect_dataset(dataset, drop_small=2).digest == inspect_dataset(dataset).digest


def test_a_class_that_is_small_because_an_image_is_unreadable_is_left_out_too(tmp_path):
    photos(tmp_path, "a", "b", images=30)
    photos(tmp_path, "c", images=5)
    (tmp_path / "c" / "00.jpg").write_bytes(b"x")

    dataset = read(tmp_path, drop_small=5)
    found = inspect_dataset(dataset, drop_small=5)

    assert found.counts == {"a": 30, "b": 30} and len(found.skipped) == 1
    assert left_out_counts(dataset, found) == {"in a class of fewer than 5 images (--drop-small 5)": 4}


@pytest.mark.parametrize(("least", "words"), [(5, "one class only ('a')"), (50, "50 images (--drop-small 50)")])
def test_dropping_all_but_one_class_is_refused(tmp_path, least, words):
    photos(tmp_path, "a", images=6)
    photos(tmp_path, "b", images=4)

    with pytest.raises(SteelbenchError) as caught:
        inspect_dataset(read(tmp_path, drop_small=least), drop_small=least)

    assert words in str(caught.value) and "--drop-small" in str(caught.value)
