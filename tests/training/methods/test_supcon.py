"""A contrastive stage and its classifier: what is dropped, what is learnt from, and that it can fail."""

import dataclasses

import numpy as np
import pytest
from feature_sets import QUICK, clusters, split_of, training_set
from image_sets import SUPCON

from steelbench.errors import SteelbenchError
from steelbench.training.loop import embedding_stage
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import supcon

SETTINGS = QUICK["supcon"]


def train(features, labels, **more):
    return supcon.train_supcon(training_set(features, labels), SETTINGS.model_copy(update=more), FitContext())


def test_second_stage_leaves_the_encoder_as_it_was(monkeypatch):
    features, labels = clusters(spread=1.5)
    seen = {}
    real = supcon.train_softmax

    def spy(data, *rest):
        seen["features"] = data.features.copy()
        return real(data, *rest)

    monkeypatch.setattr(supcon, "train_softmax", spy)
    trained = train(features, labels)

    assert np.array_equal(trained.head.embed(features), seen["features"])


def test_projection_head_is_dropped():
    features, labels = clusters()
    widths = [layer.kernel.shape for layer in train(features, labels).head.layers]

    assert widths == [(10, 16), (16, 16), (16, 3)]


def test_validation_is_not_in_class_order():
    data = training_set(*clusters())
    (_, train_labels), (_, labels) = data.train, data.validation

    batches = supcon.contrastive_batches(train_labels, len(labels), SETTINGS, 0)

    assert (np.diff(labels) >= 0).all()
    assert all(len(np.unique(labels[rows])) > 1 for rows in batches.validation)


# Each projection and each loss once: the loss does not see how its embeddings were projected.
@pytest.mark.parametrize(("projection", "loss"), [("relu", "supcon"), ("linear", "npairs"), ("mlp", "supcon")])
def test_every_projection_and_loss_learns(projection, loss):
    features, labels = clusters(spread=1.0)
    trained = train(features, labels, projection=projection, loss=loss, epochs=4)

    losses = [line.loss for line in trained.fits["contrastive"].history]
    assert losses[-1] < losses[0]


def test_a_loss_that_is_no_number_stops_the_run():
    features, labels = clusters()

    with pytest.raises(SteelbenchError, match="loss became"):
        train(features, labels, learning_rate=1e30, projection="linear")


def test_a_batch_holds_every_view_of_its_images():
    labels = np.arange(40) % 4
    one, three = (
        supcon.contrastive_batches(labels, 8, SETTINGS.model_copy(update={"views": views}), 5) for views in (1, 3)
    )

    for rows, wide in zip(one.train(2), three.train(2), strict=True):
        assert wide.tolist() == [row + 40 * view for view in range(3) for row in rows]
    assert [rows.tolist() for rows in one.validation] == [rows.tolist() for rows in three.validation]


def test_the_contrastive_stage_learns_from_the_views_alone(monkeypatch):
    features, labels = clusters()
    seen = {}
    real = embedding_stage.fit

    def spy(model, x, y, held_out, *rest, **more):
        seen.update(x=x, y=y, validation=held_out[0])
        return real(model, x, y, held_out, *rest, **more)

    monkeypatch.setattr(embedding_stage, "fit", spy)
    settings, split = SETTINGS.model_copy(update={"views": 2}), split_of(len(labels))
    views = np.stack([features + 1, features - 2, features])
    supcon.train_supcon(training_set(features, labels, views=views), settings, FitContext())

    # Standardising is one stretch and shift for each feature: the two views stay 3 apart, in its unit.
    first, second = np.split(seen["x"], 2)
    unit = (first - second) / 3
    np.testing.assert_allclose(unit, np.broadcast_to(unit[0], unit.shape), rtol=1e-3)
    assert seen["y"].tolist() == [*labels[split.train], *labels[split.train]]
    assert len(seen["validation"]) == len(split.validation)


def test_each_view_of_a_batch_is_another_picture_of_the_same_images(images, monkeypatch):
    seen = []
    real = supcon.fit

    def spy(model, x, y, *rest, batches, score):
        rows = batches.train(0)[0]
        seen.append((x.take(rows, 0), y[rows]))
        return real(model, x, y, *rest, batches=batches, score=score)

    monkeypatch.setattr(supcon, "fit", spy)
    settings = SUPCON.model_copy(update={"views": 2, "epochs": 1})
    supcon.train_supcon_on_images(dataclasses.replace(images, preset="light"), settings, FitContext())

    [(pixels, labels)] = seen
    (one, other), (left, right) = np.split(pixels, 2), np.split(labels, 2)
    assert len(one) == settings.batch_size and left.tolist() == right.tolist()
    assert all(not np.array_equal(*pair) for pair in zip(one, other, strict=True))
