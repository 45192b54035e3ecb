"""Encoders joined into one flat file that plain Keras opens, and cut where the part that learns begins."""

import keras
import numpy as np
import pytest

from steelbench.models import saved_model
from steelbench.models.backbones import BACKBONES
from steelbench.models.encoder import build_encoder
from steelbench.models.head import Dense, Head, Unit
from steelbench.models.surgery import choose_learning, join, network_name, split_at_trainable

RNG = np.random.default_rng(5)


def tiny_encoder(size, dim, seed):
    """The layers that a real encoder has, with statistics and weights that are not the initial ones."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((None, None, 3), name="image")
    x = keras.layers.Resizing(size, size, name="resizing")(images)
    x = keras.layers.Normalization(name="normalization")(x)
    x = keras.layers.Conv2D(dim, 3, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Add(name="add")([x, keras.layers.Activation("relu", name="relu")(x)])
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D(name="embedding")(x), name="tiny")
    encoder.get_layer("norm").set_weights(list(RNG.uniform(0.5, 1, (4, dim))))
    normalization = encoder.get_layer("normalization")
    normalization.set_weights([np.float32([90, 100, 110]), np.float32([400, 900, 1600]), np.int64(0)])
    normalization.finalize_state()
    encoder.trainable = False
    return encoder


@pytest.fixture(scope="module")
def parts():
    return {"one": tiny_encoder(8, 3, 0), "hub:two": tiny_encoder(12, 5, 1)}


def pictures(height=20, width=30):
    return RNG.uniform(0, 255, (4, height, width, 3)).astype(np.float32)


def apart(parts, pixels):
    return np.concatenate([np.asarray(part(pixels, training=False)) for part in parts.values()], axis=1)


def test_joined_encoders_give_the_features_of_each_one_behind_the_other(parts):
    pixels = pictures()

    features = np.asarray(join(parts)(pixels, training=False))

    assert features.shape == (4, 8) and apart(parts, pixels).std() > 0.1
    np.testing.assert_allclose(features, apart(parts, pixels), rtol=1e-6, atol=1e-6)


def test_the_joined_graph_is_flat_frozen_and_every_layer_has_a_name_of_its_own(parts):
    model = join(parts)

    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names) and names[-1] == "embedding"
    assert {"one_conv", "hub_two_conv"} <= set(names)
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    assert model.input_shape == (None, None, None, 3) and not model.trainable_weights


def test_the_parts_are_left_as_they_were(parts):
    before = [weight.copy() for part in parts.values() for weight in part.get_weights()]
    model = join(parts)
    model.set_weights([0 * weight for weight in model.get_weights()])

    after = [weight for part in parts.values() for weight in part.get_weights()]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def dense(rows, units, activation):
    return Dense(*(RNG.standard_normal(shape).astype("f4") for shape in ((rows, units), units)), activation)


@pytest.mark.parametrize("own_embedding", [False, True])
def test_a_saved_ensemble_says_of_raw_images_of_any_size_what_features_and_head_say(parts, tmp_path, own_embedding):
    hidden = (dense(8, 4, "linear"), Unit(), dense(4, 3, "softmax"))
    head = Head(hidden, embedding=1) if own_embedding else Head((dense(8, 3, "softmax"),))
    path = tmp_path / "one+two-linear.h5"
    saved_model.save(saved_model.stitch(join(parts), head, network_name(path.stem)), path)

    model = saved_model.load(path)

    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert model.get_layer("embedding").output.shape[-1] == (4 if own_embedding else 8)
    for pixels in (pictures(), pictures(7, 9)):
        got = saved_model.probabilities(model, pixels)
        np.testing.assert_allclose(got, head(apart(parts, pixels)), atol=1e-5)
    np.testing.assert_allclose(saved_model.encoder_of(model)(pixels), apart(parts, pixels), rtol=1e-5, atol=1e-5)


# Those whose graphs branch, squeeze, or hold layers that the others lack; each alone is saved and loaded elsewhere.
ARCHITECTURES = ("densenet121", "xception")


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_backbone_can_be_joined_saved_and_loaded(name, tmp_path):
    other = "mobilenet_v2_035"
    parts = {part: build_encoder(part, max(80, BACKBONES[part].smallest)) for part in (name, other)}
    pixels = pictures(90, 100)
    for part in parts.values():
        part.trainable = False

    model = join(parts)
    saved_model.save(model, tmp_path / "joined.h5")

    expected = apart(parts, pixels)
    assert expected.shape == (4, BACKBONES[name].feature_dim + BACKBONES[other].feature_dim)
    # Not by the door for models, which wants probabilities.
    loaded = keras.models.load_model(tmp_path / "joined.h5", compile=False)
    np.testing.assert_allclose(np.asarray(loaded(pixels)), expected, rtol=1e-4, atol=1e-5)


def branching_encoder():
    """Two branches that meet: no single tensor passes between them."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Resizing(8, 8, name="resizing")(images)
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = keras.layers.ReLU(name="after_first")(x)
    side = keras.layers.Conv2D(4, 1, name="side")(x)
    main = keras.layers.Conv2D(4, 3, padding="same", name="main")(x)
    x = keras.layers.Add(name="meet")([side, main])
    x = keras.layers.Conv2D(4, 1, name="last")(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="embedding")(x))


@pytest.mark.parametrize(("trainable", "at"), [("last:1", "meet"), ("last:2", "after_first"), ("last:3", "after_first"),
                                               ("last:4", "resizing"), ("all", "resizing")])  # fmt: skip
def test_the_split_is_where_one_tensor_passes(trainable, at):
    encoder = branching_encoder()
    choose_learning(encoder, trainable, pretrained=True)
    frozen, learning = split_at_trainable(encoder)
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)

    if at == "resizing":
        assert frozen is None
    else:
        assert frozen.layers[-1].name == at
        assert not frozen.trainable_weights
    np.testing.assert_allclose(learning(frozen(x) if frozen else x), encoder(x), rtol=1e-5)
