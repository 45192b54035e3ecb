"""Methods that classify by an embedding on cached features: what they learn and fold, and the faults they lack."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import Arcface, Knn, Supcon, Triplet
from steelbench.models.head import Scaling, Unit
from steelbench.training.loop import embedding_stage
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods import arcface, supcon, triplet
from steelbench.training.methods.knn import train_knn

SETTINGS = {
    "knn": Knn(),
    "triplet": Triplet(epochs=4, batch_size=16, embedding=8, learning_rate=0.003, images_per_class=4),
    "arcface": Arcface(epochs=6, batch_size=16, embedding=8, learning_rate=0.01, warmup_epochs=1),
    "supcon": Supcon(
        epochs=3, batch_size=16, adapter=16, projection_dim=8, hidden=16, classifier_epochs=4, learning_rate=0.01,
        classifier_learning_rate=0.01,
    ),
}  # fmt: skip
TRAIN = {
    "knn": train_knn,
    "triplet": triplet.train_triplet,
    "arcface": arcface.train_arcface,
    "supcon": supcon.train_supcon,
}
PAIRS = SETTINGS["triplet"].model_copy(update={"mining": "pairs"})
EMBEDDED = ("triplet", "arcface", "supcon")


def clusters(n=120, dim=10, classes=3, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(n) % classes)  # in class order, as folders are read
    centres = 2 * rng.standard_normal((classes, dim))
    features = 5 + (centres[labels] + spread * rng.standard_normal((n, dim))) * rng.uniform(0.1, 10, dim)
    return features.astype(np.float32), labels


def split_of(n, seed=0):
    train, validation, test = np.split(np.random.default_rng(seed).permutation(n), [n * 6 // 10, n * 8 // 10])
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def training_set(features, labels, **more):
    split = split_of(len(labels))
    return TrainingSet(features=features, labels=labels, num_classes=int(labels.max()) + 1, split=split, **more)


def train(method, features, labels, context=None, **more):
    settings = SETTINGS[method].model_copy(update=more)
    return TRAIN[method](training_set(features, labels), settings, context or FitContext())


def arrays(head):
    return [array for layer in head.layers if not isinstance(layer, Unit) for array in (layer.kernel, layer.bias)]


@pytest.mark.parametrize("method", TRAIN)
def test_separable_features_are_learnt(method):
    features, labels = clusters()
    rows = split_of(len(labels)).test

    probabilities = train(method, features, labels).head(features[rows])

    assert np.mean(probabilities.argmax(axis=1) == labels[rows]) == 1
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("method", TRAIN)
def test_the_same_seed_gives_the_same_head_alone_and_after_others(method):
    features, labels = clusters(spread=1.5)
    alone = train(method, features, labels, FitContext(seed=3))
    train(method, features[::-1].copy(), labels, FitContext(seed=1))
    after = train(method, features, labels, FitContext(seed=3))

    assert all(np.array_equal(a, b) for a, b in zip(arrays(alone.head), arrays(after.head), strict=True))
    assert alone.fits == after.fits


@pytest.mark.parametrize("method", TRAIN)
def test_test_images_change_nothing(method):
    features, labels = clusters(spread=1.5)
    rows = split_of(len(labels)).test
    other = features.copy()
    other[rows] = 100
    relabelled = labels.copy()
    relabelled[rows] = 0

    one, another = train(method, features, labels), train(method, other, relabelled)

    assert all(np.array_equal(a, b) for a, b in zip(arrays(one.head), arrays(another.head), strict=True))


@pytest.mark.parametrize("method", TRAIN)
def test_features_that_are_no_numbers_are_refused(method):
    features, labels = clusters()
    features[split_of(len(labels)).train[0], 2] = np.nan

    with pytest.raises(SteelbenchError, match="NaN"):
        train(method, features, labels)


@pytest.mark.parametrize("method", EMBEDDED)
def test_an_interrupted_run_ends_as_one_that_was_not(method, tmp_path):
    features, labels = clusters(spread=1.5)
    whole = train(method, features, labels, FitContext(seed=2))
    stages = list(whole.fits)
    for stop_at in range(1, 4):

        def kill(done, stop=stop_at):
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(method, features, labels, FitContext(seed=2, state=tmp_path, save_seconds=0, progress=kill))
        again = train(method, features, labels, FitContext(seed=2, state=tmp_path, save_seconds=0))
        for path in tmp_path.iterdir():
            path.unlink()

        assert list(again.fits) == stages and again.fits == whole.fits
        assert all(np.array_equal(a, b) for a, b in zip(arrays(again.head), arrays(whole.head), strict=True))


def test_knn_with_a_low_temperature_is_the_nearest_neighbour():
    features, labels = clusters(spread=2.5)
    split = split_of(len(labels))
    head = train("knn", features, labels, temperature=(0.0005,)).head
    oracle = KNeighborsClassifier(1, metric="cosine").fit(features[split.train], labels[split.train])

    assert np.array_equal(head(features[split.test]).argmax(axis=1), oracle.predict(features[split.test]))


def test_knn_weighs_every_training_image_by_its_cosine():
    features, labels = clusters(n=30, spread=2.0)
    split = split_of(30)
    head = train("knn", features, labels, temperature=(0.1,)).head

    for row in split.test:
        weights = {}
        for other in split.train:
            a, b = features[row].astype(float), features[other].astype(float)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            weights[labels[other]] = weights.get(labels[other], 0) + np.exp(cosine / 0.1)
        expected = np.array([weights.get(label, 0) for label in range(3)]) / sum(weights.values())
        np.testing.assert_allclose(head(features[[row]])[0], expected, atol=1e-4)


def test_knn_keeps_no_more_than_it_is_told_and_some_of_each_class():
    features, labels = clusters(n=120)
    trained = train("knn", features, labels, most=12)

    assert trained.notes["kept"] <= 12
    assert (trained.head.layers[-1].kernel.sum(axis=0) >= 1).all()


def test_pairs_lie_one_behind_the_other_half_of_them_of_one_class():
    data = training_set(*clusters())
    batches = triplet.triplet_batches(data, PAIRS, 0)

    for labels, left, right in pairs_of(batches, data, data.labels):
        same = labels[left] == labels[right]
        assert (left != right).all() and same.tolist() == [True, False] * (len(same) // 2)
    assert not np.array_equal(batches.train(0), batches.train(1))


def pairs_of(batches, data, values):
    """The values of each part's images, and the rows to the left and to the right of its pairs."""
    for rows, chosen in [(data.split.train, batches.train(0)), (data.split.train, batches.train(1)),
                         (data.split.validation, batches.validation)]:  # fmt: skip
        flat = np.concatenate(chosen)
        yield values[rows], flat[0::2], flat[1::2]


def sharing_a_group(data, groups):
    """Count the pairs of the method's batches that have two images of one of these groups."""
    batches = triplet.triplet_batches(data, PAIRS, 0)
    return sum(int(np.sum(of[left] == of[right])) for of, left, right in pairs_of(batches, data, groups))


def test_no_pair_of_a_batch_has_two_images_of_one_group():
    features, labels = clusters()
    # Six groups in a class: as frames of which several images were cut.
    groups = 6 * labels + np.random.default_rng(0).integers(0, 6, len(labels))
    data = training_set(features, labels, groups=groups)

    assert sharing_a_group(data, groups) == 0
    assert sharing_a_group(dataclasses.replace(data, groups=None), groups) > 10


def test_pairs_that_validation_images_cannot_make_are_refused():
    features, labels = clusters()
    data = training_set(features, labels)
    groups = np.arange(len(labels))
    groups[data.split.validation] = labels[data.split.validation] + 1000

    with pytest.raises(SteelbenchError, match="none of the 3 classes has two validation images"):
        triplet.train_triplet(dataclasses.replace(data, groups=groups), PAIRS, FitContext())


def test_soft_pairs_are_refused():
    with pytest.raises(SteelbenchError, match=r"triplet\.soft is for triplets"):
        Triplet(mining="pairs", soft=True)


@pytest.mark.parametrize(
    ("mining", "soft"),
    [*((name, soft) for name in ("batch_all", "batch_hard", "semihard") for soft in (False, True)), ("pairs", False)],
)
def test_every_triplet_mining_brings_classes_apart(mining, soft):
    features, labels = clusters(spread=2.0)
    trained = train("triplet", features, labels, mining=mining, soft=soft, epochs=8)

    losses = [line.loss for line in trained.fits["embedding"].history]
    assert losses[-1] < losses[0]


def test_triplet_classifies_by_the_cosine_to_the_centroids_of_the_training_images():
    features, labels = clusters(spread=2.0)
    split, trained = split_of(len(labels)), train("triplet", features, labels)
    z = trained.head.embed(features)
    means = np.stack([z[split.train][labels[split.train] == label].mean(axis=0) for label in range(3)])
    cosines = z @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    logits = trained.notes["scale"] * cosines[split.test].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    np.testing.assert_allclose(trained.head(features[split.test]), expected, atol=1e-5)


def test_arcface_head_is_its_network_without_the_margin():
    features, labels = clusters(spread=2.0)
    settings, split = SETTINGS["arcface"], split_of(len(labels))
    trained = train("arcface", features, labels)
    steps = math.ceil(len(split.train) / settings.batch_size)
    model = arcface._arcface_model(10, 3, settings, steps).model

    x = Scaling.fit(features[split.train]).apply(features)
    cosines = keras.ops.convert_to_numpy(model(x, training=False)).astype(float)
    expected = np.exp(settings.scale * cosines)
    np.testing.assert_allclose(trained.head(features), expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert np.abs(cosines).max() <= 1 + 1e-5


def test_second_stage_leaves_the_encoder_as_it_was(monkeypatch):
    features, labels = clusters(spread=1.5)
    seen = {}
    real = supcon.train_softmax

    def spy(data, *rest):
        seen["features"] = data.features.copy()
        return real(data, *rest)

    monkeypatch.setattr(supcon, "train_softmax", spy)
    trained = train("supcon", features, labels)

    assert np.array_equal(trained.head.embed(features), seen["features"])


def test_projection_head_is_dropped():
    features, labels = clusters()
    widths = [layer.kernel.shape for layer in train("supcon", features, labels).head.layers]

    assert widths == [(10, 16), (16, 16), (16, 3)]


@pytest.mark.parametrize("method", ["triplet", "supcon"])
def test_validation_is_not_in_class_order(method):
    data = training_set(*clusters())
    (_, train_labels), (_, labels) = data.train, data.validation
    batches = {
        "triplet": lambda settings: triplet.triplet_batches(data, settings, 0),
        "supcon": lambda settings: supcon.contrastive_batches(train_labels, len(labels), settings, 0),
    }[method](SETTINGS[method])

    assert (np.diff(labels) >= 0).all()
    assert all(len(np.unique(labels[rows])) > 1 for rows in batches.validation)


@pytest.mark.parametrize("projection", ["relu", "linear", "mlp"])
@pytest.mark.parametrize("loss", ["supcon", "npairs"])
def test_every_projection_and_loss_learns(projection, loss):
    features, labels = clusters(spread=1.0)
    trained = train("supcon", features, labels, projection=projection, loss=loss, epochs=4)

    losses = [line.loss for line in trained.fits["contrastive"].history]
    assert losses[-1] < losses[0]


def test_temperature_is_the_settings_own():
    features, labels = clusters(spread=1.0)
    cold, warm = (train("supcon", features, labels, temperature=t).fits["contrastive"] for t in (0.05, 0.5))

    assert cold.history[0].loss != warm.history[0].loss


def test_collapse_is_told():
    rng = np.random.default_rng(0)
    same = np.tile(rng.standard_normal(8), (20, 1)) + 1e-4 * rng.standard_normal((20, 8))

    with pytest.raises(SteelbenchError, match="collapsed"):
        embedding_stage.refuse_collapse(same.astype(np.float32))
    embedding_stage.refuse_collapse(rng.standard_normal((20, 8)).astype(np.float32))


def test_collapse_stops_the_run():
    data, settings = training_set(*clusters()), SETTINGS["triplet"]
    batches = triplet.triplet_batches(data, settings, 0)
    model = triplet._triplet_model(10, settings, len(batches.train(0))).model

    def same_for_all(samples):
        return np.ones((len(samples), 8), np.float32)

    with pytest.raises(SteelbenchError, match="collapsed"):
        embedding_stage.fit_embedding(model, same_for_all, data, settings, FitContext(), batches)


def test_a_loss_that_is_no_number_stops_the_run():
    features, labels = clusters()

    with pytest.raises(SteelbenchError, match="loss became"):
        train("supcon", features, labels, learning_rate=1e30, projection="linear")


def test_batches_without_a_positive_stop_the_run():
    labels = np.arange(40)

    with pytest.raises(SteelbenchError, match="no two images of one class"):
        embedding_stage.refuse_batches_without_positives(labels, [np.arange(8)] * 3)
    embedding_stage.refuse_batches_without_positives(labels // 2, [np.arange(8)] * 3)


def test_knn_accuracy_counts_no_image_as_its_own_neighbour():
    # Two of the three other images are of the other class; an image that counted itself would be right half the time.
    train = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]], np.float32)
    labels = np.array([0, 1, 0, 1])
    own, _ = embedding_stage.knn_accuracy(train, labels, train, labels)

    assert own == 0


def test_knn_accuracy_of_validation_images_is_that_of_their_nearest_training_images():
    train = np.array([[1, 0]] * 6 + [[0, 1]] * 6, np.float32)
    validation = np.array([[1, 0.1], [0.9, 0], [0.1, 1], [0, 0.9]], np.float32)
    own, found = embedding_stage.knn_accuracy(train, np.repeat([0, 1], 6), validation, np.array([0, 0, 1, 0]))

    assert (own, found) == (1, 0.75)


def test_a_batch_holds_every_view_of_its_images():
    labels = np.arange(40) % 4
    one, three = (
        supcon.contrastive_batches(labels, 8, SETTINGS["supcon"].model_copy(update={"views": views}), 5)
        for views in (1, 3)
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
    settings, split = SETTINGS["supcon"].model_copy(update={"views": 2}), split_of(len(labels))
    views = np.stack([features + 1, features - 2, features])
    supcon.train_supcon(training_set(features, labels, views=views), settings, FitContext())

    # Standardising is one stretch and shift for each feature: the two views stay 3 apart, in its unit.
    first, second = np.split(seen["x"], 2)
    unit = (first - second) / 3
    np.testing.assert_allclose(unit, np.broadcast_to(unit[0], unit.shape), rtol=1e-3)
    assert seen["y"].tolist() == [*labels[split.train], *labels[split.train]]
    assert len(seen["validation"]) == len(split.validation)
