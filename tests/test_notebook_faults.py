"""Faults of notebooks that are often copied, which this package must lack.

Some have their test where the code is: copies across a split in `data/test_splits.py` and `data/test_split_plan.py`,
pairs of an image with itself in `training/loop/test_samplers.py`, with one that shares
pixels in `training/methods/test_triplet.py`, frozen layers of `finetune` in
`training/methods/test_finetune.py`.
"""

import csv
import shutil
from pkgutil import resolve_name

import keras
import numpy as np
import pytest
from image_sets import changed, copied, small_encoder, stripes, weights_of

from steelbench.cli.exit import main
from steelbench.data.splits import Split
from steelbench.experiment import METHODS, Supcon
from steelbench.features.engines import open_engine
from steelbench.models import saved_model
from steelbench.models.surgery import choose_learning
from steelbench.records import RunRecord, Summary, read_record
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods import supcon
from steelbench.training.methods.image_training import ImageTrainingSet

pytestmark = pytest.mark.usefixtures("small_networks")

# 42 training images: 30, 6, 6 of three classes.
LABELS = np.array([0] * 30 + [1] * 6 + [2] * 6 + [0, 1, 2] * 6)
SPLIT = Split(np.arange(42), np.arange(42, 54), np.arange(54, 60))
# 12 images to a batch, 4 of each class, until the largest class was seen; then every image once.
STEPS = {"contrastive": 8, "classifier": 4}


def settings_of(**more):
    usual = {"epochs": 1, "batch_size": 12, "adapter": 16, "projection_dim": 8, "hidden": 16, "classifier_epochs": 1}
    return Supcon(**{**usual, **more})


def unit(count, dim=6):
    x = np.random.default_rng(0).standard_normal((count, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def training_set(features):
    return TrainingSet(features=features, labels=LABELS, num_classes=3, split=SPLIT)


def clusters():
    rng = np.random.default_rng(0)
    return training_set((rng.standard_normal((3, 10))[LABELS] + 0.8 * rng.standard_normal((60, 10))).astype(np.float32))


@pytest.fixture
def pixels():
    return stripes(LABELS)


@pytest.fixture
def encoder():
    """A small frozen network whose normalisation would notice if it were run as in training."""
    return small_encoder()


@pytest.fixture
def images(encoder, pixels, monkeypatch):
    """Images to train on; the copies of their encoder are kept in `images.copies`."""
    copies = []

    def copy(self, trainable):
        made = copied(self.encoder)
        choose_learning(made, trainable, pretrained=True)
        copies.append(made)
        return made

    monkeypatch.setattr(ImageTrainingSet, "copy_encoder", copy)
    monkeypatch.setattr(ImageTrainingSet, "copies", copies, raising=False)
    return ImageTrainingSet(
        encoder=encoder, pretrained=True, pixels=pixels, digest="d", labels=LABELS, num_classes=3, split=SPLIT
    )


def test_the_anchor_is_a_positive_only_where_npairs_is_asked_for():
    """Images of four classes have no positive but themselves."""
    labels, embeddings = np.arange(4), unit(4)

    assert float(supcon.contrastive_loss(Supcon())(labels, embeddings)) == 0
    assert float(supcon.contrastive_loss(Supcon(loss="npairs"))(labels, embeddings)) > 0


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.train])
def test_a_method_on_features_leaves_the_frozen_encoder_bit_for_bit(method, encoder, pixels):
    row, before = METHODS[method], weights_of(encoder)
    few = {name: 2 for name in ("epochs", "classifier_epochs") if name in row.settings.model_fields}
    run = open_engine("keras", encoder, "float32", batch=20)
    features = np.concatenate(list(run(pixels.astype(np.float32).reshape(3, 20, 32, 32, 3))))

    trained = resolve_name(row.train)(training_set(features), row.settings(**few), FitContext())
    model = saved_model.stitch(encoder, trained.head, method)
    model(pixels.astype(np.float32))

    assert trained.encoder is None and any(name.endswith("_bn") for name, _ in before)
    assert not changed(before, weights_of(model))


def test_the_second_stage_leaves_an_encoder_that_learned_bit_for_bit(images, monkeypatch):
    after_first = []
    real = supcon.train_softmax

    def spy(data, *given):
        after_first.append((weights_of(images.copies[0]), data.features.copy()))
        return real(data, *given)

    monkeypatch.setattr(supcon, "train_softmax", spy)
    settings = settings_of(trainable="last:4", classifier_epochs=3, classifier_learning_rate=0.1)
    trained = supcon.train_supcon_on_images(images, settings, FitContext())

    [(between, features)], after = after_first, weights_of(trained.encoder)
    assert changed(weights_of(images.encoder), between) == {"conv_1", "conv_2"}
    assert not changed(between, after) and np.array_equal(features, trained.features)
    assert list(trained.fits) == ["contrastive", "classifier"]


@pytest.mark.parametrize("trainable", ["adapter", "last:4"])
def test_each_stage_has_steps_of_its_own(trainable, images, monkeypatch):
    seen = []
    real = keras.Model.fit

    def spy(self, data, **options):
        seen.append((options["steps_per_epoch"], sum(1 for _ in data)))
        return real(self, data, **options)

    monkeypatch.setattr(keras.Model, "fit", spy)
    if trainable == "adapter":
        supcon.train_supcon(clusters(), settings_of(), FitContext())
    else:
        supcon.train_supcon_on_images(images, settings_of(trainable=trainable), FitContext())

    assert seen == [(steps, steps) for steps in STEPS.values()]


@pytest.mark.parametrize(("projection", "signs"), [("relu", {0, 1}), ("linear", {-1, 1}), ("mlp", {-1, 1})])
def test_half_of_the_space_is_lost_only_where_relu_is_chosen(projection, signs):
    settings = Supcon(projection=projection)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), *supcon.projection_layers(settings)])
    z = model.predict(np.random.default_rng(0).standard_normal((50, 64)), verbose=0)

    assert set(np.sign(z).ravel()) == signs
    assert (np.min(z @ z.T) < 0) == (projection != "relu")


def test_what_relu_does_to_the_projection_is_said_where_it_is_chosen():
    assert "relu keeps the projections in the positive part" in Supcon.model_fields["projection"].description


@pytest.mark.parametrize("seed", range(3))
def test_every_validation_batch_of_a_contrastive_stage_has_positives_and_negatives(seed):
    """Folders are read in class order; so batched, some hold one class and the last ones another."""
    labels = np.repeat(np.arange(4), 24)
    batches = supcon.contrastive_batches(np.arange(40) % 4, len(labels), settings_of(batch_size=16), seed).validation

    assert sorted(np.concatenate(batches)) == list(range(96))
    for rows in batches:
        counts = np.bincount(labels[rows], minlength=4)
        assert np.sum(counts[counts > 1]) >= 0.8 * len(rows) and np.sum(counts > 1) >= 2
    others = supcon.contrastive_batches(np.arange(40) % 4, len(labels), settings_of(batch_size=16), seed + 1)
    assert any(not np.array_equal(a, b) for a, b in zip(batches, others.validation, strict=True))


def test_two_temperatures_in_one_process_do_not_reach_each_other():
    def losses(temperature):
        settings = settings_of(temperature=temperature, epochs=2)
        fits = supcon.train_supcon(clusters(), settings, FitContext()).fits
        return [(line.loss, line.val_loss) for line in fits["contrastive"].history]

    cold = losses(0.05)
    warm = losses(0.5)

    assert all(a != b for one, other in zip(cold, warm, strict=True) for a, b in zip(one, other, strict=True))
    assert losses(0.05) == cold and losses(0.5) == warm


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["global", "image"])
def test_homogenisation_never_asks_for_the_class(tiny_images, tmp_path, mode):
    """With the training images' labels exchanged, the model sees every image as before."""
    folder, found = tiny_images(images=12, classes=3), []
    paths = sorted(path.relative_to(folder) for path in folder.glob("*/*.png"))
    parts = (["train"] * 8 + ["val"] * 2 + ["test"] * 2) * 3
    for turn in (0, 1):
        # The second time every other training image takes the label of the next class.
        moved = [12 * (turn and part == "train" and number % 2) for number, part in enumerate(parts)]
        labels = [paths[(number + by) % len(paths)].parent.name for number, by in enumerate(moved)]
        with (folder / f"{turn}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "split"), *zip(paths, labels, parts, strict=True)])
        results = tmp_path / str(turn)
        options = ["--homogenize", mode, "--weights", "random", "--image-size", "32", "--methods", "linear"]
        options += ["--engine", "keras", "--backbones", "mobilenet_v2_035", "--results", str(results)]
        assert main(["run", "--data", str(folder / f"{turn}.csv"), *options]) == 0
        record = read_record(results / "runs" / "mobilenet_v2_035-linear-s0-f0" / "result.json", RunRecord)
        assert record.homogenize == mode and record.verification.max_difference <= 1e-4
        model = keras.models.load_model(results / "models" / "mobilenet_v2_035-linear.h5", compile=False)
        assert any(layer.name.startswith("homogenize") for layer in model.layers)
        found.append((record.weights.brightness, model))

    images = np.random.default_rng(0).uniform(0, 255, (4, 40, 40, 3)).astype(np.float32)
    (mean, model), (other_mean, other_model) = found
    assert mean == other_mean
    assert np.array_equal(*(saved_model.encoder_of(each)(images) for each in (model, other_model)))
    assert not np.array_equal(model(images), other_model(images))


def run_pairs(folder, results, data=None):
    options = ["--weights", "random", "--image-size", "32", "--backbones", "mobilenet_v2_035", "--epochs", "2"]
    options += [
        "--engine",
        "keras",
        "--methods",
        "triplet",
        "--set",
        "triplet.mining=pairs",
        "--set",
        "triplet.embedding=8",
    ]
    return main(["run", "--data", str(data or folder), "--results", str(results), *options])


@pytest.mark.slow
def test_pairs_train_on_a_small_data_set_in_which_every_other_image_has_a_copy(tiny_images, tmp_path):
    folder = tiny_images(images=12, classes=3)
    for path in sorted(folder.glob("*/*.png"))[::2]:
        shutil.copy(path, path.with_name(f"copy-of-{path.name}"))

    assert run_pairs(folder, tmp_path / "results") == 0


@pytest.mark.slow
@pytest.mark.parametrize("groups", [1, 2])
def test_images_of_one_group_are_no_pair_of_one_class(tiny_images, tmp_path, groups):
    """All training images of a class are of one group, such as crops of one frame; or one class has a second group."""
    folder = tiny_images(images=12, classes=2)
    parts = (["train"] * 8 + ["val"] * 2 + ["test"] * 2) * 2
    rows = []
    for number, (path, part) in enumerate(zip(sorted(folder.glob("*/*.png")), parts, strict=True)):
        frame = f"{path.parent.name}-{groups > 1 and number == 0}" if part == "train" else ""
        rows.append((path.relative_to(folder), path.parent.name, part, frame))
    with (folder / "images.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split", "group"), *rows])

    code = run_pairs(folder, tmp_path / "results", folder / "images.csv")

    [row] = [row for row in read_record(tmp_path / "results" / "results.json", Summary).rows if row.method == "triplet"]
    assert code == (1 if groups == 1 else 0)
    assert ("no pair shows one class" in row.reason) == (groups == 1)
