"""Encoders see images as Keras's own networks do, with weights from any of the files that there are."""

import dataclasses
import hashlib
import subprocess
import sys

import cv2
import h5py
import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet
from keras.src.legacy.saving import legacy_h5_format

from steelbench.errors import SteelbenchError
from steelbench.features.engines import run_openvino
from steelbench.inference.direct_graph import build_graph
from steelbench.models import saved_model
from steelbench.models.backbones import BACKBONES, WeightsFile
from steelbench.models.encoder import build_encoder, build_network, rebuild
from steelbench.models.head import Dense, Head
from steelbench.models.pretrained import calibrate, digest, encoder_with_weights
from steelbench.models.safe_load import checked_file
from steelbench.models.weight_files import Origin, resolve

APPLICATIONS = keras.applications
# Name: the module with the family's `preprocess_input`, further arguments, a small image that it takes.
FAMILIES = {
    "vgg19": (APPLICATIONS.vgg19, {}, 48),
    "efficientnet_b0": (APPLICATIONS.efficientnet, {}, 48),
    "xception": (APPLICATIONS.xception, {}, 75),
    "inception_v3": (APPLICATIONS.inception_v3, {}, 75),
    "resnet50": (APPLICATIONS.resnet50, {}, 48),
    "efficientnet_b3": (APPLICATIONS.efficientnet, {}, 48),
    "efficientnet_v2_b0": (APPLICATIONS.efficientnet_v2, {}, 48),
    "mobilenet_v2": (APPLICATIONS.mobilenet_v2, {}, 48),
    "mobilenet_v2_035": (APPLICATIONS.mobilenet_v2, {"alpha": 0.35}, 48),
    "densenet121": (APPLICATIONS.densenet, {}, 48),
}
CALIBRATIONS = 16
RNG = np.random.default_rng(0)


def images(n=2, height=61, width=90):
    """Smooth random pictures, uint8."""
    coarse = RNG.uniform(0, 255, (n, 5, 7, 3)).astype(np.float32)
    return np.stack([np.rint(cv2.resize(image, (width, height))) for image in coarse]).clip(0, 255).astype(np.uint8)


def resized(pixels, size):
    return np.stack([cv2.resize(image.astype(np.float32), (size, size)) for image in pixels])


def pooled(network, inputs):
    return np.asarray(network(inputs, training=False)).mean(axis=(1, 2))


def far(one, other):
    """Largest distance of two tables of features, relative to the first."""
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)).max())


def shaken(inputs):
    """Inputs of a network, each 1e-6 of its value more or less."""
    return inputs * (1 + 1e-6 * np.random.default_rng(0).choice([-1, 1], inputs.shape)).astype(np.float32)


def allowed(expected, of_shaken):
    """How far features may be from a network's: four times what `shaken` inputs make of them.

    Fresh weights amplify rounding, as much as the draw will have it: of 1e-6 they make 1e-6 to 3e-4, and an encoder
    of the same weights was 0.1 to 1.0 times as far from its network in 18 draws of 6 networks.
    """
    limit = 4 * far(expected, of_shaken)
    assert limit < 0.01
    return limit


def apart(features):
    """How far the images of a table are from each other: 0 for a network that is dead."""
    return far(features[:1], features[1:2])


def liven(network, inputs):
    """Scales, biases and statistics as a trained network has them: nothing is 0, 1 or dead."""
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in network.layers:
        for variable in layer.trainable_variables:
            if variable.path.endswith(("bias", "beta")):
                variable.assign(0.1 * RNG.standard_normal(variable.shape))
            if variable.path.endswith("gamma"):
                variable.assign(RNG.uniform(0.7, 1.3, variable.shape))
    for layer in norms:
        layer.momentum = 0.0
    network(inputs, training=True)


def plain_network(name, size, **arguments):
    _, more, _ = FAMILIES[name]
    constructor = getattr(APPLICATIONS, BACKBONES[name].constructor)
    return constructor(include_top=False, input_shape=(size, size, 3), **{"weights": None, **arguments, **more})


def write_legacy(network, path):
    """The format of the files that Keras publishes, which Keras 3 still reads and no longer writes."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


def write_new(network, path):
    network.save_weights(path)


def write_whole(network, path):
    network.save(path)


FORMATS = {"notop.h5": write_legacy, "notop.weights.h5": write_new, "whole.h5": write_whole}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def seeds():
    """Weights and images of a test are those of every other run of it."""
    global RNG
    RNG = np.random.default_rng(0)
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module")
def keras_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    (folder / "models").mkdir()
    return folder


@pytest.fixture
def keras_models(keras_home, monkeypatch):
    """Keras's folder of downloads, with what `published` wrote; it is not held against Keras's hashes."""
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(keras_home))
    monkeypatch.setenv("KERAS_HOME", str(keras_home))
    monkeypatch.delenv("STEELBENCH_WEIGHTS_DIR", raising=False)
    return keras_home / "models"


@pytest.fixture(scope="module")
def written():
    """What `published` has made, by name."""
    return {}


@pytest.fixture
def published(keras_models, written, monkeypatch):
    """A factory: `published(name, size)` is a file in Keras's folder and Keras's network of it, made once."""

    def make(name, size):
        if name not in written:
            written[name] = published_efficientnet(name, size, keras_models, monkeypatch)
        return written[name]

    return make


def published_efficientnet(name, size, folder, monkeypatch):
    """A file under Keras's name, and the network that Keras makes of it with `weights="imagenet"`."""
    variant = name.removeprefix("efficientnet_")
    source = plain_network(name, size)
    statistics = next(layer for layer in source.layers if isinstance(layer, keras.layers.Normalization))
    statistics.set_weights([np.float32([0.4, 0.5, 0.6]), np.float32([0.2, 0.3, 0.4]), np.int32(0)])
    path = folder / f"efficientnet{variant}_notop.h5"
    write_legacy(source, path)
    monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, variant, ("", md5(path)))
    network = plain_network(name, size, weights="imagenet")
    # Made usable as the network that has the further step, like the one that was trained.
    liven(network, resized(images(CALIBRATIONS), size))
    write_legacy(network, path)
    return path, network


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_encoder_sees_what_keras_own_network_sees(name, tmp_path, published):
    module, _, size = FAMILIES[name]
    row, pixels = BACKBONES[name], images()
    small = resized(pixels, size)
    inputs = module.preprocess_input(small.copy())
    if row.preprocessing == "efficientnet":
        path, network = published(name, size)
    else:
        network = plain_network(name, size)
        liven(network, module.preprocess_input(resized(images(CALIBRATIONS), size)))
        ending, write = list(FORMATS.items())[list(BACKBONES).index(name) % 3]
        path = tmp_path / ending
        write(network, path)
    otherwise = [shaken(inputs), module.preprocess_input(small[..., ::-1].copy()), inputs / 2]
    expected, near, reversed_channels, other_range = np.split(pooled(network, np.concatenate([inputs, *otherwise])), 4)
    limit = allowed(expected, near)

    encoder = encoder_with_weights(name, Origin("file", path=str(path)), image_size=size)
    got = np.asarray(encoder(pixels.astype(np.float32), training=False))

    assert network.count_params() == encoder.count_params() == row.params
    assert got.shape == (2, row.feature_dim)
    # The comparison can fail: the network is alive, and looks at the order of the channels and at the range.
    assert apart(expected) > 0.01
    assert far(expected, reversed_channels) > max(0.01, 2 * limit)
    assert far(expected, other_range) > max(0.01, 2 * limit)
    assert far(expected, got) < limit
    assert not encoder.trainable_weights
    # OpenVINO adds in another order than Keras does.
    assert far(got, without_keras(encoder, tmp_path / "saved.h5", pixels)) < 1e-3


def without_keras(encoder, path, pixels):
    """Features of a saved encoder that OpenVINO computes of a graph that was built of the file alone."""
    row = Dense(np.zeros((encoder.output.shape[-1], 2), np.float32), np.zeros(2, np.float32), "softmax")
    saved_model.save(saved_model.stitch(encoder, Head((row,)), "saved"), path)
    with checked_file(path) as (described, file):
        graph, lengths = build_graph(described, file)
    (answers,) = run_openvino(graph, "float32")([resized(pixels, lengths.size)])
    return answers[:, 2:-2]


@pytest.fixture(scope="module")
def lively():
    """Images, a network, what it makes of them, and how far from it an encoder may be."""
    network, pixels = plain_network("mobilenet_v2_035", 48), images()
    liven(network, RNG.uniform(-1, 1, (8, 48, 48, 3)))
    inputs = resized(pixels, 48) / 127.5 - 1
    expected, near = np.split(pooled(network, np.concatenate([inputs, shaken(inputs)])), 2)
    return pixels, network, expected, allowed(expected, near)


@pytest.mark.slow
@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_of_a_file_is_taken(ending, lively, tmp_path):
    pixels, network, expected, limit = lively
    FORMATS[ending](network, tmp_path / ending)

    origin = resolve("mobilenet_v2_035", str(tmp_path / ending))
    encoder = encoder_with_weights("mobilenet_v2_035", origin, image_size=48)

    assert far(expected, np.asarray(encoder(pixels.astype(np.float32)))) < limit


@pytest.mark.parametrize(
    ("ending", "name"), [("notop.weights.h5", "x.h5"), ("notop.weights.h5", "x"), ("notop.h5", "x.weights.h5")]
)
def test_a_file_is_read_as_what_it_is_whatever_its_name(ending, name, tmp_path):
    network = plain_network("mobilenet_v2_035", 32)
    FORMATS[ending](network, tmp_path / ending)
    (tmp_path / ending).rename(tmp_path / name)

    origin = resolve("mobilenet_v2_035", str(tmp_path / name))
    encoder = encoder_with_weights("mobilenet_v2_035", origin, image_size=32)

    found, expected = ([np.asarray(own) for own in model.get_weights()] for model in (encoder, network))
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.slow
def test_efficientnet_found_by_word_or_by_path_is_keras_imagenet_network(published, monkeypatch):
    name, size, pixels = "efficientnet_b0", 48, images()
    path, network = published(name, size)
    row = BACKBONES[name]
    monkeypatch.setitem(
        BACKBONES, name, dataclasses.replace(row, imagenet=dataclasses.replace(row.imagenet, md5=md5(path)))
    )
    inputs = resized(pixels, size)
    expected, near = np.split(pooled(network, np.concatenate([inputs, shaken(inputs)])), 2)
    other = plain_network(name, size, weights=str(path))

    origins = [
        resolve(name, "imagenet", path.parent),
        resolve(name, "auto"),
        resolve(name, str(path)),
    ]

    assert [origin.kind for origin in origins] == ["imagenet", "imagenet", "file"]
    # The trap: Keras makes another network of the same file when it is named by its path.
    assert far(expected, pooled(other, resized(pixels, size))) > 0.01
    encoder = encoder_with_weights(name, origins[0], image_size=size)
    assert far(expected, np.asarray(encoder(pixels.astype(np.float32)))) < allowed(expected, near)
    # By its path, it is what `test_encoder_sees_what_keras_own_network_sees` builds.
    assert origins[2].path == origins[0].path == str(path)


ALONE = """
import sys
sys.modules["steelbench"] = sys.modules["efficientnet"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1], compile=False)
features = keras.Model(model.input, model.get_layer("embedding").output)
np.save(sys.argv[3], features(np.load(sys.argv[2]), training=False))
"""


@pytest.mark.slow
def test_noisy_student_sees_what_the_efficientnet_package_sees(tmp_path, monkeypatch):
    package = pytest.importorskip("efficientnet.tfkeras")
    name, size, pixels = "efficientnet_b0", 48, images()
    source = package.EfficientNetB0(weights=None, include_top=False, input_shape=(size, size, 3))
    liven(source, package.preprocess_input(resized(images(CALIBRATIONS), size)))
    wanted = BACKBONES[name].noisy_student
    write_legacy(source, tmp_path / wanted.name)
    row = dataclasses.replace(
        BACKBONES[name], noisy_student=dataclasses.replace(wanted, md5=md5(tmp_path / wanted.name))
    )
    monkeypatch.setitem(BACKBONES, name, row)
    inputs = package.preprocess_input(resized(pixels, size))
    expected, near, wrong = np.split(pooled(source, np.concatenate([inputs, shaken(inputs), inputs / 2])), 3)
    limit = allowed(expected, near)

    encoder = encoder_with_weights(name, resolve(name, "noisy-student", tmp_path), image_size=size)

    assert apart(expected) > 0.01
    assert far(expected, wrong) > 0.01
    assert far(expected, np.asarray(encoder(pixels.astype(np.float32)))) < limit

    head = Head((Dense(RNG.standard_normal((1280, 3)).astype("f4"), np.zeros(3, "f4"), "softmax"),))
    saved_model.save(saved_model.stitch(encoder, head, "noisy"), tmp_path / "noisy.h5")
    np.save(tmp_path / "images.npy", pixels.astype("f4"))
    subprocess.run(
        [sys.executable, "-c", ALONE, tmp_path / "noisy.h5", tmp_path / "images.npy", tmp_path / "out.npy"],
        check=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    assert far(expected, np.load(tmp_path / "out.npy")) < limit


@pytest.mark.slow
def test_genuine_weights_know_pictures_apart(weights_folder):
    encoder = encoder_with_weights(
        "mobilenet_v2_035", resolve("mobilenet_v2_035", "imagenet", weights_folder), image_size=96
    )
    plain = plain_network("mobilenet_v2_035", 96, weights=None)
    plain.load_weights(weights_folder / BACKBONES["mobilenet_v2_035"].imagenet.also[0])
    pixels = images()

    expected = pooled(plain, APPLICATIONS.mobilenet_v2.preprocess_input(resized(pixels, 96)))

    assert apart(expected) > 0.1
    assert far(expected, np.asarray(encoder(pixels.astype(np.float32)))) < 1e-4


def test_families_of_this_test_are_those_of_keras_in_the_table():
    assert list(FAMILIES) == [name for name, row in BACKBONES.items() if hasattr(APPLICATIONS, row.constructor)]


def test_files_of_the_table_have_names_of_their_own():
    files = [file for row in BACKBONES.values() for file in (row.imagenet, row.noisy_student) if file]
    names = [name for file in files for name in (file.name, *file.also)]

    assert len(names) == len(set(names))
    for file in files:
        assert isinstance(file, WeightsFile)
        if file.package:
            assert file.url == f"package {file.package.replace('_', '-')}"
        else:
            assert file.url.startswith("https://") and file.url.endswith("/")
        assert file.md5 is None or len(file.md5) == 32
        assert (file.sha256 is None) == (file.package is None) and len(file.sha256 or "0" * 64) == 64


def test_too_small_an_image_is_told_with_the_usual_size():
    with pytest.raises(
        SteelbenchError, match="inception_v3 cannot take images of 32 pixels; its smallest are 75, usual are 299"
    ):
        build_encoder("inception_v3", 32)


def test_file_that_does_not_fit_is_told(tmp_path):
    """As many numbers as the network has, in other shapes."""
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.zeros(BACKBONES["mobilenet_v2_035"].params, "f4")

    with pytest.raises(SteelbenchError, match=r"other\.h5 does not fit mobilenet_v2_035: .*include_top=False"):
        encoder_with_weights("mobilenet_v2_035", Origin("file", path=str(tmp_path / "other.h5")), image_size=32)


def small_encoder(norm=True):
    """Two convolutions with BatchNorm and dropout between, fresh; the second's statistics depend on the first's."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((None, None, 3))
    x = layers.Resizing(12, 12, name="resizing")(image)
    for number in range(2):
        x = layers.Conv2D(6, 3)(x)
        x = layers.BatchNormalization(name=f"norm{number}", momentum=0.9)(x) if norm else x
        x = layers.Dropout(0.5)(layers.Activation("relu")(x))
    return keras.Model(image, layers.GlobalAveragePooling2D(name="embedding")(x))


def around(encoder, inputs):
    """What goes into and comes out of every BatchNorm in inference, by name."""
    norms = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    taps = keras.Model(encoder.input, [[layer.input, layer.output] for layer in norms])
    found = taps(inputs, training=False)
    return {layer: [np.asarray(x, np.float64) for x in pair] for layer, pair in zip(norms, found, strict=True)}


def check_calibrated(encoder, batch):
    for layer, (before, after) in around(encoder, batch).items():
        beta = np.asarray(layer.beta)
        gamma = np.asarray(layer.gamma) if layer.scale else np.ones_like(beta)
        variance = before.var(axis=(0, 1, 2))
        spread = np.abs(before).max()
        np.testing.assert_allclose(layer.moving_mean, before.mean(axis=(0, 1, 2)), atol=1e-3 * spread)
        np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-2, atol=1e-5 * spread**2)
        np.testing.assert_allclose(after.mean(axis=(0, 1, 2)), beta, atol=0.02)
        # `epsilon` keeps channels that hardly vary smaller.
        expected = gamma**2 * variance / (variance + layer.epsilon)
        np.testing.assert_allclose(after.var(axis=(0, 1, 2)), expected, rtol=0.02, atol=1e-3)


def test_after_calibration_every_norm_gives_mean_beta_and_variance_gamma_squared():
    encoder, batch = small_encoder(), images(20, 12, 12).astype(np.float32)
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(RNG.uniform(0.5, 2, 6))
            layer.beta.assign(RNG.standard_normal(6))

    calibrate(encoder, batch)

    check_calibrated(encoder, batch)


def test_calibration_leaves_momentum_and_dropout_as_they_were():
    encoder = small_encoder()
    kernels = [weight.numpy() for weight in encoder.trainable_weights]

    calibrate(encoder, images(4, 12, 12).astype(np.float32))

    assert {layer.momentum for layer in encoder.layers if hasattr(layer, "momentum")} == {0.9}
    assert {layer.rate for layer in encoder.layers if isinstance(layer, keras.layers.Dropout)} == {0.5}
    assert all(np.array_equal(a, b.numpy()) for a, b in zip(kernels, encoder.trainable_weights, strict=True))


def test_network_without_norms_is_not_changed_by_calibration():
    encoder = small_encoder(norm=False)
    before = digest(encoder)

    calibrate(encoder, images(4, 12, 12).astype(np.float32))

    assert digest(encoder) == before


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_encoder_built_again_has_its_weights_and_the_present_precision(policy):
    encoder = build_encoder("mobilenet_v2_035", 32)
    encoder.trainable = False
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        again = rebuild(encoder)
    finally:
        keras.config.set_dtype_policy(before)

    assert {layer.dtype_policy.name for layer in again.layers if layer.weights} == {policy}
    assert digest(again) == digest(encoder) and not {*map(id, again.layers)} & {*map(id, encoder.layers)}
    assert len(again.trainable_weights) > 0
    pixels, tolerance = images().astype(np.float32), 0 if policy == "float32" else 0.1
    got = np.asarray(again(pixels, training=False)).astype(np.float32)
    assert far(np.asarray(encoder(pixels, training=False)), got) <= tolerance


@pytest.mark.slow
@pytest.mark.parametrize("homogenization", ["none", "global", "image"])
def test_an_encoder_built_again_computes_what_the_original_does(homogenization):
    original = build_encoder("mobilenet_v2_035", 32, homogenization, 90.0)
    x = images().astype(np.float32)

    assert np.array_equal(rebuild(original)(x), original(x))


def test_digest_changes_with_any_weight():
    encoder = small_encoder()
    before = digest(encoder)
    variance = encoder.get_layer("norm1").moving_variance
    variance.assign(np.nextafter(variance.numpy(), np.float32(2)))

    assert digest(encoder) != before
    assert digest(small_encoder()) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2_035"])
def test_fresh_network_is_alive_once_calibrated_and_a_matter_of_its_seed(name):
    batch, pixels = resized(images(24), 48), images(3).astype(np.float32)

    def fresh(seed, calibration):
        return encoder_with_weights(name, Origin("random"), image_size=48, seed=seed, calibration=calibration)

    encoder = fresh(0, batch)
    features = np.asarray(encoder(pixels))

    check_calibrated(encoder, batch)
    assert np.abs(features).mean() > 0.01
    assert apart(features) > 0.01
    uncalibrated = fresh(0, None)
    assert np.abs(np.asarray(uncalibrated(pixels))).mean() < np.abs(features).mean() / 10
    assert digest(fresh(0, batch)) == digest(encoder)
    assert digest(fresh(1, None)) != digest(uncalibrated)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xception", "inception_v3"])
def test_smallest_image_of_the_table_is_the_smallest_that_keras_builds(name):
    smallest = BACKBONES[name].smallest

    build_encoder(name, smallest)
    with pytest.raises(ValueError, match=f"at least {smallest}x{smallest}"):
        build_network(name, size=smallest - 1)
