"""Heads as arrays: standardisation folded into the first layer, the Keras model they came from, their file."""

import keras
import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.models.head import Dense, Head, Scaling, Unit

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def features(n=40, dim=6):
    return random(n, dim) * np.float32([0.5, 1, 2, 3, 4, 5]) + np.float32([0, 1, -2, 30, 4, 5])


def two_layers(dim=6, hidden=5, classes=3):
    return Head(
        (Dense(random(dim, hidden), random(hidden), "relu"), Dense(random(hidden, classes), random(classes), "softmax"))
    )


def test_fold_equals_standardising_first():
    x, kernel, bias = features(), random(6, 4), random(4)
    scaling = Scaling.fit(x)
    mean = [sum(float(row[d]) for row in x) / 40 for d in range(6)]
    std = [(sum((float(row[d]) - mean[d]) ** 2 for row in x) / 40) ** 0.5 for d in range(6)]
    floor = sum(std) / 6

    folded, shifted = scaling.fold(kernel, bias)

    standardised = np.array([[(float(row[d]) - mean[d]) / max(std[d], floor) for d in range(6)] for row in x])
    np.testing.assert_allclose(scaling.apply(x), standardised, atol=1e-5)
    np.testing.assert_allclose(x @ folded + shifted, standardised @ kernel + bias, atol=1e-4)


def test_feature_that_hardly_moves_is_not_blown_up():
    x = features()
    x[:, 2] = 7
    x[0, 2] = 7 + 1e-5
    scaling = Scaling.fit(x)
    unusual = x[:1].copy()
    unusual[0, 2] = 8

    assert abs(scaling.apply(unusual)[0, 2]) < 1


def test_features_that_are_all_constant_stay_finite():
    x = np.ones((5, 3), np.float32)

    assert np.isfinite(Scaling.fit(x).apply(x)).all()


def test_head_equals_the_keras_model_of_its_arrays():
    head, x = two_layers(), features()
    first, last = head.layers
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(5, activation="relu"), keras.layers.Dense(3, activation="softmax")]
    )
    model.set_weights([first.kernel, first.bias, last.kernel, last.bias])

    np.testing.assert_allclose(head(x), model(x), atol=1e-6)
    assert head.params == model.count_params()


def test_head_is_calm_where_exponentials_overflow():
    head = Head((Dense(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "softmax"),))

    np.testing.assert_allclose(head(np.float32([[1000, 0, -1000], [90, 90, 90]])), [[1, 0, 0], [1 / 3] * 3], atol=1e-6)


def test_saved_head_is_the_same_again(tmp_path):
    head, x = two_layers(), features()
    head.save(tmp_path / "head.npz")

    loaded = Head.load(tmp_path / "head.npz")

    assert [layer.activation for layer in loaded.layers] == ["relu", "softmax"]
    assert np.array_equal(loaded(x), head(x))
    assert [path.name for path in tmp_path.iterdir()] == ["head.npz"]


def flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x10]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda c: b"", lambda c: c[:100], lambda c: c[: len(c) // 2], flip, lambda c: b"no zip file", lambda c: c[:-1]],
    ids=["empty", "start only", "half", "flipped", "text", "last byte missing"],
)
def test_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "head.npz"
    two_layers(dim=6, hidden=64).save(path)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(SteelbenchError, match=r"head\.npz holds no head .*--force\.$"):
        Head.load(path)


def test_other_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))

    for path in (tmp_path / "other.npz", tmp_path / "array.npy", tmp_path / "absent.npz"):
        with pytest.raises(SteelbenchError, match="holds no head"):
            Head.load(path)


def with_embedding():
    return Head(
        (Dense(random(6, 4), random(4), "linear"), Unit(), Dense(random(4, 3), random(3), "softmax")), embedding=1
    )


def test_unit_layer_equals_keras_and_leaves_zero_alone():
    x = np.concatenate([features(), np.zeros((1, 6), np.float32), np.full((1, 6), 1e-9, np.float32)])

    np.testing.assert_allclose(Unit()(x), keras.layers.UnitNormalization()(x), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(Unit()(x)[:40], axis=1), 1, rtol=1e-6)


def test_embedding_is_what_stands_before_the_classifier():
    head, x = with_embedding(), features()
    dense, _, last = head.layers

    np.testing.assert_array_equal(head.embed(x), Unit()(x @ dense.kernel + dense.bias))
    np.testing.assert_array_equal(head(x), last(head.embed(x)))
    assert two_layers().embed(x) is x


def test_head_with_an_embedding_comes_back_from_its_file(tmp_path):
    head, x = with_embedding(), features()
    head.save(tmp_path / "head.npz")
    again = Head.load(tmp_path / "head.npz")

    assert again.embedding == 1
    np.testing.assert_array_equal(again(x), head(x))
    assert again.params == head.params == 6 * 4 + 4 + 4 * 3 + 3
