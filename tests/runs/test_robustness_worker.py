"""The measuring process: its answers are those of the saved model on corrupted raw images."""

import numpy as np
import pytest
from image_sets import SIZE, small_encoder, stripes

from steelbench.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from steelbench.evaluation.predictions import write_predictions
from steelbench.evaluation.robustness import read_robustness
from steelbench.features.spec import ImageRef
from steelbench.files import write_json
from steelbench.models import saved_model
from steelbench.models.head import Dense, Head
from steelbench.records import RunRecord
from steelbench.runs import robustness_worker
from steelbench.runs.robustness import Measurement
from steelbench.runs.robustness_worker import Pixels, measure

CLASSES = ["a", "b", "c"]
NAMES = ("vgg19-softmax", "vgg19-linear")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder with two heads on one encoder, their models, and the images that they were tested on."""
    import cv2

    results = tmp_path_factory.mktemp("results")
    labels = np.arange(18) % 3
    pixels = list(stripes(labels))
    for number, image in enumerate(pixels):
        cv2.imwrite(str(results / f"{number:02}.png"), image[..., ::-1])
    encoder = small_encoder()
    features = np.asarray(encoder(np.stack(pixels).astype("f4")))
    means = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    for name, sharp in zip(NAMES, (3.0, 0.5), strict=True):
        kernel = sharp * means.T / features.var()
        bias = -sharp * (means**2).sum(axis=1) / 2 / features.var()
        head = Head((Dense(kernel.astype("f4"), bias.astype("f4"), "softmax"),))
        record = run_record(name)
        folder = results / "runs" / record.run_name
        folder.mkdir(parents=True)
        head.save(folder / "head.npz")
        saved_model.save(saved_model.stitch(encoder, head, name), results / record.model)
        paths = [f"{number:02}.png" for number in range(18)]
        write_predictions(folder / "predictions.csv", paths, [CLASSES[n] for n in labels], head(features), CLASSES)
        write_json(folder / "result.json", record)
    return results, labels, pixels


def run_record(name):
    backbone, method = name.split("-")
    return RunRecord(
        backbone=backbone, method=method, seed=0, fold=0, classes=CLASSES, n_train=1, n_validation=1, n_test=18,
        engine="keras", precision="float32", params=1, metrics={}, seconds={}, settings={}, fingerprint=name,
        model=f"{name}.h5", image_size=SIZE, weights={"kind": "imagenet"},
    )  # fmt: skip


def job_of(trained):
    results, labels, _ = trained
    images = [ImageRef(path=f"{n:02}.png", label=int(c), digest=str(n), group=n) for n, c in enumerate(labels)]
    return Measurement(
        results=str(results), root=str(results), bit_depth=None, classes=CLASSES, images=images, networks=[list(NAMES)]
    )


def test_the_answers_are_those_of_the_saved_model_on_corrupted_images(trained):
    results, labels, pixels = trained
    job, events = job_of(trained), []

    measure(job, NAMES, Pixels(job), events.append)

    for name in NAMES:
        found = read_robustness(results, [run_record(name)])
        assert found.clean_accuracy > 0.9 and found.clean_differences == 0
        assert found.strengths == list(STRENGTHS) and [own.corruption for own in found.results] == list(CORRUPTIONS)
        model = saved_model.load(results / f"{name}.h5")
        for corruption in ("motion_blur", "sensor_noise"):
            changed = [corrupt(corruption, image, 5, str(n)) for n, image in enumerate(pixels)]
            expected = saved_model.probabilities(model, changed).argmax(axis=1)
            assert found.of(corruption).at(5).accuracy == pytest.approx(np.mean(expected == labels))
    assert events[-1].done == events[-1].total == 18 * len(CORRUPTIONS) * len(STRENGTHS)
    # The light passes through the mean, noise and blur do not.
    assert min(cell.accuracy for own in found.results for cell in own.cells) < 1


def test_a_slow_network_is_measured_at_three_strengths(trained, monkeypatch):
    monkeypatch.setattr(robustness_worker, "BUDGET_SECONDS", 0.0)

    measure(job_of(trained), NAMES, Pixels(job_of(trained)), lambda _: None)

    assert read_robustness(trained[0], [run_record(NAMES[0])]).strengths == [1, 3, 5]


def test_an_encoder_without_one_resizing_is_run_on_raw_images(trained, monkeypatch):
    results, _, _ = trained
    job = job_of(trained)
    extract, _ = robustness_worker.open_network(_encoder(results), run_record(NAMES[0]), Pixels(job))
    plain, engine = robustness_worker.open_network(
        _encoder(results), run_record(NAMES[0]).model_copy(update={"engine": "keras+openvino"}), Pixels(job)
    )

    assert engine == "keras"
    np.testing.assert_allclose(plain("shift", 2), extract("shift", 2), atol=1e-4)


def _encoder(results):
    return saved_model.encoder_of(saved_model.load(results / f"{NAMES[0]}.h5"))


def test_images_are_decoded_once_as_far_as_memory_allows(trained, monkeypatch):
    monkeypatch.setattr(robustness_worker, "KEPT_BYTES", 2 * SIZE * SIZE * 3)
    pixels = Pixels(job_of(trained))

    for row in (0, 1, 2, 0, 1, 2):
        assert np.array_equal(pixels.read(row), trained[2][row])

    assert list(pixels.kept) == [0, 1]
