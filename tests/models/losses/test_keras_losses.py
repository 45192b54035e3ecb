"""The thin classes: over which anchors they take the mean, and their work under compile and fit."""

import keras
import numpy as np
import pytest

from steelbench.models import losses

RNG = np.random.default_rng(0)
LABELS = np.int32([0, 0, 0, 1, 1, 2])
HAS_POSITIVE = LABELS < 2
EMBEDDINGS = keras.utils.normalize(RNG.standard_normal((6, 4))).astype(np.float32)
COSINES = RNG.uniform(-1, 1, (6, 3)).astype(np.float32)

# The loss, its y_pred, the function's values, and the anchors of the mean.
ROWS = {
    "supcon": (losses.SupConLoss(0.3), EMBEDDINGS, losses.supcon(LABELS, EMBEDDINGS, 0.3), HAS_POSITIVE),
    "npairs": (losses.NPairsLoss(0.3), EMBEDDINGS, losses.npairs(LABELS, EMBEDDINGS, 0.3), LABELS >= 0),
    "triplet": (
        losses.TripletLoss("batch_hard", margin=0.7),
        EMBEDDINGS,
        losses.triplet_batch_hard(LABELS, EMBEDDINGS, margin=0.7),
        HAS_POSITIVE,
    ),
    "triplet_soft": (
        losses.TripletLoss("batch_all", soft=True),
        EMBEDDINGS,
        losses.triplet_batch_all(LABELS, EMBEDDINGS, soft=True),
        HAS_POSITIVE,
    ),
    "semihard": (losses.TripletLoss(), EMBEDDINGS, losses.triplet_semihard(LABELS, EMBEDDINGS, 0.2), HAS_POSITIVE),
    "arcface": (losses.ArcFaceLoss(20.0, 0.3), COSINES, losses.arcface(LABELS, COSINES, 20.0, 0.3), LABELS >= 0),
    "arcface_crossentropy": (
        losses.ArcFaceLoss(crossentropy=True), COSINES, losses.arcface_crossentropy(LABELS, COSINES), LABELS >= 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_loss_is_the_mean_over_the_anchors_it_is_defined_for(row):
    loss, y_pred, values, anchors = ROWS[row]

    np.testing.assert_allclose(loss(LABELS, y_pred), np.mean(np.asarray(values)[anchors]), rtol=1e-5)


@pytest.mark.parametrize("row", ROWS)
def test_compiled_model_reports_the_same_loss_with_labels_as_keras_hands_them(row):
    loss, y_pred, _, _ = ROWS[row]
    model = keras.Sequential([keras.Input(y_pred.shape[1:]), keras.layers.Identity()])
    model.compile(loss=loss, jit_compile=False)

    assert model.evaluate(y_pred, LABELS, batch_size=6, verbose=0) == pytest.approx(
        float(loss(LABELS, y_pred)), rel=1e-5
    )


@pytest.mark.parametrize("row", ROWS)
def test_settings_make_an_equal_loss(row):
    loss, y_pred, _, _ = ROWS[row]

    again = type(loss).from_config(loss.get_config())

    assert again.get_config() == loss.get_config()
    assert float(again(LABELS, y_pred)) == float(loss(LABELS, y_pred))


def test_weights_of_samples_weigh_the_anchors():
    weights = np.float32([2, 0, 0, 1, 0, 0])
    values = np.asarray(losses.supcon(LABELS, EMBEDDINGS, 0.3))

    weighted = losses.SupConLoss(0.3)(LABELS, EMBEDDINGS, sample_weight=weights)

    assert float(weighted) == pytest.approx((2 * values[0] + values[3]) / 5, rel=1e-5)


@pytest.mark.parametrize("loss", [losses.SupConLoss(), losses.TripletLoss()], ids=["supcon", "triplet"])
def test_a_batch_without_any_positive_costs_nothing(loss):
    assert float(loss(np.arange(6), EMBEDDINGS)) == 0


def test_contrastive_is_the_mean_over_the_pairs():
    # Three pairs at distances 0.5, 0.25 and 3, the first of one class.
    labels = np.int64([[4], [4], [0], [1], [2], [0]])
    embeddings = np.float32([[0, 0.5], [0, 0], [1, 0], [1, 0.25], [0, 3], [0, 0]])
    loss = losses.ContrastiveLoss(margin=1.25)

    assert float(loss(labels, embeddings)) == pytest.approx((0.25 + 1.0 + 0) / 3)
    assert losses.ContrastiveLoss.from_config(loss.get_config()).margin == 1.25


def test_two_models_with_two_temperatures_do_not_share_one():
    """Both are traced before either is asked: a global would leave both with the last."""
    found = {}
    models = {}
    for temperature in (0.05, 1.0):
        models[temperature] = keras.Sequential([keras.Input((4,)), keras.layers.Identity()])
        models[temperature].compile(loss=losses.SupConLoss(temperature), jit_compile=False)
    for temperature, model in models.items():
        found[temperature] = model.evaluate(EMBEDDINGS, LABELS, verbose=0)

    for temperature, value in found.items():
        expected = np.asarray(losses.supcon(LABELS, EMBEDDINGS, temperature))[HAS_POSITIVE].mean()
        assert value == pytest.approx(expected, rel=1e-5)


def clusters():
    """Three classes around three directions that overlap; float32 [60, 8] and int [60]."""
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    return (rng.standard_normal((3, 8))[labels] + rng.normal(0, 0.7, (60, 8))).astype(np.float32), labels


TRAINED = {
    "supcon": losses.SupConLoss(),
    "npairs": losses.NPairsLoss(),
    "batch_all": losses.TripletLoss("batch_all"),
    "batch_hard": losses.TripletLoss("batch_hard", soft=True),
    "semihard": losses.TripletLoss(),
    "arcface": losses.ArcFaceLoss(crossentropy=True),
}


@pytest.mark.parametrize("name", TRAINED)
def test_fit_lowers_the_loss(name):
    x, y = clusters()
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8,)), keras.layers.Dense(4), keras.layers.UnitNormalization()]
    if name == "arcface":
        unit_columns = keras.constraints.UnitNorm(axis=0)
        layers.append(keras.layers.Dense(3, use_bias=False, kernel_constraint=unit_columns))
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.05), loss=TRAINED[name], jit_compile=False)

    history = model.fit(x, y, epochs=6, batch_size=30, verbose=0).history["loss"]

    assert np.isfinite(history).all()
    assert history[-1] < 0.8 * history[0]
