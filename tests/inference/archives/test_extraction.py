"""`steelbench extract`: every image once, whatever happened before; Ray and the network are played here."""

import json
import os
import re
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from inference_archives import play

from steelbench.cli.exit import main

UNREADABLE = {"b/empty.png": "empty", "text.bmp": "no image", "truncated.jpg": ""}
STRANGE = ["=cmd().png", "a#1,2,3,4.png", "b/c d/é.png", "'-1.png"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """39 images and 3 files that are none, beside a CSV."""
    folder = tmp_path_factory.mktemp("archive")
    rng = np.random.default_rng(0)
    for name in (*(f"{number:02}.png" for number in range(32)), *STRANGE, "copies/1.png", "copies/2.png", "z.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), rng.integers(0, 256, (40, 36), np.uint8))
    shutil.copy(folder / "copies/1.png", folder / "copies/2.png")
    (folder / "b/empty.png").touch()
    (folder / "text.bmp").write_text("no image")
    (folder / "truncated.jpg").write_bytes((folder / "z.jpg").read_bytes()[:300])
    (folder / "labels.csv").write_text("path,label\n00.png,a\n")
    return folder


@pytest.fixture
def extract(data, tmp_path, capsys):
    def run(*more, out="out", source=data):
        arguments = ["--data", source, "--backbone", "mobilenet_v2_035", "--out", tmp_path / out]
        code = main(["extract", *map(str, [*arguments, *OPTIONS, *more])])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


OPTIONS = ("--weights", "random", "--image-size", "32", "--engine", "keras")


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The folder of a command that nothing happened to."""
    out = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        play(patch)
        assert (
            main(["extract", "--data", str(data), "--backbone", "mobilenet_v2_035", "--out", str(out), *OPTIONS]) == 0
        )
    return out


def test_every_image_is_a_row_and_what_cannot_be_read_has_a_reason(undisturbed, data):
    table = pd.read_parquet(undisturbed)

    assert sorted(table["path"]) == sorted(
        path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file() and path.suffix != ".csv"
    )
    bad = table[table["reason"] != ""]
    assert set(bad["path"]) == set(UNREADABLE) and bad["embedding"].isna().all()
    assert all(words in bad.set_index("path")["reason"][path] for path, words in UNREADABLE.items())
    assert set(STRANGE) <= set(table["path"])
    good = table[table["reason"] == ""].set_index("path")
    assert good["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    vectors = np.stack(good["embedding"])
    assert vectors.shape == (39, 8) and np.isfinite(vectors).all() and len(np.unique(vectors, axis=0)) == 38
    np.testing.assert_array_equal(good["embedding"]["copies/1.png"], good["embedding"]["copies/2.png"])


def test_an_embedding_is_what_the_encoder_computes(undisturbed, data):
    """Of images in other batches, by plain Keras."""
    from image_sets import small_encoder

    from steelbench.data.images import read_image
    from steelbench.models.pretrained import calibrate

    record = json.loads((undisturbed / "_extract.json").read_text())
    encoder = small_encoder()
    images = [cv2.resize(read_image(data / own["path"]).astype(np.float32), (32, 32)) for own in record["calibration"]]
    calibrate(encoder, np.stack(images))
    table = pd.read_parquet(undisturbed).set_index("path")
    for path in ("z.jpg", "b/c d/é.png"):
        expected = encoder(read_image(data / path)[None].astype(np.float32)).numpy()[0]
        np.testing.assert_allclose(table["embedding"][path], expected, rtol=1e-4, atol=1e-5)


def test_one_line_says_what_there_is(extract, monkeypatch, tmp_path):
    play(monkeypatch)

    code, out, err = extract()

    assert code == 0
    assert re.fullmatch(
        rf"42 images, 3 unreadable; 42 of them now in [\d.]+ seconds, [\d.]+ images/s: {tmp_path / 'out'}\n", out
    )
    assert "listing images below" in err and "images through mobilenet_v2_035 (42)" in err
    code, out, err = extract()
    assert code == 0 and out.startswith("42 images, 3 unreadable; 0 of them now") and "42 images are in" in err


def test_a_stopped_command_goes_on_and_ends_with_the_same_bytes(extract, monkeypatch, tmp_path, undisturbed):
    out = tmp_path / "out"
    numbers = play(monkeypatch, stop_after=2)
    code, _, _ = extract()
    assert code == 1 and len(bytes_of(out)) == 2
    (out / ".part-000003-0a1b2c3d.parquet").write_bytes(b"half a part")

    again = play(monkeypatch)
    assert extract()[0] == 0

    assert not set(numbers) & set(again) and len(numbers) + len(again) == 6
    assert bytes_of(out) == bytes_of(undisturbed)
    assert not [path for path in out.glob(".*") if path.name != ".lock"]


def test_a_damaged_part_is_made_anew(extract, monkeypatch, tmp_path, undisturbed):
    out = shutil.copytree(undisturbed, tmp_path / "out")
    whole = (out / "part-000002.parquet").read_bytes()
    (out / "part-000002.parquet").write_bytes(whole[: len(whole) // 2])
    shutil.copy(out / "part-000001.parquet", out / "part-000009.parquet")
    numbers = play(monkeypatch)

    code, _, err = extract()

    assert code == 0 and numbers == [2] and bytes_of(out) == bytes_of(undisturbed)
    assert "part-000002.parquet is damaged" in err and "part-000009.parquet is damaged (it holds images of" in err


def test_new_images_are_added_and_old_rows_stay(extract, monkeypatch, tmp_path, data, undisturbed):
    source = shutil.copytree(data, tmp_path / "source")
    play(monkeypatch)
    assert extract(source=source)[0] == 0
    before = bytes_of(tmp_path / "out")
    shutil.copy(source / "00.png", source / "!first.png")
    (source / "z.jpg").unlink()

    play(monkeypatch)
    code, out, _ = extract(source=source)

    assert code == 0 and out.startswith("43 images, 3 unreadable; 1 of them now")
    assert before.items() <= bytes_of(tmp_path / "out").items()
    table = pd.read_parquet(tmp_path / "out").set_index("path")
    # Random weights still come from the images of the first start.
    np.testing.assert_array_equal(table["embedding"]["!first.png"], table["embedding"]["00.png"])
    assert "z.jpg" in table.index and table.index.is_unique


def test_random_weights_need_the_images_that_they_came_from(extract, monkeypatch, tmp_path, data):
    source = shutil.copytree(data, tmp_path / "source")
    play(monkeypatch, stop_after=1)
    extract(source=source)
    shutil.copy(source / "31.png", source / "00.png")

    play(monkeypatch)
    code, _, err = extract(source=source)

    assert code == 2 and "00.png below" in err and "has changed" in err


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--backbone", "mobilenet_v2"), "the backbone mobilenet_v2_035, this command has mobilenet_v2"),
        (("--image-size", "64"), "the image size 32, this command has 64"),
        (("--bit-depth", "12"), "the bit depth None, this command has 12"),
        (("--precision", "bfloat16"), "the precision float32, this command has bfloat16"),
        (("--engine", "openvino"), "the engine keras, this command has openvino"),
    ],
)
def test_other_embeddings_do_not_go_into_the_same_folder(more, words, extract, tmp_path, undisturbed):
    shutil.copytree(undisturbed, tmp_path / "out")

    code, _, err = extract(*more)

    assert code == 2 and words in err and "--out" in err and err.count("\n") == 1


def test_other_weights_and_other_images_do_not_either(extract, tmp_path, undisturbed, tiny_images):
    out = shutil.copytree(undisturbed, tmp_path / "out")
    code, _, err = extract(source=tiny_images())
    assert code == 2 and "holds embeddings with images of" in err
    record = json.loads((out / "_extract.json").read_text())
    record["embedded"]["weights"] = {"kind": "imagenet", "file": "x.h5", "md5": "0"}
    (out / "_extract.json").write_text(json.dumps(record))
    code, _, err = extract()
    assert code == 2 and "weights imagenet x.h5 0, this command has random" in err
    record["embedded"] |= {"weights": {"kind": "random"}, "engine": "gone", "engine_version": "1"}
    (out / "_extract.json").write_text(json.dumps(record))
    assert "the engine's version 1, this command has none" in extract()[2]
    (out / "_extract.json").write_text("{")
    assert "is damaged" in extract()[2]
    (out / "_extract.json").unlink()
    assert "holds parts, but no _extract.json" in extract()[2]


def test_a_node_that_computes_otherwise_ends_the_command(extract, monkeypatch, tmp_path, undisturbed):
    out = shutil.copytree(undisturbed, tmp_path / "out")
    (out / "part-000000.parquet").unlink()
    play(monkeypatch)
    monkeypatch.setattr("steelbench.models.pretrained.digest", lambda encoder: "other")

    code, _, err = extract()

    assert code == 2 and "a node computes with weights" in err and not (out / "part-000000.parquet").exists()


def test_two_commands_do_not_write_into_one_folder(extract, tmp_path):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        code, _, err = extract()

    assert code == 2 and "another steelbench run is writing to" in err and "--out" in err


def test_what_holds_no_image_is_refused(extract, tmp_path, data):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "x.csv").touch()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.png").touch()
    for source, words in (
        (tmp_path / "empty", "holds no image; expected files that end in .bmp"),
        (tmp_path / "bad", "none of the 1 images below"),
        (tmp_path / "nowhere", "does not exist; name a folder of images, or the URL"),
        (data / "labels.csv", "is a file; name a folder"),
        ("nothing://x", "nothing://x cannot be opened"),
    ):
        code, out, err = extract(source=source)
        assert code == 2 and not out and words in err, err
    code, _, err = extract("--out", "s3://bucket/features")
    assert code == 2 and "is a URL; the parts are written to a local folder" in err
    assert "is an ensemble" in extract("--backbone", "vgg19+xception")[2]
    assert "did you mean 'vgg19'" in extract("--backbone", "vgg18")[2]


def test_a_name_that_is_no_utf8_is_a_row(extract, monkeypatch, tmp_path, data):
    source = shutil.copytree(data, tmp_path / "source")
    shutil.copy(source / "00.png", os.fsencode(source) + b"/\xff.png")
    play(monkeypatch)

    for _ in range(2):
        assert extract(source=source)[0] == 0
    table = pd.read_parquet(tmp_path / "out").set_index("path")
    assert table["reason"]["\\xff.png"].startswith("its name is not valid UTF-8") and table.index.is_unique


def test_without_the_extra_it_says_what_to_install(extract, monkeypatch, tmp_path):
    from steelbench.inference.archives import shards

    monkeypatch.setattr(shards.importlib.util, "find_spec", lambda name: None if name == "ray" else object())

    code, _, err = extract()

    assert code == 2 and not (tmp_path / "out").exists()
    assert err == (
        "steelbench: steelbench extract needs the package ray, which is not installed; pip install "
        "'steelbench[cluster]'.\n"
    )


def test_parts_grow_with_the_archive():
    from steelbench.inference.archives.extraction import _part_images

    assert [_part_images(images) for images in (1, 256_000, 256_001, 1_000_000, 10_000_000)] == [
        256, 256, 512, 1024, 2048,
    ]  # fmt: skip
