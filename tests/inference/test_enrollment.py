"""A class added to a finished model: where its direction points, what is refused, and the command on a real model."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.inference.enrollment import refuse_name, with_class

pytestmark = pytest.mark.usefixtures("small_networks")


def test_new_column_is_the_mean_direction_as_long_as_the_others():
    rng = np.random.default_rng(0)
    kernel = 30 * np.eye(5, 3, dtype=np.float32)
    embeddings = rng.standard_normal((4, 5))
    embeddings = (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32)

    found = with_class(kernel, embeddings)

    assert np.array_equal(found[:, :3], kernel)
    mean = sum(embeddings) / 4
    np.testing.assert_allclose(found[:, 3], 30 * mean / np.linalg.norm(mean), rtol=1e-5)


def test_a_class_that_the_model_knows_is_refused():
    class Known:
        classes = ("Cr", "In")

    with pytest.raises(SteelbenchError, match="rename the folder"):
        refuse_name(Known(), "In")
    refuse_name(Known(), "Pa")


@pytest.fixture(scope="module")
def trained(tiny_images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("enroll") / "r"
    options = ["--backbones", "mobilenet_v2_035", "--weights", "random", "--image-size", "32", "--epochs", "3"]
    data = tiny_images(images=14, classes=2)
    more = ["--methods", "triplet,arcface,softmax", "--set", "triplet.learning_rate=0.003", "--engine", "keras"]
    assert main(["run", "--data", str(data), "--results", str(folder), *options, *more]) == 0
    return folder / "models"


@pytest.fixture(scope="module")
def third(tiny_images):
    """Images of a class that the model has not seen."""
    folder = tiny_images(images=14, classes=3, seed=1)
    known = {path.name for path in tiny_images(images=14, classes=2).iterdir()}
    return next(path for path in sorted(folder.iterdir()) if path.is_dir() and path.name not in known)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["triplet", "arcface"])
def test_enrolled_class_is_told_and_the_old_ones_keep_their_order(trained, third, method, tmp_path, capsys):
    import steelbench

    model, out = trained / f"mobilenet_v2_035-{method}.h5", tmp_path / "more.h5"
    before = steelbench.load_model(model)
    assert main(["enroll", str(model), str(third), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    after = steelbench.load_model(out)

    from steelbench.data.images import read_image

    pictures = [read_image(path, None) for path in sorted(third.iterdir())]
    old, new = before.predict(pictures), after.predict(pictures)
    assert after.classes == [*before.classes, third.name]
    np.testing.assert_allclose(new[:, :-1] / new[:, :-1].sum(axis=1, keepdims=True), old, atol=1e-4)
    assert np.mean(new.argmax(axis=1) == len(before.classes)) > 0.5
    import keras

    assert keras.models.load_model(out, compile=False).output_shape == (None, 3)
    assert json.loads(out.with_suffix(".json").read_text())["metrics"] == {}
    # Answers of its own, to one more class.
    assert after.card.probe.numbers().shape[1] == before.card.probe.numbers().shape[1] + 1


@pytest.mark.slow
def test_enrolment_is_as_quiet_as_prediction(trained, third, tmp_path):
    """In a process of its own, which imports TensorFlow as a user's does."""
    folder = tmp_path / "new\x1b[2J" / "crack"
    folder.mkdir(parents=True)
    for path in sorted(third.iterdir())[:3]:
        shutil.copy(path, folder)
    (folder / "empty.png").touch()
    out = tmp_path / "more.h5"
    command = ["enroll", trained / "mobilenet_v2_035-arcface.h5", folder, "--out", out]

    done = subprocess.run([sys.executable, "-m", "steelbench", *command], capture_output=True, text=True, timeout=200)

    assert done.returncode == 1 and done.stdout == f"{out}\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "steelbench: 'crack' is the mean of 3 images"
    assert len(lines) == 2 and lines[1].startswith("steelbench: ") and "cannot be read and was left out" in lines[1]
    assert "new\\x1b[2J" in lines[1]


@pytest.mark.slow
def test_mistakes_are_one_sentence(trained, third, tmp_path, capsys):
    arcface = str(trained / "mobilenet_v2_035-arcface.h5")
    (tmp_path / "empty").mkdir()
    (tmp_path / "there.h5").write_text("")
    for arguments, words in [
        (["enroll", str(trained / "mobilenet_v2_035-softmax.h5"), str(third)], "triplet or arcface"),
        (["enroll", arcface, str(tmp_path / "empty")], "holds no image"),
        (["enroll", arcface, str(tmp_path / "nothing")], "is no folder"),
        (["enroll", arcface, str(third), "--out", str(tmp_path / "there.h5")], "exists"),
        (["enroll", arcface, str(third), "--out", str(tmp_path / "model.keras")], "does not end in .h5"),
        (["enroll", str(tmp_path / "none.h5"), str(third)], "does not exist"),
    ]:
        assert main(arguments) == 2
        assert words in capsys.readouterr().err
