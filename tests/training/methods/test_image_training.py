"""Methods that change the backbone: what learns and what stays, where the encoder is split, and that a run goes on."""

import dataclasses

import keras
import numpy as np
import pytest
from each import each

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import Finetune, Supcon
from steelbench.models.encoder import build_encoder, rebuild
from steelbench.models.pretrained import calibrate
from steelbench.models.surgery import choose_learning, split_at_trainable
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import finetune, supcon
from steelbench.training.methods import image_training as module
from steelbench.training.methods.image_training import ImageTrainingSet, Inference

SIZE = 32
SPLIT = Split(np.arange(0, 36), np.arange(36, 48), np.arange(48, 60))
FINETUNE = Finetune(epochs=2, batch_size=12, learning_rate=1e-3, trainable="last:4")
SUPCON = Supcon(
    epochs=2, batch_size=12, trainable="last:4", projection_dim=8, hidden=16, classifier_epochs=2, learning_rate=1e-3
)


def pictures(n=60, classes=3):
    """Stripes whose direction and width are the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % classes
    y, x = np.mgrid[:SIZE, :SIZE]
    waves = [np.sin(x / 2), np.sin(y / 2), np.sin((x + y) / 4)]
    pixels = [127 + 90 * waves[label] + 20 * rng.standard_normal((SIZE, SIZE)) for label in labels]
    gray = np.clip(np.stack(pixels), 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1), labels


def network():
    """A small encoder with normalisation; mobilenet takes ten seconds to trace."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Resizing(SIZE, SIZE, name="resizing")(images)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for number, filters in enumerate((4, 8, 8)):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = keras.layers.BatchNormalization(name=f"conv_{number}_bn")(x)
        x = keras.layers.ReLU()(x)
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="embedding")(x))


def copied(encoder):
    copy = keras.models.clone_model(encoder)
    copy.set_weights(encoder.get_weights())
    return copy


@pytest.fixture
def images(monkeypatch):
    monkeypatch.setattr(module, "rebuild", copied)
    pixels, labels = pictures()
    keras.utils.set_random_seed(0)
    encoder = network()
    calibrate(encoder, pixels[:32].astype(np.float32))
    encoder.trainable = False
    return ImageTrainingSet(
        encoder=encoder, pretrained=True, pixels=pixels, digest="d", labels=labels, num_classes=3, split=SPLIT
    )


TRAIN = {"finetune": finetune.train_finetune, "supcon": supcon.train_supcon_on_images}


def weights_of(model):
    return {f"{layer.name}/{i}": w for layer in model.layers for i, w in enumerate(layer.get_weights())}


def changed(before, after):
    return {name.split("/")[0] for name in before if not np.array_equal(before[name], after[name])}


def test_last_layers_learn_and_the_others_stay(images):
    trained = finetune.train_finetune(images, FINETUNE, FitContext())
    before, after = weights_of(images.encoder), weights_of(trained.encoder)

    # The last four layers with weights are two convolutions and two normalisations, which stay.
    assert changed(before, after) == {"conv_1", "conv_2"}


def test_the_shared_encoder_is_never_touched(images):
    before = weights_of(images.encoder)
    finetune.train_finetune(images, FINETUNE, FitContext())
    supcon.train_supcon_on_images(images, SUPCON, FitContext())

    assert not changed(before, weights_of(images.encoder))


@pytest.mark.parametrize(("method", "settings"), [("finetune", FINETUNE), ("supcon", SUPCON)])
def test_features_are_those_of_the_encoder_it_leaves(images, method, settings):
    trained = TRAIN[method](images, settings, FitContext())
    features = trained.encoder(images.pixels.astype(np.float32), training=False)

    np.testing.assert_allclose(trained.features, features, atol=1e-4)


def test_second_stage_leaves_the_encoder_bit_for_bit(images, monkeypatch):
    seen = {}
    real = supcon.train_softmax

    def spy(data, *rest):
        seen["features"] = data.features.copy()
        return real(data, *rest)

    monkeypatch.setattr(supcon, "train_softmax", spy)
    trained = supcon.train_supcon_on_images(images, SUPCON, FitContext())

    assert np.array_equal(seen["features"], trained.features)
    assert list(trained.fits) == ["contrastive", "classifier"]


@pytest.mark.parametrize("preset", ["none", "light"])
@pytest.mark.parametrize(("method", "settings"), [("finetune", FINETUNE), ("supcon", SUPCON)])
def test_an_interrupted_run_ends_as_one_that_was_not(images, method, settings, preset, tmp_path):
    train, images = TRAIN[method], dataclasses.replace(images, preset=preset)
    whole = train(images, settings, FitContext(seed=2))

    def kill(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(images, settings, FitContext(seed=2, state=tmp_path, save_seconds=0, progress=kill))
    again = train(images, settings, FitContext(seed=2, state=tmp_path, save_seconds=0))

    assert again.fits == whole.fits
    assert np.array_equal(again.features, whole.features)


def test_augmented_images_are_seen_in_training_alone(images, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "augment", lambda preset, images, seed: seen.append((len(images), seed)) or images)
    finetune.train_finetune(dataclasses.replace(images, preset="light"), FINETUNE, FitContext(seed=7))

    # Two epochs of three batches; validation and test images stay as they are.
    assert sorted(seen) == [(12, (7, number)) for number in range(6)]


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


def test_random_weights_train_their_normalisation_and_learn(images):
    fresh = dataclasses.replace(images, pretrained=False)
    settings = Finetune(epochs=6, batch_size=12, learning_rate=1e-3, head_factor=1)
    trained = finetune.train_finetune(fresh, settings, FitContext())
    before, after = weights_of(images.encoder), weights_of(trained.encoder)

    assert any(name.lower().endswith("bn") for name in changed(before, after))
    losses = [line.loss for line in trained.fits["classifier"].history]
    assert losses[-1] < losses[0]


def test_head_alone_comes_first_on_request(images):
    settings = FINETUNE.model_copy(update={"head_epochs": 3})
    trained = finetune.train_finetune(images, settings, FitContext())

    assert [len(done.history) for done in trained.fits.values()] == [3, 2]


def small_network():
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
    encoder = small_network()
    choose_learning(encoder, trainable, pretrained=True)
    frozen, learning = split_at_trainable(encoder)
    x = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)

    if at == "resizing":
        assert frozen is None
    else:
        assert frozen.layers[-1].name == at
        assert not frozen.trainable_weights
    np.testing.assert_allclose(learning(frozen(x) if frozen else x), encoder(x), rtol=1e-5)


def test_activations_are_those_of_the_part_that_never_learns(images):
    encoder = images.copy_encoder("last:4")
    source, learning = images.precompute(encoder)

    assert source.shape[0] == 60 and source.dtype == np.float32
    np.testing.assert_allclose(Inference(learning)(source), encoder(images.pixels.astype(np.float32)), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("homogenization", ["none", "global", "image"])
def test_a_copy_computes_what_the_original_does(homogenization):
    original = build_encoder("mobilenet_v2_035", SIZE, homogenization, 90.0)
    x = pictures()[0][:4].astype(np.float32)

    assert np.array_equal(rebuild(original)(x), original(x))


@each("wrong", ["last", "last:0", "first:3", "everything", "last:-1"])
@each("settings", [Finetune, Supcon])
def test_what_learns_is_checked(settings, wrong):
    with pytest.raises(SteelbenchError, match="expected all, or last:N"):
        settings(trainable=wrong)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 60])
def test_inference_of_a_sample_does_not_depend_on_its_batch_and_traces_once(images, count):
    infer = Inference(images.encoder)
    whole = infer(images.pixels)
    rows = np.random.default_rng(count).permutation(60)[:count]

    assert np.array_equal(infer(images.pixels, rows), whole[rows])
    assert infer.run.experimental_get_tracing_count() == 1
