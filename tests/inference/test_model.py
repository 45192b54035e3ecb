"""A finished model in use: what it takes, what it refuses, and files that are not what they claim to be."""

import csv
import errno
import io
import json
import os
import shutil

import cv2
import numpy as np
import pytest
from each import each

import steelbench
from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError

CLASSES = ["=1+1", 'a,"b" <i>', "rißig"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with a card: the class of an image is its strongest channel."""
    import keras
    from keras import layers

    from steelbench.models import saved_model

    images = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Rescaling(1 / 51)(images))
    model = keras.Model(images, layers.Dense(3, activation="softmax", use_bias=False)(x))
    model.layers[-1].set_weights([np.eye(3, dtype=np.float32)])
    path = tmp_path_factory.mktemp("models") / "strongest.h5"
    saved_model.save(model, path)
    saved_model.write_card(path, {"name": "strongest", "classes": CLASSES, "bit_depth": None})
    return path


@pytest.fixture(scope="module")
def model(saved):
    return steelbench.load_model(saved)


@pytest.fixture
def copy(saved, tmp_path):
    for suffix in (".h5", ".json"):
        shutil.copy(saved.with_suffix(suffix), tmp_path)
    return tmp_path / saved.name


def pixels(height=8, width=8, channel=0, seed=0):
    image = np.random.default_rng(seed).integers(0, 100, (height, width, 3)).astype(np.uint8)
    image[..., channel] += 100
    return image


def by_hand(image):
    scores = np.exp(image.reshape(-1, 3).astype(float).mean(axis=0) / 51)
    return scores / scores.sum()


def test_probabilities_are_those_of_the_formula_for_images_of_different_sizes_in_order(model):
    images = [pixels(8, 8, 0), pixels(5, 9, 1), pixels(8, 8, 2, seed=1), pixels(1, 1, 1), pixels(1, 1, 2)]

    found = model.predict(images)

    np.testing.assert_allclose(found, [by_hand(image) for image in images], rtol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert found.dtype == np.float32 and model.classes == CLASSES


@each("form", [np.stack, list, tuple], ids=["array", "list", "tuple"])
@each("kind", ["uint8", "float32", "float64", "int64"])
def test_every_form_of_raw_pixels_gives_the_same_answer(model, form, kind):
    images = [pixels(channel=channel) for channel in (0, 1, 2)]

    found = model.predict(form([image.astype(kind) for image in images]))

    np.testing.assert_allclose(found, model.predict(images), rtol=1e-5)


def test_one_image_is_a_batch_of_one_and_many_are_no_less_than_each(model):
    images = [pixels(seed=seed) for seed in range(40)]

    single = np.concatenate([model.predict(image) for image in images])

    np.testing.assert_allclose(model.predict(images), single, rtol=1e-5)


def with_nan():
    image = pixels().astype(np.float32)
    image[2, 2, 1] = np.nan
    return image


RAW = pixels()
WRONG = {
    "scaled to 0..1": ((RAW / 255).astype(np.float32), "scaled to 0..1"),
    "standardised": ((RAW - RAW.mean()) / RAW.std(), "standardised"),
    "caffe's means taken away": (RAW.astype(float) - 120, "standardised"),
    "16 bit": (RAW.astype(np.uint16) * 257, "16-bit"),
    "NaN": (with_nan(), "NaN"),
    "infinity": (np.full((4, 4, 3), np.inf), "NaN or infinity"),
    "gray": (RAW[..., 0], "gray"),
    "gray with a channel": (RAW[..., :1], "gray"),
    "gray batch": (np.zeros((5, 8, 8)), "(height, width, 3)"),
    "with alpha": (np.zeros((8, 8, 4), np.uint8), "(height, width, 3)"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), "(height, width, 3)"),
    "no pixels": (np.zeros((0, 8, 3), np.uint8), "(height, width, 3)"),
    "five dimensions": (np.zeros((1, 1, 8, 8, 3), np.uint8), "(height, width, 3)"),
    "no image": ([], "at least one"),
    "an empty batch": (np.zeros((0, 8, 8, 3), np.uint8), "at least one"),
    "booleans": (RAW > 100, "bool"),
    "complex": (RAW * 1j, "complex"),
    "a path to nowhere": ("image.png", "image.png cannot be read"),
    "a folder": (".", "is a folder"),
    "a path among arrays": ([RAW, "image.png"], "1 of the 2 images are paths"),
    "a list of paths to nowhere": (["image.png"], "image.png cannot be read"),
    "nothing": (None, "NoneType"),
    "a dict": ({"image": RAW}, "dict"),
    "ragged": ([[[1, 2, 3], [1]]], "no rectangle"),
    "objects": (np.full((2, 2, 3), None), "object"),
    "one good, one gray": ([RAW, RAW[..., 0]], "gray"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_the_model_was_not_made_for_is_refused_with_what_to_do(model, name):
    images, word = WRONG[name]

    with pytest.raises(SteelbenchError) as error:
        model.predict(images)

    assert word in str(error.value), error.value


def test_paths_are_read_as_the_files_are(model, tmp_path, monkeypatch):
    images = [pixels(8, 8, 0), pixels(5, 9, 1), pixels(8, 8, 2, seed=1)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    expected = model.predict(images)
    monkeypatch.setattr("steelbench.inference.model.CHUNK", 2)

    np.testing.assert_array_equal(model.predict(paths), expected)
    np.testing.assert_array_equal(model.predict(tuple(map(str, paths))), expected)
    np.testing.assert_array_equal(model.predict(str(paths[1])), expected[1:2])
    np.testing.assert_array_equal(model.embed(paths), model.embed(images))


def test_dark_files_are_no_scaled_pixels(model, tmp_path):
    cv2.imwrite(str(tmp_path / "dark.png"), np.ones((4, 4, 3), np.uint8))

    assert model.predict([tmp_path / "dark.png"]).shape == (1, 3)


def test_the_error_is_had_from_the_package():
    assert steelbench.SteelbenchError is SteelbenchError


def test_a_black_image_is_no_scaled_one(model):
    assert model.predict(np.zeros((4, 4, 3), np.uint8)).shape == (1, 3)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def no_card(path):
    path.with_suffix(".json").unlink()


def text_card(path):
    path.with_suffix(".json").write_text("classes: none")


def card_without_classes(path):
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    del card["classes"]
    path.with_suffix(".json").write_text(json.dumps(card), encoding="utf-8")


def card_of_another(path):
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps(card | {"sha256": "0" * 64}), encoding="utf-8")


def card_with_fewer_classes(path):
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps(card | {"classes": ["one", "two"]}), encoding="utf-8")


def rewritten(path, **fields):
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    path.with_suffix(".json").write_text(json.dumps(card | fields), encoding="utf-8")


def doubled_class(path):
    rewritten(path, classes=["a", "b", "a"])


def deep_bits(path):
    rewritten(path, bit_depth=17)


def shallow_bits(path):
    rewritten(path, bit_depth=7)


def cut_card(path):
    text = path.with_suffix(".json").read_text(encoding="utf-8")
    path.with_suffix(".json").write_text(text[:-30], encoding="utf-8")


def deep_card(path):
    path.with_suffix(".json").write_text("[" * 100_000)


def folder_of_models(path):
    path.unlink()
    path.mkdir()
    (path / "models").mkdir()
    (path / "models" / "vgg19-softmax.h5").touch()


def text_with_a_card(path):
    from steelbench.models.saved_model import write_card

    path.write_text("not a model")
    write_card(path, {"name": "text", "classes": CLASSES})


def gone(path):
    path.unlink()


SPOILT = {
    flip: "not the file that its card describes",
    truncate: "not the file that its card describes",
    empty: "not the file that its card describes",
    card_of_another: "not the file that its card describes",
    no_card: "the card with the class names",
    text_card: ".json is not a readable",
    card_without_classes: "classes",
    card_with_fewer_classes: "names 2 classes",
    doubled_class: "names the class 'a' 2 times",
    deep_bits: "says bit_depth 17; expected 8 to 16",
    shallow_bits: "says bit_depth 7; expected 8 to 16",
    cut_card: ".json is not a readable",
    deep_card: ".json is not a readable",
    folder_of_models: "vgg19-softmax.h5",
    text_with_a_card: "cannot be loaded",
    gone: "does not exist",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_model_that_is_not_what_it_claims_is_refused_by_name(copy, tmp_path, capsys, spoil):
    cv2.imwrite(str(tmp_path / "image.png"), pixels())
    spoil(copy)

    assert main(["predict", str(copy), str(tmp_path / "image.png")]) == 2

    printed = capsys.readouterr()
    message = printed.err.splitlines()[-1]
    assert message.startswith("steelbench: ") and SPOILT[spoil] in message and not printed.out
    assert copy.stem in message
    # Nothing makes a card anew but training again.
    assert "anew" not in message and "Delete" not in message


def with_bom(data):
    return b"\xef\xbb\xbf" + data


def as_utf16(data):
    return data.decode().encode("utf-16")


def with_commas(data):
    """A comma behind the last entry of a list and of the whole; those inside of names are no such commas."""
    card = json.loads(data) | {"classes": ["a,]", 'b"\\,}', "rißig"]}
    text = json.dumps(card, ensure_ascii=False, indent=1)
    return text.replace('"rißig"\n', '"rißig",\n').removesuffix("\n}").encode() + b",\n}"


@pytest.mark.parametrize("edit", [with_bom, as_utf16, with_commas, lambda data: with_bom(with_commas(data))])
def test_a_card_that_an_editor_changed_is_read(copy, edit):
    card = copy.with_suffix(".json")
    card.write_bytes(edit(card.read_bytes()))

    found = steelbench.load_model(copy).classes

    assert found in (CLASSES, ["a,]", 'b"\\,}', "rißig"])


def test_a_folder_without_models_is_told(tmp_path, capsys):
    assert main(["predict", str(tmp_path), str(tmp_path)]) == 2
    assert "holds no image" in capsys.readouterr().err
    with pytest.raises(SteelbenchError, match="is a folder; it holds no model"):
        steelbench.load_model(tmp_path)


def test_names_with_commands_of_a_terminal_are_escaped_on_a_terminal_only(saved, tmp_path, capsys, monkeypatch):
    cv2.imwrite(str(tmp_path / "image.png"), pixels())
    hostile = tmp_path / "a\x1b[2J.png"
    (tmp_path / "image.png").rename(hostile)

    code, (line,) = predicted(capsys, saved, hostile)
    assert code == 0 and line["path"] == str(hostile)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, (line,) = predicted(capsys, saved, hostile)
    assert line["path"] == str(tmp_path / "a\\x1b[2J.png")


def predicted(capsys, *arguments):
    code = main(["predict", *map(str, arguments)])
    return code, list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_the_command_prints_each_image_with_its_class_and_probability(saved, tmp_path, capsys):
    (tmp_path / "below").mkdir()
    for channel in (0, 1, 2):
        image = pixels(6 + channel, 8, channel)
        cv2.imwrite(str(tmp_path / "below" / f'{channel}, "x".png'), image[..., ::-1])
    (tmp_path / "notes.txt").touch()

    code, lines = predicted(capsys, saved, tmp_path)

    # A name that a spreadsheet would compute has an apostrophe before it.
    assert code == 0 and [line["class"] for line in lines] == ["'=1+1", *CLASSES[1:]]
    for channel, line in enumerate(lines):
        assert line["path"].endswith(f'{channel}, "x".png') and line["reason"] == ""
        expected = by_hand(pixels(6 + channel, 8, channel)).max()
        assert float(line["probability"]) == pytest.approx(expected, abs=1e-4)


def test_answers_below_the_threshold_of_the_card_are_uncertain(saved, tmp_path, capsys):
    for channel in (0, 1):
        cv2.imwrite(str(tmp_path / f"{channel}.png"), pixels(6 + channel, 8, channel)[..., ::-1])
    sure = [by_hand(pixels(6 + channel, 8, channel)).max() for channel in (0, 1)]
    assert [line["uncertain"] for line in predicted(capsys, saved, tmp_path)[1]] == ["unknown", "unknown"]
    card = saved.with_suffix(".json")
    before = card.read_text()
    decision = {"threshold": float(np.mean(sure)), "escapes": 0.01, "confidence": 0.95, "referred": 0.1}
    card.write_text(json.dumps(json.loads(before) | {"decision": decision}))

    lines = predicted(capsys, saved, tmp_path)[1]

    card.write_text(before)
    assert [line["uncertain"] == "true" for line in lines] == [own < np.mean(sure) for own in sure]
    assert {line["uncertain"] for line in lines} == {"true", "false"}


def test_images_of_a_12_bit_camera_are_told_and_read_with_their_bit_depth(saved, tmp_path, capsys):
    eight = pixels(6, 8, 1)
    cv2.imwrite(str(tmp_path / "a.png"), eight[..., ::-1].astype("u2") * 16)

    assert main(["predict", str(saved), str(tmp_path)]) == 0
    told = capsys.readouterr().err
    code, lines = predicted(capsys, saved, tmp_path, "--bit-depth", "12")

    assert "no value of the 1 16-bit images exceeds 4095" in told and "--bit-depth 12" in told
    assert code == 0 and float(lines[0]["probability"]) == pytest.approx(by_hand(eight).max(), abs=5e-3)
    assert main(["predict", str(saved), str(tmp_path), "--bit-depth", "12"]) == 0
    assert "exceeds 4095" not in capsys.readouterr().err


def test_an_unreadable_image_has_a_row_with_the_reason_and_the_exit_code_is_1(saved, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), pixels())
    (tmp_path / "b.png").touch()
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    cv2.imwrite(str(tmp_path / "d.png"), pixels())

    code, lines = predicted(capsys, saved, tmp_path)

    assert code == 1 and [bool(line["class"]) for line in lines] == [True, False, False, True]
    assert lines[1]["reason"] == "the file is empty" and "truncated" in lines[2]["reason"]


def test_hidden_files_and_folders_are_no_images_to_predict(saved, tmp_path, capsys):
    (tmp_path / "seen" / ".thumbnails").mkdir(parents=True)
    for name in ("seen/a.png", "seen/.b.png", "seen/.thumbnails/c.png"):
        cv2.imwrite(str(tmp_path / name), pixels())

    code, lines = predicted(capsys, saved, tmp_path)

    assert code == 0 and [line["path"] for line in lines] == [str(tmp_path / "seen" / "a.png")]


def test_system_files_that_a_shell_names_are_no_images_to_predict(saved, tmp_path, capsys):
    for name in (
        "a.png",
        ".ipynb_checkpoints/a-checkpoint.png",
        "__MACOSX/x.png",
        "__MACOSX/._a.png",
        "b/._c.png",
        "b/c.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), pixels())
    (tmp_path / "Thumbs.db").touch()

    code, lines = predicted(capsys, saved, *sorted(tmp_path.iterdir()))

    assert code == 0 and [line["path"] for line in lines] == [str(tmp_path / "a.png"), str(tmp_path / "b" / "c.png")]
    assert predicted(capsys, saved, tmp_path)[1] == lines
    # Named as an image, it is meant, and so is what is named alone.
    for name in ("..x.png", ".b.png"):
        cv2.imwrite(str(tmp_path / name), pixels())
    named = [tmp_path / name for name in ("a.png", "..x.png", ".b.png")]
    assert [line["path"] for line in predicted(capsys, saved, *named)[1]] == list(map(str, named))
    hidden = tmp_path / ".ipynb_checkpoints" / "a-checkpoint.png"
    assert [line["path"] for line in predicted(capsys, saved, hidden.parent)[1]] == [str(hidden)]


@pytest.mark.parametrize(
    "arguments",
    [("predict", "{model}", "{folder}"), ("retrieve", "{model}", "--query", "{query}", "--index", "{folder}")],
)
def test_a_folder_that_may_not_be_read_is_told_and_not_passed_over(saved, tmp_path, capsys, monkeypatch, arguments):
    (tmp_path / "images" / "locked").mkdir(parents=True)
    for name in ("a.png", "locked/b.png"):
        cv2.imwrite(str(tmp_path / "images" / name), pixels())
    scandir = os.scandir

    def guarded(folder):
        # As the operating system answers everybody but root, whom tests may run as.
        if os.fspath(folder).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    names = {"model": saved, "folder": tmp_path / "images", "query": tmp_path / "images" / "a.png"}

    assert main([word.format(**names) for word in arguments]) == 2

    printed = capsys.readouterr()
    assert "locked" in printed.err and not printed.out


def test_many_images_in_pieces_give_the_same_as_each_alone(saved, tmp_path, capsys, monkeypatch):
    for number in range(9):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels(8 + number % 2, 8, number % 3, number))
    whole = predicted(capsys, saved, tmp_path)
    monkeypatch.setattr("steelbench.inference.network.BATCH", {"keras": 4, "openvino": 4})
    monkeypatch.setattr("steelbench.inference.stream.BATCH_PIXELS", 150)

    assert predicted(capsys, saved, tmp_path) == whole


@pytest.mark.parametrize(("path", "word"), [("nowhere", "does not exist"), ("", "holds no image")])
def test_images_that_are_not_there_are_refused_before_the_model_is_loaded(saved, tmp_path, capsys, path, word):
    assert main(["predict", str(saved), str(tmp_path / path)]) == 2
    assert word in capsys.readouterr().err
