"""`steelbench evaluate`, and `diff` of two models: scores by hand, unknown classes, images of the training set."""

import csv
import json

import cv2
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data.inspection import inspect_samples
from steelbench.data.samples import Sample
from steelbench.evaluation.statistics.intervals import proportion_interval
from steelbench.models.model_card import read_card_file
from steelbench.models.training_digests import DIGITS, MOST_IMAGES, read_training_digests, training_digests

CLASSES = ["blue", "green", "red"]


def strongest(path, order):
    """Save a model that names the strongest channel; `order` are the classes of red, green and blue."""
    import keras
    from keras import layers

    from steelbench.models import saved_model

    images = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Rescaling(1 / 51)(images))
    model = keras.Model(images, layers.Dense(3, activation="softmax", use_bias=False)(x))
    model.layers[-1].set_weights([np.eye(3, dtype=np.float32)[:, [order.index(name) for name in CLASSES]]])
    saved_model.save(model, path)
    saved_model.write_card(path, {"name": path.stem, "classes": CLASSES})
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return strongest(folder / "good.h5", ["red", "green", "blue"]), strongest(
        folder / "bad.h5", ["red", "blue", "green"]
    )


@pytest.fixture
def data(tmp_path):
    """Eight images of each of three classes, two of them called by the channel that they have least of."""
    random = np.random.default_rng(0)
    for channel, label in enumerate(["red", "green", "blue"]):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(8):
            image = random.integers(0, 90, (9, 9, 3), np.uint8)
            shown = channel if label != "red" or number > 1 else 2
            image[..., shown] += 120
            cv2.imwrite(str(tmp_path / "data" / label / f"{number}.png"), image[..., ::-1])
    return tmp_path / "data"


def evaluate(capsys, model, data, *words):
    code = main(["evaluate", str(model), "--data", str(data), *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def written(capsys, model, data, out, *words):
    code, printed, err = evaluate(capsys, model, data, "--out", out, *words)
    assert code == 0, err
    return json.loads((out / "evaluation.json").read_text(encoding="utf-8")), printed


def test_scores_are_those_of_the_counts(capsys, models, data, tmp_path):
    found, out = written(capsys, models[0], data, tmp_path / "out")

    sure = proportion_interval(22 / 24, found["n_effective"])
    assert found["accuracy"] == found["accuracy_all"] == pytest.approx(22 / 24)
    assert (found["accuracy_low"], found["accuracy_high"]) == pytest.approx((sure.low, sure.high))
    assert found["confusion"] == [[8, 0, 0], [0, 8, 0], [2, 0, 6]] and found["audited"]
    assert {own["name"]: own["recall"] for own in found["per_class"]} == {"blue": 1, "green": 1, "red": 0.75}
    assert "91.7 %" in out and "red/0.png: red, named blue" in out and "red/1.png" in out
    with (tmp_path / "out" / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["path", "label", "predicted", "p_blue", "p_green", "p_red"]
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows) and len(rows) == 24
    page = (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")
    assert "red/0.png" in page and "91.7 %" in page and (tmp_path / "out" / "confusion.png").stat().st_size


def test_a_class_that_the_model_does_not_know_is_told_apart(capsys, models, data, tmp_path):
    (data / "green").rename(data / "Green ")
    (data / "blue").rename(data / "scale <b>")

    found, out = written(capsys, models[0], data, tmp_path / "out")

    assert found["unknown_classes"] == {"Green ": 8, "scale <b>": 8} or found["unknown_classes"]["scale <b>"] == 8
    assert found["accuracy"] == pytest.approx(6 / 8) and found["accuracy_all"] == pytest.approx(6 / 24)
    assert found["named_as"] == {"green": 8, "blue": 8} and found["missing_classes"] == ["blue", "green"]
    assert "does not know" in out and "may be the model's 'green'" in out
    assert "scale <b>" not in (tmp_path / "out" / "evaluation.html").read_text(encoding="utf-8")


def test_no_class_in_common_is_a_mistake(capsys, models, data):
    for label in ("red", "green", "blue"):
        (data / label).rename(data / f"{label}-2")

    code, out, err = evaluate(capsys, models[0], data)

    assert code == 2 and "knows none of the classes" in err and "blue, green, red" in err and not out


def test_an_unreadable_image_is_counted_and_the_exit_code_is_1(capsys, models, data):
    (data / "red" / "9.png").touch()

    code, out, _ = evaluate(capsys, models[0], data)

    assert code == 1 and "1 image cannot be read: the file is empty (1)" in out


@pytest.fixture
def carrying(models, data):
    """The good model, whose card says that it learned from four of the images."""
    model, card = models[0], models[0].with_suffix(".json")
    before = card.read_text(encoding="utf-8")
    learned = [Sample(f"{label}/{number}.png", label) for label in ("red", "green") for number in (0, 5)]
    digests = [image.pixels_digest for image in inspect_samples(data, learned, None)[0]]
    card.write_text(json.dumps(json.loads(before) | {"training_digests": training_digests(digests)}), encoding="utf-8")
    yield model
    card.write_text(before, encoding="utf-8")


def test_images_that_the_model_learned_from_are_counted_and_left_out(capsys, carrying, data, tmp_path):
    # Another name and another format keep the pixels.
    cv2.imwrite(str(data / "green" / "copy.bmp"), cv2.imread(str(data / "green" / "5.png")))

    found, out = written(capsys, carrying, data, tmp_path / "all")
    assert found["learned"] == 5 and found["images"] == 25 and "the scores are too high" in out
    found, out = written(capsys, carrying, data, tmp_path / "new", "--unseen")
    assert (found["learned"], found["left_out"], found["images"]) == (5, 5, 20)
    assert found["accuracy"] == pytest.approx(19 / 20) and "left out" in out
    assert "green/copy.bmp" not in (tmp_path / "new" / "predictions.csv").read_text(encoding="utf-8")


def test_a_card_that_does_not_say_what_it_learned_from_leaves_nothing_out(capsys, models, data):
    assert "does not say which images it learned from" in evaluate(capsys, models[0], data)[1]
    code, _, err = evaluate(capsys, models[0], data, "--unseen")
    assert code == 2 and "--unseen cannot leave them out" in err


def test_digests_on_a_card_are_bounded_and_read_back(models):
    card = read_card_file(models[0].with_suffix(".json"))
    digests = [f"{number:064x}"[::-1] for number in range(9)]

    own = card.model_copy(update={"training_digests": training_digests([*digests, digests[0]])})

    assert read_training_digests(own) == {digest[:DIGITS] for digest in digests}
    assert training_digests([]) is training_digests(["", ""]) is None
    assert training_digests(f"{number:064d}"[::-1] for number in range(MOST_IMAGES + 1)) is None


@pytest.mark.parametrize("digests", [None, 7, "", "0" * 15, "0" * 17, "G" * 16, ["0" * 16], "\u0660" * 16])
def test_digests_that_are_none_are_as_if_they_were_not_there(models, digests):
    card = read_card_file(models[0].with_suffix(".json"))
    field = {**training_digests(["0" * 64]), "digests": digests}

    assert read_training_digests(card.model_copy(update={"training_digests": field})) is None
    assert read_training_digests(card.model_copy(update={"training_digests": digests})) is None


def test_two_models_are_compared_on_the_same_images(capsys, models, data):
    assert main(["diff", *map(str, models), "--data", str(data)]) == 0

    out = capsys.readouterr().out
    # Of 22 right answers 16 are of green or blue, which the other model takes for each other.
    line = next(line for line in out.splitlines() if line.startswith("good.h5 -> bad.h5"))
    assert line.split()[3:] and line.split()[-3:] == ["0", "16", "24"]
    assert "right in A, wrong in B (16)" in out and "and 6 more" in out
