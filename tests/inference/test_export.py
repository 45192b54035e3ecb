"""Exports of a small network with everything that converters are known to get wrong, in whatever runtimes are there."""

import importlib.util
import json
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import cv2
import numpy as np
import pytest
from each import each
from filelock import FileLock

from steelbench.cli.exit import main
from steelbench.inference import export
from steelbench.inference.exports import openvino_file, quantised, saved_model_folder
from steelbench.inference.exports.agreement import compare
from steelbench.inference.exports.contract import Contract
from steelbench.inference.exports.formats import FORMATS, INT8, Source
from steelbench.inference.exports.scripts import script
from steelbench.inference.exports.target import read_export

CLASSES = ["=1+1", 'a,"b" <i>', "rißig"]
THERE = [name for name, row in FORMATS.items() if not row.missing]
TENSORFLOW = ("savedmodel", "keras")
RUNTIMES = {
    "onnx": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert", "savedmodel": "tensorflow",
    "keras": "tensorflow",
}  # fmt: skip
with_nncf = pytest.mark.skipif(bool(INT8.missing), reason="nncf or openvino is not installed: steelbench[int8]")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model with what converters get wrong: Keras's Normalization, a BatchNorm whose statistics are its own."""
    import keras
    from keras import layers

    from steelbench.models import saved_model
    from steelbench.models.homogenize import homogenize

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = keras.Input((None, None, 3), name="image")
    x = layers.Resizing(24, 24)(images)
    x = homogenize(x, "image", 100.0)
    x = layers.Normalization(mean=[90.0, 100.0, 110.0], variance=[900.0, 1600.0, 2500.0])(x)
    x = layers.DepthwiseConv2D(3, padding="same")(layers.Conv2D(8, 3, strides=2)(x))
    norm = layers.BatchNormalization()
    x = layers.GlobalAveragePooling2D(name="embedding")(layers.Activation("swish")(norm(x)))
    x = layers.Rescaling(4.0)(layers.UnitNormalization()(x))
    model = keras.Model(images, layers.Dense(3, activation="softmax", name="probabilities")(x))
    norm.set_weights([rng.uniform(0.5, 2, 8) for _ in range(4)])
    model.layers[-1].set_weights([rng.normal(0, 3, (8, 3)), np.zeros(3)])
    path = tmp_path_factory.mktemp("models") / "small.h5"
    saved_model.save(model, path)
    decision = {"threshold": 0.6, "escapes": 0.01, "confidence": 0.95, "referred": 0.1}
    card = {"name": "small", "classes": CLASSES, "bit_depth": 12, "decision": decision}
    saved_model.write_card(path, card)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Gray and colour, 8 and 12 bits, several sizes, a name beyond ASCII."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(1)
    for number, (height, width) in enumerate([(40, 40), (40, 40), (17, 61), (100, 30)]):
        tint = rng.integers(0, 200, 3)
        cv2.imwrite(str(folder / f"colour{number}.png"), rng.integers(tint, tint + 56, (height, width, 3), np.uint8))
    cv2.imwrite(str(folder / "gray.jpg"), rng.integers(200, 256, (33, 33), np.uint8))
    _, data = cv2.imencode(".png", rng.integers(0, 900, (20, 25, 3), np.uint16))
    (folder / "groß 12.png").write_bytes(data.tobytes())
    return folder


@pytest.fixture(scope="module")
def exported(saved, images, tmp_path_factory):
    """The folder of every format whose packages are installed."""
    out = tmp_path_factory.mktemp("exported") / "out"
    assert main(["export", str(saved), "--to", ",".join(THERE), "--out", str(out), "--images", str(images)]) == 0
    return out


@pytest.fixture
def cheap(monkeypatch):
    """Only the SavedModel is written, as a text: for what happens around the formats."""
    monkeypatch.setattr(
        saved_model_folder, "write", lambda source, contract, folder: (folder / "model").write_text(contract)
    )

    def open_network(folder):
        from steelbench.inference.model import load_model

        text = (folder / "model").read_text()
        return export._keras(load_model(MODEL[0]).network), text

    monkeypatch.setattr(saved_model_folder, "open_network", open_network)


MODEL = []


@pytest.fixture
def small(saved, images, tmp_path, cheap):
    """Returns the exit code of an export to a SavedModel into `tmp_path / "out"`, with more options."""
    MODEL[:] = [saved]

    def run(*more, to="savedmodel"):
        own = ["--to", to, "--out", str(tmp_path / "out"), "--images", str(images)]
        return main(["export", str(saved), *own, *more])

    return run


def test_every_runtime_is_installed():
    """Formats whose packages are missing are passed over by the tests below; this says so."""
    missing = {name: row.missing for name, row in FORMATS.items() if row.missing}
    if missing:
        pytest.skip(f"not installed: {missing}; pip install 'steelbench[onnx,litert]'")


@each("name", THERE)
def test_each_format_agrees_with_the_model_and_carries_its_contract(exported, saved, name):
    record = read_export(exported / name)
    _, inside = FORMATS[name].load().open_network(exported / name)
    contract = Contract.model_validate_json(inside)

    assert record.agreement.images == 6 and record.agreement.holds
    assert record.agreement.largest_difference < 1e-5 and set(record.agreement.by_class) == set(CLASSES)
    assert contract == record.contract
    assert (contract.classes, contract.bit_depth, contract.threshold) == (CLASSES, 12, 0.6)
    assert contract.model_sha256 == json.loads(saved.with_suffix(".json").read_text("utf-8"))["sha256"]
    assert (contract.pixels["channels"], contract.pixels["range"]) == ("RGB", [0, 255])
    assert not list(exported.glob(".*")), "nothing unfinished is left"


SIZES = [(200, 200), (133, 100), (24, 37), (1, 1), (3, 900), (500, 700)]


@each("name", [name for name in THERE if name != "keras"])
def test_every_runtime_resizes_as_keras_does(tmp_path, name):
    """The runtimes' own resizing of these differs by up to .0018 of 255."""
    import keras
    from keras import layers

    given = keras.Input((None, None, 3))
    network = keras.Model(given, layers.Rescaling(1.0)(layers.Resizing(24, 37)(given)))
    folder, rng = tmp_path / name, np.random.default_rng(0)
    folder.mkdir()
    FORMATS[name].load().write(Source(network), "{}", folder)
    compute, _ = FORMATS[name].load().open_network(folder)

    for height, width in SIZES:
        images = rng.integers(0, 256, (2, height, width, 3)).astype(np.float32)
        np.testing.assert_allclose(compute(images), network(images).numpy(), rtol=0, atol=5e-5)


@pytest.mark.skipif("onnx" not in THERE, reason="onnx is not installed: steelbench[onnx]")
def test_an_onnx_file_asks_for_the_image_alone(exported):
    """Converters turn the mean and the deviation of Keras's Normalization into inputs."""
    import onnx

    graph = onnx.load(exported / "onnx" / "model.onnx").graph

    sizes = [axis.dim_param or axis.dim_value for axis in graph.input[0].type.tensor_type.shape.dim]
    assert [tensor.name for tensor in graph.input] == ["image"] and sizes == ["batch", "height", "width", 3]
    assert [tensor.name for tensor in graph.output] == ["probabilities"]


# Runs a script where nothing can be imported but the standard library and the packages named.
ALONE = """
import runpy, sys
allowed, script, arguments = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
class Alone:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in allowed and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Alone())
sys.argv = [script, *arguments]
runpy.run_path(script, run_name="__main__")
"""


def what_pip_installs(*names):
    """The modules of packages and of what they require."""
    wanted, found = list(names), set()
    while wanted:
        name = wanted.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            needs = [text for text in requires(name) or [] if "extra ==" not in text]
        except PackageNotFoundError:
            continue
        wanted += ["".join(iter_name(text)) for text in needs]
    tops = packages_distributions()
    return {top for top, own in tops.items() if {one.lower().replace("_", "-") for one in own} & found}


def iter_name(requirement):
    for letter in requirement:
        if not (letter.isalnum() or letter in "-_."):
            return
        yield letter


@each("name", [name for name in THERE if name not in TENSORFLOW])
def test_predict_py_gives_the_same_answers_without_steelbench(exported, saved, images, name):
    assert_same_answers(exported, saved, images, name)


@pytest.mark.slow
@each("name", TENSORFLOW)
def test_predict_py_gives_the_same_answers_with_tensorflow(exported, saved, images, name):
    """Slow for TensorFlow's start in a process of its own."""
    assert_same_answers(exported, saved, images, name)


def assert_same_answers(exported, saved, images, name):
    files = sorted(map(str, images.iterdir()))
    allowed = what_pip_installs(RUNTIMES[name], "numpy", "opencv-python-headless")
    assert "cv2" in allowed and "steelbench" not in allowed
    assert name in TENSORFLOW or not allowed & {"tensorflow", "keras", "h5py", "onnx", "tf2onnx"}

    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, ",".join(allowed), str(exported / name / "predict.py"), *files],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    import steelbench

    wanted = steelbench.load_model(saved).predict(files)
    assert [answer["path"] for answer in answers] == files
    for answer, own in zip(answers, wanted, strict=True):
        assert list(answer["probabilities"].values()) == pytest.approx(own, abs=1e-5)
        assert answer["class"] == CLASSES[own.argmax()] and answer["uncertain"] == bool(own.max() < 0.6)
    assert np.ptp(wanted, axis=0).max() > 1e-3, "the images are answered differently"


@each("name", [*FORMATS, export.INT8_NAME])
def test_predict_py_is_short_and_without_steelbench(name):
    lines = [line for line in script(name).splitlines() if line.strip()]

    compile(script(name), "predict.py", "exec")
    assert len(lines) < 50
    assert not any("import steelbench" in line or "from steelbench" in line for line in lines)


def test_a_file_that_disagrees_is_not_kept(small, tmp_path, monkeypatch, capfd):
    right = saved_model_folder.open_network

    def wrong(folder):
        compute, contract = right(folder)
        return lambda batch: compute(batch)[:, ::-1] * 1.0, contract

    monkeypatch.setattr(saved_model_folder, "open_network", wrong)
    assert small() == 1
    assert not list((tmp_path / "out").iterdir())
    out, err = capfd.readouterr()
    assert out == "" and "savedmodel was not kept: on 6 images a probability (class '" in err
    assert "differs from the .h5 by" in err and "change their class." in err


def test_a_converter_that_fails_is_one_sentence_and_the_others_go_on(small, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(openvino_file, "write", lambda *_: 1 / 0)
    monkeypatch.setattr(type(FORMATS["openvino"]), "missing", property(lambda _: []))

    assert small(to="openvino,savedmodel") == 1
    out, err = capfd.readouterr()
    assert "openvino was not kept: division by zero." in err and "Traceback" not in err
    assert out.strip() == str(tmp_path / "out" / "savedmodel" / "model")


def test_labels_that_do_not_come_back_are_refused(small, monkeypatch, capfd):
    right = saved_model_folder.open_network
    monkeypatch.setattr(saved_model_folder, "open_network", lambda folder: (right(folder)[0], "{}"))

    assert small() == 1
    assert "does not give back the labels" in capfd.readouterr().err


def test_the_same_export_again_is_done_at_once(small, monkeypatch, capfd):
    assert small() == 0
    monkeypatch.setattr(export, "load_model", lambda _: pytest.fail("the model is not loaded"))

    assert small() == 0
    assert "is there already" in capfd.readouterr().err


def test_without_images_those_of_the_demo_are_compared(small, saved, tmp_path, capfd):
    assert main(["export", str(saved), "--to", "savedmodel", "--out", str(tmp_path / "out")]) == 0
    assert "compared on the procedural images of the demo; --images DIR compares on yours." in capfd.readouterr().err
    assert read_export(tmp_path / "out" / "savedmodel").agreement.images == 200


def test_a_changed_export_is_replaced_only_when_asked(small, tmp_path, capfd):
    assert small() == 0
    changed = tmp_path / "out" / "savedmodel" / "model"
    before = changed.read_bytes()
    changed.write_bytes(before + b" ")

    assert small() == 2
    assert "--force replaces it" in capfd.readouterr().err and changed.read_bytes() != before
    assert small("--force") == 0
    assert changed.read_bytes() == before and sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "savedmodel"
    ]


def test_what_no_export_wrote_is_never_replaced(small, tmp_path, capfd):
    own = tmp_path / "out" / "savedmodel" / "my.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")

    assert small("--force") == 2
    assert "is no export of steelbench" in capfd.readouterr().err and own.read_text() == "mine"


def test_what_a_killed_export_left_is_removed(small, tmp_path):
    left = tmp_path / "out" / ".export-0badcafe"
    left.mkdir(parents=True)
    (left / "model").write_text("half")

    assert small() == 0 and not left.exists()


def test_two_exports_do_not_write_into_one_folder_at_once(small, tmp_path, capfd):
    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".export-lock"):
        assert small() == 2
    assert "another export is writing into" in capfd.readouterr().err
    assert small() == 0


def test_packages_that_are_missing_are_named_with_what_installs_them(saved, monkeypatch, capfd):
    find = importlib.util.find_spec
    gone = {"onnx", "tf2onnx", "onnxruntime", "ai_edge_litert"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if name in gone else find(name))

    assert main(["export", str(saved), "--to", "onnx,litert,keras"]) == 2
    err = capfd.readouterr().err
    assert "--to onnx needs onnx, tf2onnx, onnxruntime; --to litert needs ai_edge_litert" in err
    assert "pip install 'steelbench[litert,onnx]'" in err


def test_wrong_requests_are_refused_in_a_sentence(small, tmp_path, capfd):
    assert small(to="onxx") == 2
    assert "unknown format 'onxx'; did you mean 'onnx'?" in capfd.readouterr().err
    assert small("--int8", str(tmp_path)) == 2
    assert "--int8 is for OpenVINO; add it to the formats: --to savedmodel,openvino." in capfd.readouterr().err
    (tmp_path / "bad.png").write_text("no image")
    assert small("--images", str(tmp_path / "bad.png")) == 2
    assert "none of the images of" in capfd.readouterr().err


def test_what_is_no_number_never_agrees():
    wanted = np.array([[0.2, 0.8]], np.float32)

    found = compare(np.array([[np.nan, 0.8]], np.float32), wanted, ["a", "b"], 1)
    assert found.largest_difference is None and found.by_class == {"a": None, "b": 0.0} and not found.holds
    close = compare(wanted + 9e-5, wanted, ["a", "b"], 1)
    assert close.holds and not compare(wanted + 2e-4, wanted, ["a", "b"], 1).holds
    turned = compare(np.array([[0.50002, 0.49998]]), np.array([[0.49999, 0.50001]]), ["a", "b"], 1)
    assert turned.classes_changed == 1 and not turned.holds
    with pytest.raises(ValueError, match="shape"):
        compare(wanted[:, :1], wanted, ["a", "b"], 1)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """12 images of each class, bright, middle and dark."""
    folder, rng = tmp_path_factory.mktemp("labelled"), np.random.default_rng(2)
    for number, name in enumerate(CLASSES):
        (folder / name.replace("/", "_")).mkdir()
        for place in range(12):
            image = rng.integers(80 * number, 80 * number + 90, (30, 30, 3), np.uint8)
            _, data = cv2.imencode(".png", image)
            (folder / name / f"{place}.png").write_bytes(data.tobytes())
    return folder


@with_nncf
def test_int8_says_what_it_changes(saved, images, labelled, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(quantised, "SECONDS", 0.01)
    own = ["--to", "openvino", "--out", str(tmp_path / "out"), "--images", str(images), "--int8", str(labelled)]

    assert main(["export", str(saved), *own, "--max-drop", "1"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines() == [str(tmp_path / "out" / name / "model.xml") for name in ("openvino", "openvino-int8")]
    assert all(line.startswith("steelbench: ") for line in err.splitlines()), "libraries' own lines stay away"
    assert "openvino-int8: accuracy" in err and "change their class" in err and "images/s" in err
    found = read_export(tmp_path / "out" / "openvino-int8").int8
    assert (found.calibration_images, found.images) == (18, 18)
    assert found.before.low <= found.before.value <= found.before.high
    assert found.classes_changed >= found.lost + found.gained
    assert found.images_per_second_after > 0 and found.largest_difference > 0
    kinds = (tmp_path / "out" / "openvino-int8" / "model.xml").read_text("utf-8")
    assert 'element_type="i8"' in kinds, "weights are 8-bit integers"

    monkeypatch.setattr(export, "load_model", lambda _: pytest.fail("the model is not loaded"))
    assert main(["export", str(saved), *own]) == 0, "both are there already"


@with_nncf
def test_int8_that_loses_accuracy_is_not_kept(saved, images, labelled, tmp_path, capfd, monkeypatch):
    worse = quantised.Int8Record(
        calibration_images=18, images=18, before=quantised.Accuracy(value=0.9, low=0.7, high=1.0),
        after=quantised.Accuracy(value=0.85, low=0.6, high=1.0), classes_changed=1, lost=1, gained=0,
        largest_difference=0.4, images_per_second_before=1, images_per_second_after=2, changed=[],
    )  # fmt: skip
    monkeypatch.setattr(quantised, "measure", lambda *_: worse)
    own = ["--to", "openvino", "--out", str(tmp_path / "out"), "--images", str(images), "--int8", str(labelled)]

    assert main(["export", str(saved), *own]) == 1
    assert not (tmp_path / "out" / "openvino-int8").exists() and (tmp_path / "out" / "openvino").exists()
    err = capfd.readouterr().err
    assert (
        "openvino-int8 was not kept: more is lost than --max-drop 0.01: accuracy 85.00% [60.00%, 100.00%] on 18" in err
    )
    assert "90.00% [70.00%, 100.00%] in float32; 1 change their class" in err and "2 images/s, 1 in float32" in err


def test_images_that_calibrate_are_not_measured(labelled, tmp_path):
    data = quantised.read_labelled(labelled, CLASSES, 12)

    assert not set(data.calibration.paths) & set(data.images.paths)
    assert len(data.calibration) == len(data.images) == 18 and np.bincount(data.labels).tolist() == [6, 6, 6]
    folder = tmp_path / "split"
    shutil.copytree(labelled, folder)
    rows = [(path, "test" if path.stem in "01" else "train") for path in sorted(folder.glob("*/*.png"))]
    lines = [f"{path.parent.name.replace(chr(34), chr(34) * 2)}" for path, _ in rows]
    text = "path,label,split\n" + "".join(
        f'"{line}/{path.name}","{line}",{split}\n' for line, (path, split) in zip(lines, rows, strict=True)
    )
    (folder / "images.csv").write_text(text, encoding="utf-8")

    own = quantised.read_labelled(folder / "images.csv", CLASSES, 12)
    assert {path.stem for path in own.images.paths} == {"0", "1"} and len(own.calibration) == 30


def test_int8_refuses_classes_that_the_model_does_not_know(labelled):
    from steelbench.errors import SteelbenchError

    with pytest.raises(SteelbenchError, match="which the model does not know; its classes are a, b"):
        quantised.read_labelled(labelled, ["a", "b"], 12)
