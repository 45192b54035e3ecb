"""Model files of strangers, their cards sealed anew: one sentence each, no answers, bounded before they are built."""

import base64
import json
import os
import shutil
import subprocess
import sys

import cv2
import h5py
import keras
import numpy as np
import pytest
from each import each
from keras import layers

import steelbench
from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.models import saved_model
from steelbench.models.h5_file import opened
from steelbench.models.probe import Lengths, Probe
from steelbench.models.safe_load import inspect, load

CLASSES = ["a", "b", "c"]
# With answers on the card, `predict` first goes the way that needs no Keras.
SOME_ANSWERS = Probe.of(Lengths(3, 0, 0, 16), np.full((4, 3), 1 / 3, np.float32))


def network(shape=(None, None, 3), last="softmax", **names):
    """A network of the usual form, on images of a shape."""
    images = keras.Input(shape, name="image")
    x = layers.Resizing(16, 16, name="resizing")(images)
    x = layers.Conv2D(4, 3, strides=2, activation="relu", name="conv")(layers.Rescaling(1 / 255)(x))
    x = layers.GlobalAveragePooling2D(name=names.get("embedding", "embedding"))(x)
    x = layers.Dense(3, activation=last, name=names.get("probabilities", "probabilities"))(x)
    return keras.Model(images, x)


def sealed(path, model=None, classes=CLASSES, **fields):
    """Save a network, or take the file that is there, and write a card that fits to it."""
    if model is not None:
        model.save(path)
    saved_model.write_card(path, {"name": "m", "classes": list(classes), **fields}, SOME_ANSWERS)
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    keras.utils.set_random_seed(0)
    return sealed(tmp_path_factory.mktemp("good") / "m.h5", network())


@pytest.fixture
def place(tmp_path, good):
    cv2.imwrite(str(tmp_path / "image.png"), np.arange(300, dtype=np.uint8).reshape(10, 10, 3))
    for file in (good, good.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    return tmp_path / "m.h5"


def refused(capsys, *arguments):
    """Run a command that must be refused; return its one sentence."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("steelbench: ") and "fault" not in line and not printed.out
    return line


def predict(capsys, path):
    return refused(capsys, "predict", path, path.parent / "image.png")


def edit(path, change, **fields):
    """Change the configuration in a file, and seal its card anew."""
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(change(config) or config)
    sealed(path, **fields)


def layer(config, name):
    return next(item["config"] for item in config["config"]["layers"] if item["config"]["name"] == name)


def test_a_model_is_rebuilt_as_keras_loads_it(good):
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3)).astype(np.float32)
    ours, theirs = load(good, classes=3), keras.models.load_model(good, compile=False)

    assert np.array_equal(ours(images, training=False), theirs(images, training=False))
    assert [(type(a), a.name) for a in ours.layers] == [(type(b), b.name) for b in theirs.layers]
    assert ours.name == theirs.name and inspect(good)[1] == 3


def resized_to(side):
    return lambda config: layer(config, "resizing").update(height=side, width=side)


def many_units(config):
    layer(config, "probabilities")["units"] = 60_000


TOO_LARGE = {
    "an image of 4000x4000": (resized_to(4000), "height 4000; expected 1 to 2048"),
    "a head of 400,000 units": (
        lambda config: layer(config, "probabilities").update(units=400_000),
        "units 400000; expected 1 to 65536",
    ),
    "more units than weights": (many_units, "with weights of 4x60000, 60000, but holds 4x3, 3"),
    "more filters than weights": (lambda config: layer(config, "conv").update(filters=9000), "9000"),
    "a kernel of 5000x5000": (lambda config: layer(config, "conv").update(kernel_size=[5000, 5000]), "1 to 64"),
}


@each("name", TOO_LARGE)
def test_what_a_configuration_asks_for_is_bounded_before_it_is_built(good, place, capsys, name):
    change, word = TOO_LARGE[name]
    shutil.copy(good, place)
    edit(place, change)

    assert word in predict(capsys, place)


@each("steps", [1, 3])
def test_outputs_of_layers_are_bounded_by_memory(place, capsys, steps):
    images = keras.Input((None, None, 3))
    x = layers.Resizing(256, 256)(images)
    for _ in range(steps):
        x = layers.UpSampling2D(4)(x)
    sealed(place, keras.Model(images, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))))

    if steps == 1:
        assert inspect(place)[1] == 3
    else:
        assert "whose output for one image is 16384x16384x3 (3072 MiB); expected at most 256 MiB" in predict(
            capsys, place
        )


def test_time_is_bounded_as_memory_is(place, capsys):
    images = keras.Input((None, None, 3))
    x = layers.Resizing(2048, 2048)(images)
    for _ in range(8):
        x = layers.Conv2D(16, 33, padding="same")(x)
    sealed(place, keras.Model(images, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))))

    assert "multiplies more than 1e+12 times for one image" in predict(capsys, place)


def with_weights(path, change):
    """Change the group of weights in a file, and seal its card anew."""
    with h5py.File(path, "r+") as file:
        change(file["model_weights"])
    sealed(path)


def unallocated(group):
    for name in ("kernel", "bias"):
        del group[f"conv/conv/{name}"]
    group["conv/conv"].create_dataset("kernel", (23000, 23000), "f4")
    group["conv"].attrs["weight_names"] = [b"conv/kernel"] * 4


def soft_link(group):
    del group["conv/conv/bias"]
    group["conv/conv"]["bias"] = h5py.SoftLink("/model_weights/probabilities/probabilities/bias")


def external_link(group):
    del group["conv/conv/bias"]
    group["conv/conv"]["bias"] = h5py.ExternalLink("/etc/passwd", "x")


def external_storage(group):
    del group["conv/conv/bias"]
    group["conv/conv"].create_dataset("bias", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(group):
    del group["conv/conv/bias"]
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    group["conv/conv"].create_virtual_dataset("bias", layout)


def zipped(group):
    del group["conv/conv/kernel"]
    group["conv/conv"].create_dataset("kernel", data=np.zeros((3, 3, 3, 4), "f4"), chunks=(3, 3, 3, 4), compression=9)


def twice(group):
    group["conv"].attrs["weight_names"] = [b"conv/bias", b"conv/bias"]


def absent(group):
    del group["conv/conv/bias"]


def text(group):
    del group["conv/conv/bias"]
    group["conv/conv"].create_dataset("bias", data=np.array([b"abc"] * 4))


STRUCTURES = {
    unallocated: "with more numbers than it holds",
    soft_link: "holds a link in place of",
    external_link: "holds a link in place of",
    external_storage: "another way than as plain numbers",
    virtual: "another way than as plain numbers",
    zipped: "another way than as plain numbers",
    twice: "several times",
    absent: "that it does not hold",
    text: "another way than as plain numbers",
}


@each("change", STRUCTURES, ids=[change.__name__ for change in STRUCTURES])
def test_weights_lie_in_the_file_itself_each_at_its_own_place(good, place, capsys, change):
    shutil.copy(good, place)
    with_weights(place, change)

    assert STRUCTURES[change] in predict(capsys, place)


@each("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_give_no_answers(good, place, capsys, value):
    shutil.copy(good, place)
    with h5py.File(place, "r+") as file:
        file["model_weights/probabilities/probabilities/bias"][1] = value
    sealed(place)

    assert "weights that are not numbers (NaN or infinity) in its layer 'probabilities'" in predict(capsys, place)


def test_answers_that_overflow_are_refused(good, place, capsys):
    with h5py.File(place, "r+") as file:
        file["model_weights/probabilities/probabilities/kernel"][:] = 3e38
        file["model_weights/conv/conv/kernel"][:] = 3e38
    sealed(place)

    assert main(["predict", str(place), str(place.parent / "image.png")]) == 2
    assert "answers with NaN or infinity; its weights are damaged" in capsys.readouterr().err


def per_pixel():
    images = keras.Input((None, None, 3))
    return keras.Model(images, layers.Conv2D(3, 1, activation="softmax")(layers.Resizing(8, 8)(images)))


def dict_output():
    model = network()
    return keras.Model(model.input, {"x": model.output})


def two_inputs():
    first, second = keras.Input((None, None, 3)), keras.Input((None, None, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Add()([first, second]))
    return keras.Model([first, second], layers.Dense(3, activation="softmax")(pooled))


def two_outputs():
    model = network()
    return keras.Model(model.input, [model.output, model.get_layer("embedding").output])


def vector():
    features = keras.Input((7,))
    return keras.Model(features, layers.Dense(3, activation="softmax")(features))


def gray():
    images = keras.Input((None, None, 1))
    return keras.Model(images, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(images)))


def unbuilt():
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])


def votes_that_are_none():
    model = network()
    return keras.Model(model.input, layers.Dense(3, name="votes")(model.output))


def unknown_layer():
    images = keras.Input((None, None, 3))
    x = layers.Reshape((-1, 3))(layers.Resizing(4, 4)(images))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(4, 3)(x))
    return keras.Model(images, layers.Dense(3, activation="softmax")(x))


def lambda_layer():
    images = keras.Input((None, None, 3))
    x = layers.Lambda(lambda pixels: pixels * 2.0)(images)
    return keras.Model(images, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def random_answers():
    model = network()
    dropped = layers.Dropout(0.5)(model.get_layer("embedding").output, training=True)
    return keras.Model(model.input, layers.Dense(3, activation="softmax")(dropped))


FORMS = {
    per_pixel: "gives 8x8x3 numbers for an image; expected one vector of probabilities",
    dict_output: "expected one vector of probabilities",
    two_inputs: "has 2 inputs; expected one image",
    two_outputs: "has 2 outputs; expected one vector",
    vector: "takes 7; expected images of height x width x 3",
    gray: "takes anyxanyx1; expected images",
    unbuilt: "never built",
    votes_that_are_none: "does not end in a softmax",
    unknown_layer: "which is not rebuilt from a file",
    lambda_layer: "'Lambda', which is not rebuilt from a file",
    random_answers: "with 'training': 'True'",
    lambda: network(last=None): "does not end in a softmax",
    lambda: network(last="sigmoid"): "does not end in a softmax",
    lambda: network((32, 32, 3)): "takes images of 32x32 pixels alone; `steelbench card m.h5 --classes",
}


@each("make", FORMS, ids=[make.__name__ for make in FORMS])
def test_a_network_is_one_image_in_and_one_vector_of_probabilities_out(place, capsys, make):
    sealed(place, make())

    assert FORMS[make] in predict(capsys, place)


def test_the_number_of_probabilities_is_that_of_the_card(place, capsys):
    sealed(place, classes=["a", "b"])

    assert "gives 3 probabilities, its card names 2 classes" in predict(capsys, place)


CONFIGURATIONS = {
    "brackets": lambda config: json.loads("[" * 60 + "]" * 60),
    "a number": lambda config: 3,
    "no layers": lambda config: {"class_name": "Functional", "config": {}},
    "layers of text": lambda config: {"class_name": "Functional", "config": {"layers": ["a"]}},
    "another class": lambda config: {**config, "class_name": "os.system"},
    "a layer twice": lambda config: config["config"]["layers"].append(config["config"]["layers"][1]),
    "a circle": lambda config: layer_calls(config, "conv", "embedding"),
    "a layer that is not there": lambda config: layer_calls(config, "conv", "gone"),
    "a name with a line end": lambda config: config["config"]["layers"][2].update(name="a\nb"),
    "an activation of others": lambda config: layer(config, "conv").update(activation="os.system"),
    "an axis of text": lambda config: layer(config, "conv").update(strides="ab"),
    "a number that is none": lambda config: layer(config, "rescaling").update(scale=float("nan")),
    "a huge number": lambda config: layer(config, "conv").update(strides=10**400),
    "settings of others": lambda config: layer(config, "conv").update(unheard_of={"a": 1}),
    "a type of others": lambda config: layer(config, "conv").update(dtype={"class_name": "X", "config": {"name": "y"}}),
    "an output that is not there": lambda config: config["config"].update(output_layers=[["gone", 0, 0]]),
    "an input that is not there": lambda config: config["config"].update(input_layers=[["gone", 0, 0]]),
    "no output": lambda config: config["config"].update(output_layers=[]),
}


def layer_calls(config, name, source):
    found = next(item for item in config["config"]["layers"] if item["config"]["name"] == name)
    found["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = source


def renamed_rescaling(config):
    for item in config["config"]["layers"]:
        if item["class_name"] == "Rescaling":
            item["config"]["name"] = "rescaling"


@each("name", CONFIGURATIONS)
def test_a_configuration_that_keras_does_not_write_is_refused(good, place, capsys, name):
    shutil.copy(good, place)
    edit(place, renamed_rescaling)
    edit(place, CONFIGURATIONS[name])

    assert "cannot be loaded" in predict(capsys, place)


def test_a_name_of_the_network_that_no_scope_may_have_is_no_fault(place, capsys):
    edit(place, lambda config: config["config"].update(name="a\nb\x1b[2J"))

    assert main(["predict", str(place), str(place.parent / "image.png")]) == 0
    assert load(place).name == "a_b__2J"


@each("arguments", [("retrieve", "--query", "image.png", "--index", "images"), ("enroll", "images")])
def test_a_missing_layer_is_one_sentence(place, capsys, arguments):
    (place.parent / "images").mkdir(exist_ok=True)
    shutil.copy(place.parent / "image.png", place.parent / "images" / "other.png")
    command, *rest = [str(place.parent / word) if word.startswith("image") else word for word in arguments]

    sealed(place, network(embedding="pooled"))

    assert "no layer called 'embedding'" in refused(capsys, command, place, *rest)


def test_enrolling_into_a_model_without_probabilities_is_refused(place, capsys):
    sealed(place, network(probabilities="last"))
    (place.parent / "new").mkdir()

    shutil.copy(place.parent / "image.png", place.parent / "new")
    assert "no layer called 'probabilities'" in refused(capsys, "enroll", place, place.parent / "new")


PROBE = SOME_ANSWERS.model_dump(mode="json")


def encoded(numbers):
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


CARDS = {
    "bit depth": ({"bit_depth": 30_000_000_000}, "bit_depth 30000000000; expected 8 to 16"),
    "no class": ({"classes": []}, "classes: List should have at least 1 item"),
    "an empty class": ({"classes": ["a", "b", ""]}, "at least 1 character"),
    "a class with a command": ({"classes": ["a", "b", "\x1b[2J"]}, "is not printable"),
    "a class with a line end": ({"classes": ["a", "b", "c\nd"]}, "is not printable"),
    "a class written backwards": ({"classes": ["a", "b", "\u202egnp"]}, "is not printable"),
    "a long class": ({"classes": ["a", "b", "c" * 10_000]}, "at most 300 characters"),
    "many classes": ({"classes": [str(number) for number in range(5000)]}, "at most 1000 items"),
    "a name with a command": ({"name": "\x1b]0;x\x07"}, "is not printable"),
    "an image size": ({"image_size": 10**9}, "less than or equal to 2048"),
    "pixels": ({"pixels": "0..3"}, "pixels"),
    "half a letter": ({"note": "\ud800"}, "surrogates not allowed"),
    "answers that are no text": ({"probe": {**PROBE, "answers": [1, 2]}}, "probe.answers"),
    "answers that are no base64": ({"probe": {**PROBE, "answers": "x" * 101}}, "not base64 of float32 numbers"),
    "answers without end": ({"probe": {**PROBE, "answers": "A" * 3_000_000}}, "at most"),
    "answers of other lengths": ({"probe": {**PROBE, "logits": 7}}, "other than its lengths say"),
    "no answers": ({"probe": {**PROBE, "answers": ""}}, "probe"),
    "answers that are no numbers": ({"probe": {**PROBE, "answers": encoded(np.full((4, 3), np.nan))}}, "no probabil"),
    "answers above 1": ({"probe": {**PROBE, "answers": encoded(np.full((4, 3), 1e30))}}, "no probability"),
    "images without end": ({"probe": {**PROBE, "size": 10**9}}, "less than or equal to 2048"),
    "an embedding without end": ({"probe": {**PROBE, "embedding": 10**12}}, "less than or equal to 65536"),
    "a probe that is none": ({"probe": [[]]}, "probe"),
    "a threshold": (
        {"decision": {"threshold": 1e308, "escapes": 0, "confidence": 0, "referred": 0}},
        "decision.threshold",
    ),
}


@each("name", CARDS)
def test_every_field_of_a_card_is_bounded(place, capsys, name):
    fields, word = CARDS[name]
    beside = place.with_suffix(".json")
    card = json.loads(beside.read_text()) | fields
    beside.write_text(json.dumps(card))

    line = predict(capsys, place)

    sealed(place)
    assert word in line and "\x1b" not in line and len(line) < 1000


@each(
    "text",
    ["[" * 200_000, '{"a":' * 200_000, '{"x": NaN}', '{"a": ' + "[" * 50 + "]" * 50 + "}", "1" * 10_000],
    ids=["brackets", "objects", "NaN", "deep", "digits"],
)
def test_a_card_of_many_brackets_is_refused(place, capsys, text):
    place.with_suffix(".json").write_text(text)

    assert "is not a readable model card" in predict(capsys, place)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system are not on this system")
def test_a_pipe_in_place_of_a_file_is_not_waited_for(place, capsys):
    for file in (place.with_suffix(".json"), place):
        file.unlink()
        os.mkfifo(file)
        predict(capsys, place)


@each("size", [0, 2**64 - 40])
def test_texts_without_end_are_refused_before_they_are_read(tmp_path, good, size):
    """The HDF5 library would step on the spot, and no program could end it but from outside."""
    path = tmp_path / f"{size}.h5"
    data = bytearray(good.read_bytes())
    first = data.index(b"GCOL") + 16
    # The object's index, its references, its size.
    data[first : first + 2], data[first + 8 : first + 16] = bytes(2), size.to_bytes(8, "little")
    path.write_bytes(data)
    shutil.copy(good.with_suffix(".json"), path.with_suffix(".json"))

    weights = ["run", "--data", "demo", "--backbones", "vgg19", "--weights", path, "--results", tmp_path / "r"]
    for command in (["card", path], weights):
        done = subprocess.run(
            [sys.executable, "-m", "steelbench", *map(str, command)], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 2 and "damaged" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_what_is_unsafe_must_be_typed_and_is_said(place, capsys):
    sealed(place, unknown_layer())
    image = str(place.parent / "image.png")
    assert "which is not rebuilt" in predict(capsys, place)

    assert main(["predict", str(place), image, "--allow-unsafe"]) == 0

    printed = capsys.readouterr()
    assert "--allow-unsafe: layers are not held to the list of known ones" in printed.err
    assert len(printed.out.splitlines()) == 2


@each(
    "make",
    [lambda_layer, two_inputs, dict_output, per_pixel, gray],
    ids=["code", "two inputs", "named", "per pixel", "gray"],
)
def test_no_code_runs_and_no_other_form_is_taken_with_it(place, make):
    sealed(place, make())

    with pytest.raises(SteelbenchError, match=r"cannot be loaded"):
        load(place, classes=3, allow_unsafe=True)


def test_keras_2_is_refused_by_name(place, capsys, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")

    assert "TF_USE_LEGACY_KERAS=1 asks TensorFlow for Keras 2" in predict(capsys, place)


def test_bits_that_flip_are_answers_or_one_sentence(good, tmp_path):
    """A slice of the mutations that were tried by hand: 2000 without a traceback."""
    rng, whole, path = np.random.default_rng(0), good.read_bytes(), tmp_path / "m.h5"
    refusals = 0
    for _ in range(60):
        data = bytearray(whole)
        # The first bytes hold the structure, which Keras's own reader is not made for.
        data[int(rng.integers(0, 9000))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            inspect(path)
            with opened(path) as file:
                for name in file.weights:
                    file.arrays(name)
        except (SteelbenchError, ValueError):
            refusals += 1
    assert refusals < 60


def test_the_fast_checks_come_before_tensorflow(good):
    assert steelbench.load_model(good).classes == CLASSES
