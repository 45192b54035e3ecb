"""`steelbench predict`: its columns, what it takes for images, its engines, and the network that it keeps."""

import csv
import io
import json
import sys
import zipfile

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.inference import kept_network

CLASSES = ["red", "green", "blue", "gray"]
SIZE = 12


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model that resizes, as those of backbones do, with a convolution and logits of its own."""
    import keras
    from keras import layers

    from steelbench.models import saved_model

    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1)(layers.Resizing(SIZE, SIZE)(images))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(8, 3, activation="relu", name="stem")(x))
    x = layers.GlobalAveragePooling2D(name="embedding")(x)
    model = keras.Model(images, layers.Dense(4, activation="softmax", name="probabilities")(x))
    model.get_layer("norm").set_weights([np.full(8, own, np.float32) for own in (1.5, 0.2, 0.1, 0.5)])
    path = tmp_path_factory.mktemp("models") / "small.h5"
    saved_model.save(model, path)
    saved_model.write_card(path, {"name": "small", "classes": CLASSES})
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "images"
    folder.mkdir()
    random = np.random.default_rng(1)
    for number in range(20):
        cv2.imwrite(str(folder / f"{number:02}.png"), random.integers(0, 256, (20 + number % 3, 16, 3), np.uint8))
    return folder


@pytest.fixture
def predict(saved, capsys):
    def run(*arguments):
        code = main(["predict", str(saved), *map(str, arguments)])
        printed = capsys.readouterr()
        return code, list(csv.DictReader(io.StringIO(printed.out))), printed.err

    return run


def test_both_engines_give_the_answers_of_keras_in_order(predict, saved, images):
    import steelbench

    files = sorted(images.iterdir())
    expected = steelbench.load_model(saved).predict(files)

    for engine in ("keras", "openvino"):
        code, lines, err = predict(images, "--engine", engine)
        assert code == 0 and not err and [line["path"] for line in lines] == [str(file) for file in files]
        assert [line["class"] for line in lines] == [CLASSES[place] for place in expected.argmax(axis=1)]
        np.testing.assert_allclose([float(line["probability"]) for line in lines], expected.max(axis=1), atol=1e-4)
        ranked = np.argsort(-expected, axis=1)
        assert [line["third"] for line in lines] == [CLASSES[place] for place in ranked[:, 2]]


def test_the_columns_of_old_stay_first_and_top_adds_others(predict, saved, images):
    first = ["path", "class", "probability", "reason", "uncertain", "unfamiliar"]
    file = images / "00.png"

    line = predict(file)[1][0]
    assert [*line] == [*first, "second", "second_probability", "third", "third_probability", "model"]
    assert line["model"] == json.loads(saved.with_suffix(".json").read_text())["sha256"]
    assert [*predict(file, "--top", "1")[1][0]] == [*first, "model"]
    more = predict(file, "--top", "5")[1][0]
    assert more["fourth"] and more["fifth"] == more["fifth_probability"] == ""
    assert sum(float(more[name]) for name in more if name.endswith("probability") and more[name]) == pytest.approx(1)


def test_json_lines_carry_the_same(predict, saved, images, tmp_path, capsys):
    (tmp_path / "bäd\x1b.png").touch()
    code = main(["predict", str(saved), "--json", "--threshold", "0.9", str(images / "00.png"), str(tmp_path)])

    out = capsys.readouterr().out
    good, bad = map(json.loads, out.splitlines())
    assert code == 1 and out.isascii() and "\x1b" not in out
    assert good["uncertain"] is (good["probability"] < 0.9) and good["reason"] == ""
    assert bad["path"].endswith("bäd\x1b.png") and bad["class"] is None and bad["reason"] == "the file is empty"


def test_a_threshold_takes_the_place_of_the_cards(predict, images):
    sure = [float(line["probability"]) for line in predict(images)[1]]
    middle = float(np.median(sure))

    lines = predict(images, "--threshold", middle)[1]

    assert [line["uncertain"] for line in lines] == [str(own < middle).lower() for own in sure]


def test_a_pattern_in_quotes_and_a_list_on_standard_input_name_images(predict, images, tmp_path, monkeypatch):
    assert [line["path"][-6:] for line in predict(images / "1[0-2].png")[1]] == ["10.png", "11.png", "12.png"]
    assert len(predict(images.parent / "**" / "0?.png")[1]) == 10
    code, _, err = predict(images / "*.tif")
    assert code == 2 and "nothing fits the pattern" in err
    listed = [images / "03.png", tmp_path / "nowhere.png", "", images / "01.png"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\r\n" for line in listed)))

    code, lines, _ = predict("-")

    assert code == 1 and [line["path"] for line in lines] == [str(listed[0]), str(listed[1]), str(listed[3])]
    assert [line["reason"] for line in lines] == ["", "no such file", ""]


def test_an_unreadable_image_stays_in_its_place_also_last_and_alone(predict, images, tmp_path):
    (tmp_path / "a.png").touch()
    files = [tmp_path / "a.png", images / "00.png", tmp_path / "a.png", *sorted(images.iterdir()), tmp_path / "a.png"]

    code, lines, _ = predict(*files)

    assert code == 1 and [line["path"] for line in lines] == [str(file) for file in files]
    assert [bool(line["reason"]) for line in lines] == [file.parent == tmp_path for file in files]
    assert predict(tmp_path / "a.png")[1][0]["reason"] == "the file is empty"


def test_a_file_takes_the_output_whole(predict, images, tmp_path, capsys):
    out = tmp_path / "answers" / "out.csv"

    code, lines, err = predict(images, "--out", out)

    assert code == 0 and not lines and not err
    assert len(out.read_text(encoding="utf-8").splitlines()) == 21 and not [*out.parent.glob(".*")]


def test_the_second_start_takes_the_network_from_the_cache(predict, images, monkeypatch):
    first = predict(images)

    monkeypatch.setattr(kept_network, "load_model", None)

    assert predict(images) == first and len(first[1]) == 20


def test_kept_networks_are_shown_and_cleared(predict, images, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path))
    predict(images / "00.png")

    assert main(["cache", "info"]) == 0 and "networks that predict keeps" in capsys.readouterr().out
    assert main(["cache", "clear", "--older-than", "1"]) == 0 and kept_network.kept_files()
    assert main(["cache", "clear"]) == 0 and not kept_network.kept_files()


@pytest.mark.parametrize("suffix", [".xml", ".bin", ".json"])
def test_a_damaged_network_is_converted_anew(predict, images, suffix):
    whole = predict(images)
    for path in kept_network.networks_folder().glob(f"*{suffix}"):
        path.write_bytes(path.read_bytes()[:-9] + b"<damaged>")

    assert predict(images) == whole


def test_a_network_that_answers_otherwise_is_not_kept(predict, images, monkeypatch, tmp_path):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path))
    whole = predict(images, "--engine", "keras")
    monkeypatch.setattr(kept_network, "TOLERANCE", -1.0)

    code, lines, err = predict(images)
    assert code == 0 and lines == whole[1] and "Keras computes instead" in err
    assert not kept_network.networks_folder().exists()
    code, _, err = predict(images, "--engine", "openvino")
    assert code == 2 and "--engine openvino cannot be used" in err and "--engine keras" in err


def test_a_cache_that_cannot_be_written_costs_no_answer(predict, images, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "file"))

    code, lines, _ = predict(images)

    assert code == 0 and len(lines) == 20


def test_urls_are_answered_like_files(predict, images, tmp_path):
    packed = tmp_path / "images.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for path in images.iterdir():
            file.write(path, path.name)
    local = predict(images / "03.png", images)[1]

    code, lines, err = predict(images / "03.png", f"zip://::{packed.as_uri()}")

    assert code == 0 and not err and lines[0] == local[0]
    assert [line["path"] for line in lines[1:]] == [
        f"zip://{path.name}::{packed.as_uri()}" for path in sorted(images.iterdir())
    ]
    assert [{**line, "path": ""} for line in lines] == [{**line, "path": ""} for line in local]
    assert predict(f"zip://05.png::{packed.as_uri()}")[1][0]["class"] == local[6]["class"]
    for url, words in ((f"zip://x::{packed.as_uri()}", "does not exist"), ("-", "- and URLs do not go together")):
        code, lines, err = predict(f"zip://05.png::{packed.as_uri()}", url)
        assert code == 2 and not lines and words in err


def test_a_runner_that_cannot_be_used_is_refused(predict, images, monkeypatch):
    code, lines, err = predict(images, "--ray-address", "10.0.0.1:6379")
    assert code == 2 and not lines and "is for --runner ray" in err
    assert "did you mean 'ray'" in predict(images, "--runner", "rai")[2]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, lines, err = predict(images, "--runner", "ray")
    assert code == 2 and not lines and "pip install 'steelbench[cluster]', or use --runner local." in err
