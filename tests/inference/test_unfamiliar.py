"""The column `unfamiliar` of predict, for each score, against formulas; a model whose side file is not its own."""

import csv
import io
import json

import cv2
import numpy as np
import pytest
from scipy.special import logsumexp

from steelbench.cli.exit import main
from steelbench.evaluation.unknown import Mahalanobis, Neighbours
from steelbench.models.unfamiliar_file import unfamiliar_file, write_reference

CLASSES = ["red", "green", "blue"]
KERNEL = np.array([[2, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0, 0]], np.float32)[:3]
BIAS = np.array([0.5, 0, -0.5], np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model whose embedding is the mean of each channel, 0 to 5."""
    import keras
    from keras import layers

    from steelbench.models import saved_model

    images = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Rescaling(1 / 51)(images))
    model = keras.Model(images, layers.Dense(3, activation="softmax", name="probabilities")(x))
    model.layers[-1].set_weights([KERNEL, BIAS])
    path = tmp_path_factory.mktemp("models") / "means.h5"
    saved_model.save(model, path)
    saved_model.write_card(path, {"name": "means", "classes": CLASSES})
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Plain images, and their channels' means as the model sees them."""
    folder = tmp_path_factory.mktemp("images")
    colours = np.random.default_rng(0).integers(0, 256, (9, 3)).astype(np.uint8)
    for number, colour in enumerate(colours):
        image = np.broadcast_to(colour, (4 + number % 2, 5, 3))
        cv2.imwrite(str(folder / f"{number}.png"), image[..., ::-1])
    return folder, (colours / 51).astype(np.float32)


@pytest.fixture
def predicted(saved, images, capsys):
    card, before = saved.with_suffix(".json"), saved.with_suffix(".json").read_text()

    def run(unfamiliar=None):
        card.write_text(json.dumps(json.loads(before) | {"unfamiliar": unfamiliar}))
        assert main(["predict", str(saved), str(images[0])]) == 0
        printed = capsys.readouterr()
        return list(csv.DictReader(io.StringIO(printed.out))), printed.err

    yield run
    card.write_text(before)
    unfamiliar_file(saved).unlink(missing_ok=True)


def limit(score, threshold, **more):
    return {"score": score, "threshold": float(threshold), "flagged": 0.05, "detected": 0.5, **more}


def reference(score, vectors):
    if score == "knn":
        return Neighbours.fit(vectors, 2)
    return Mahalanobis.fit(vectors, np.arange(len(vectors)) % 3) if score == "mahalanobis" else None


@pytest.mark.parametrize("score", ["max_probability", "energy", "knn", "mahalanobis"])
def test_images_beyond_the_threshold_are_unfamiliar(saved, images, predicted, score):
    means = images[1]
    logits = means @ KERNEL + BIAS
    own = reference(score, np.random.default_rng(1).uniform(0, 5, (30, 3)).astype(np.float32))
    if own is None:
        energy = -logsumexp(logits, axis=1)
        scores = energy if score == "energy" else 1 - np.exp(logits.max(axis=1) + energy)
        more = {}
    else:
        scores = own(means)
        more = {"sha256": write_reference(unfamiliar_file(saved), own), "neighbours": 2 if score == "knn" else None}
    ordered = np.sort(scores)

    lines, err = predicted(limit(score, (ordered[4] + ordered[5]) / 2, **more))

    assert [line["unfamiliar"] for line in lines] == [str(bool(new)).lower() for new in scores > ordered[4]]
    assert sum(line["unfamiliar"] == "true" for line in lines) == 4 and not err
    shares = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    assert [line["class"] for line in lines] == [CLASSES[place] for place in shares.argmax(axis=1)]
    np.testing.assert_allclose([float(line["probability"]) for line in lines], shares.max(axis=1), atol=1e-5)


def test_without_a_threshold_the_column_is_there_and_empty(predicted):
    lines, err = predicted()

    assert [*lines[0]][:6] == ["path", "class", "probability", "reason", "uncertain", "unfamiliar"] and not err
    assert {line["unfamiliar"] for line in lines} == {""}


def test_an_unreadable_image_is_neither(saved, tmp_path, predicted, capsys):
    predicted(limit("energy", 0))
    (tmp_path / "bad.png").write_bytes(b"no image")

    assert main(["predict", str(saved), str(tmp_path / "bad.png")]) == 1

    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert line["reason"] and line["unfamiliar"] == ""


def test_a_missing_or_foreign_side_file_leaves_the_answers_and_says_so(saved, predicted):
    plain = predicted()[0]

    lines, err = predicted(limit("knn", 1, neighbours=2, sha256="0"))
    assert lines == plain and "unfamiliar stays empty" in err and "means.unfamiliar.npz" in err

    other = write_reference(unfamiliar_file(saved), Neighbours.fit(np.eye(4, dtype=np.float32), 2))
    lines, err = predicted(limit("knn", 1, neighbours=2, sha256=other))
    assert lines == plain and "3 numbers" in err and "with 4" in err


@pytest.mark.parametrize("wrong", [{"score": "magic"}, {"threshold": "NaN"}, {"neighbours": 0}])
def test_a_card_that_says_what_cannot_be_is_refused(saved, images, capsys, wrong):
    card, before = saved.with_suffix(".json"), saved.with_suffix(".json").read_text()
    card.write_text(json.dumps(json.loads(before) | {"unfamiliar": limit("knn", 1) | wrong}))

    code = main(["predict", str(saved), str(images[0])])

    card.write_text(before)
    assert code == 2 and "not a readable model card" in capsys.readouterr().err
