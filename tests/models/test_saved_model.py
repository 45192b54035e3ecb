"""The saved `.h5`: Keras alone loads it, it takes any image, and whatever was changed in it is noticed."""

import hashlib
import json
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.models import saved_model
from steelbench.models.head import Dense, Head, Scaling

RNG = np.random.default_rng(1)
# `import steelbench` fails in this process, wherever it is installed.
PLAIN_KERAS = """
import sys
sys.modules["steelbench"] = sys.modules["efficientnet"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1], compile=False)
assert tuple(model.input_shape) == (None, None, None, 3), model.input_shape
assert model.get_layer("embedding") is not None
assert type(model.get_layer("embedding")).__module__.startswith("keras."), model.get_layer("embedding")
assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
images = np.load(sys.argv[2])
np.save(sys.argv[3], model(images, training=False))
"""


def small_encoder(size=16, dim=8):
    """Layers as those of a real encoder: resizing, a convolution, BatchNorm, pooling."""
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3), name="image")
    x = keras.layers.Resizing(size, size, name="resizing")(images)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(x)
    x = keras.layers.Conv2D(dim, 3, strides=2, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Activation("swish")(x)
    encoder = keras.Model(images, keras.layers.GlobalAveragePooling2D(name="embedding")(x), name="small")
    encoder.get_layer("norm").set_weights(list(RNG.uniform(0.5, 1, (4, dim))))
    encoder.trainable = False
    return encoder


def a_head(dim=8, classes=3, hidden=6, seed=0):
    rng = np.random.default_rng(seed)

    def dense(rows, units, activation):
        return Dense(*(rng.standard_normal(s).astype("f4") for s in ((rows, units), units)), activation)

    return Head((dense(dim, hidden, "relu"), dense(hidden, classes, "softmax")))


def images(n=5, height=20, width=30):
    return RNG.integers(0, 256, (n, height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The path of a saved model, its encoder and its head."""
    path = tmp_path_factory.mktemp("models") / "small-softmax-t=0.5.h5"
    encoder, head = small_encoder(), a_head()
    saved_model.save(saved_model.stitch(encoder, head, "small-softmax-t=0.5"), path)
    return path, encoder, head


def scored(encoder, head, pixels):
    return head(np.asarray(encoder(np.stack(pixels).astype("f4"), training=False)))


def test_stitched_model_is_flat_and_gives_what_encoder_and_head_give(saved):
    path, encoder, head = saved
    model, pixels = keras.models.load_model(path, compile=False), images()

    assert model.input_shape == (None, None, None, 3)
    assert [layer.name for layer in model.layers][-3:] == ["embedding", "hidden_1", "probabilities"]
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)
    np.testing.assert_allclose(model(pixels.astype("f4")), scored(encoder, head, pixels), atol=1e-6)
    embedding = keras.Model(model.input, model.get_layer("embedding").output)
    np.testing.assert_allclose(embedding(pixels.astype("f4")), encoder(pixels.astype("f4")), atol=1e-6)


def test_linear_head_has_one_layer():
    encoder = small_encoder()
    head = Head((Dense(RNG.standard_normal((8, 4)).astype("f4"), np.zeros(4, "f4"), "softmax"),))
    pixels = images()

    model = saved_model.stitch(encoder, head, "small-linear")

    np.testing.assert_allclose(model(pixels.astype("f4")), scored(encoder, head, pixels), atol=1e-6)


def test_folded_standardisation_survives_in_the_file(tmp_path):
    encoder, pixels, plain = small_encoder(), images(12), a_head()
    features = np.asarray(encoder(pixels.astype("f4")))
    scaling = Scaling.fit(features)
    first, last = plain.layers
    head = Head((Dense(*scaling.fold(first.kernel, first.bias), "relu"), last))
    saved_model.save(saved_model.stitch(encoder, head, "folded"), tmp_path / "folded.h5")

    got = saved_model.probabilities(saved_model.load(tmp_path / "folded.h5"), pixels)

    np.testing.assert_allclose(got, plain(scaling.apply(features)), atol=1e-5)


def test_images_of_any_size_are_taken_in_order(saved):
    path, encoder, head = saved
    sizes = [(20, 30)] * 18 + [(7, 5), (20, 30), (64, 64), (64, 64), (1, 1), (16, 16)]
    mixed = [images(1, *size)[0] for size in sizes]

    got = saved_model.probabilities(saved_model.load(path), iter(mixed))

    np.testing.assert_allclose(got, np.concatenate([scored(encoder, head, [image]) for image in mixed]), atol=1e-5)


def test_batches_hold_one_size_and_no_more_than_sixteen():
    sizes = [(4, 4)] * 33 + [(4, 5), (4, 4)]

    batches = list(saved_model.same_size(images(1, *size)[0] for size in sizes))

    assert [len(batch) for batch in batches] == [16, 16, 1, 1, 1]
    assert all(batch.dtype == np.float32 for batch in batches)


def test_verification_of_an_untouched_file_finds_nothing(saved):
    path, encoder, head = saved
    pixels = images(20)

    found = saved_model.Reloaded(path).verify(iter(pixels), scored(encoder, head, pixels))

    assert (found.images, found.classes_changed) == (20, 0)
    assert found.max_difference < saved_model.TOLERANCE / 10


def test_verification_notices_a_head_of_another_run(saved, tmp_path):
    _, encoder, head = saved
    path, pixels = tmp_path / "swapped.h5", images(20)
    saved_model.save(saved_model.stitch(encoder, a_head(seed=1), "swapped"), path)

    found = saved_model.Reloaded(path).verify(pixels, scored(encoder, head, pixels))

    assert found.max_difference > 0.1
    assert found.classes_changed > 0


def weight_of(file, part):
    """The dataset in an .h5 whose path has the part."""
    found = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and part in name else None)
    return file[found[0]]


@pytest.mark.parametrize("part", ["conv/kernel", "norm/moving_variance", "hidden_1/kernel", "probabilities/bias"])
def test_verification_notices_a_flipped_bit(saved, tmp_path, part):
    path, encoder, head = saved
    other, pixels = tmp_path / "flipped.h5", images(20)
    other.write_bytes(path.read_bytes())
    with h5py.File(other, "r+") as file:
        dataset = weight_of(file, part)
        bits = dataset[...].view(np.uint32)
        bits.flat[np.abs(dataset[...]).argmax()] ^= 1 << 25  # in the exponent: 16 times or a 16th as much
        dataset[...] = bits.view(np.float32)

    found = saved_model.Reloaded(other).verify(pixels, scored(encoder, head, pixels))

    assert found.max_difference > saved_model.TOLERANCE


def test_card_tells_the_file_apart_and_says_what_goes_in(saved):
    path, _, _ = saved
    saved_model.write_card(path, {"name": "small", "classes": ["a", "b", "c"], "sha256": "of another file"})

    card = json.loads(path.with_suffix(".json").read_text())

    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["bytes"] == path.stat().st_size
    assert card["classes"] == ["a", "b", "c"]
    assert card["embedding_layer"] == "embedding"
    assert card["input"]["shape"] == [None, None, 3]
    assert (card["input"]["channels"], card["input"]["range"]) == ("RGB", [0, 255])


@pytest.mark.parametrize(
    "damage",
    [lambda c: b"", lambda c: c[: len(c) // 3], lambda c: np.random.default_rng(0).bytes(5000), lambda c: b"\0" * 99],
    ids=["empty", "truncated", "random bytes", "zeros"],
)
def test_damaged_model_is_refused_in_one_sentence(saved, tmp_path, damage):
    path = tmp_path / "model.h5"
    path.write_bytes(damage(saved[0].read_bytes()))

    with pytest.raises(SteelbenchError) as error:
        saved_model.load(path)

    assert str(path) in str(error.value)
    assert "cannot be loaded as a Keras model" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_model_is_told(tmp_path):
    with pytest.raises(SteelbenchError, match=r"absent\.h5 does not exist; expected a model that steelbench saved"):
        saved_model.load(tmp_path / "absent.h5")


def test_weights_alone_are_no_model(tmp_path):
    small_encoder().save_weights(tmp_path / "only.weights.h5")

    with pytest.raises(SteelbenchError, match="cannot be loaded"):
        saved_model.load(tmp_path / "only.weights.h5")


def test_saving_that_fails_leaves_the_older_file(saved, tmp_path):
    path = tmp_path / "model.h5"
    path.write_bytes(b"old")

    class FullDisk:
        def save(self, file, **_):
            file.write_bytes(b"half")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        saved_model.save(FullDisk(), path)

    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("model.h5", b"old")]


@pytest.mark.slow
def test_keras_alone_loads_the_file(saved, tmp_path):
    path, encoder, head = saved
    pixels = images()
    np.save(tmp_path / "images.npy", pixels.astype("f4"))

    subprocess.run(
        [sys.executable, "-c", PLAIN_KERAS, path, tmp_path / "images.npy", tmp_path / "out.npy"],
        check=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip

    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scored(encoder, head, pixels), atol=1e-6)
