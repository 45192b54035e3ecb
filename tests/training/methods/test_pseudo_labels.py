"""Pseudo-labels: who may join the training images, who never may, and what becomes of the second head."""

import csv
import json
import shutil
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name

import cv2
import numpy as np
import pytest
from surfaces import surface

from steelbench.cli.exit import main
from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.evaluation.label_first import read_candidates
from steelbench.experiment import METHODS, Experiment, Knn, RunOptions, Softmax
from steelbench.features.spec import ImageRef
from steelbench.records import RunRecord, Summary, read_record
from steelbench.runs.fingerprint import identity
from steelbench.runs.jobs import Unlabelled
from steelbench.runs.preparation import prepare, split_and_audit, tie_unlabelled
from steelbench.runs.unlabelled import read_unlabelled, usable
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.knn import train_knn
from steelbench.training.methods.pseudo_labels import Pool, train_twice
from steelbench.training.methods.softmax import train_softmax

pytestmark = pytest.mark.usefixtures("small_networks")

NAME = "mobilenet_v2_035"
SMALL = {
    "softmax": {"epochs": 5, "hidden": 16, "learning_rate": 0.02},
    "triplet": {"epochs": 4, "embedding": 8, "learning_rate": 0.01},
    "arcface": {"epochs": 8, "embedding": 8, "learning_rate": 0.05, "warmup_epochs": 1},
    "supcon": {
        **{"epochs": 3, "learning_rate": 0.02, "adapter": 32, "hidden": 32, "dropout": 0.2},
        **{"classifier_epochs": 8, "classifier_learning_rate": 0.02},
    },
}
SPLIT = Split(np.arange(4), np.arange(4, 6), np.arange(6, 8))


@dataclass(frozen=True)
class Played:
    """The result of a played training: a head whose probabilities are the features."""

    head: object
    notes: dict = field(default_factory=dict)


@pytest.fixture
def played():
    """A training that keeps what it was given; the features of an image are its probabilities."""
    given = []

    def train(data, settings, context):
        given.append((data, context))
        return Played(lambda x: x, {"call": len(given)})

    return train, given


def pool(probabilities, usable=True, confidence=0.8):
    features = np.float32(probabilities)
    groups = 100 + np.arange(len(features))
    return Pool(
        features=features, groups=groups, usable=np.broadcast_to(usable, len(features)), confidence=confidence,
        classes=["a", "b"],
    )  # fmt: skip


LABELLED = TrainingSet(
    features=np.tile(np.float32([0.5, 0.5]), (8, 1)), labels=np.arange(8) % 2, num_classes=2, split=SPLIT,
    groups=np.arange(8) // 2,
)  # fmt: skip


def teach(train, found, context=None, data=LABELLED):
    return train_twice(train, data, "settings", context or FitContext(seed=3), found)


def test_images_named_with_confidence_join_the_training_images_and_no_other_part(played):
    train, given = played

    trained = teach(train, pool([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]))

    assert len(given) == 2
    (data, _), (more, _) = given
    assert data is LABELLED
    np.testing.assert_array_equal(
        more.features, np.concatenate([data.features, np.float32([[0.9, 0.1], [0.2, 0.8]])])
    )  # fmt: skip
    assert more.labels.tolist() == [*data.labels, 0, 1] and more.labels.dtype == data.labels.dtype
    assert more.groups.tolist() == [*data.groups, 100, 102]
    assert more.split.train.tolist() == [0, 1, 2, 3, 8, 9]
    assert more.split.validation is SPLIT.validation and more.split.test is SPLIT.test
    assert trained.notes == {
        "call": 2,
        "pseudo_labels": {"confidence": 0.8, "images": 3, "left_out": 0, "used": 2, "per_class": {"a": 1, "b": 1}},
    }


def test_what_may_not_be_used_is_not_however_sure_the_head_is(played):
    train, given = played

    trained = teach(train, pool([[1, 0], [1, 0], [0, 1]], usable=[False, True, False]))

    more, _ = given[1]
    assert more.split.train.tolist() == [0, 1, 2, 3, 8] and more.labels.tolist()[8:] == [0]
    assert trained.notes["pseudo_labels"] == {
        "confidence": 0.8, "images": 3, "left_out": 2, "used": 1, "per_class": {"a": 1, "b": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [pool([[0.7, 0.3]]), pool([[np.nan, np.nan]]), pool([[1, 0]], usable=False), pool(np.zeros((0, 2)))],
    ids=["not sure", "no numbers", "not usable", "no images"],
)
def test_where_nothing_joins_the_first_head_is_the_result(played, found):
    train, given = played

    trained = teach(train, found)

    assert len(given) == 1 and trained.notes["call"] == 1
    assert trained.notes["pseudo_labels"]["used"] == 0


def test_the_two_trainings_have_one_seed_and_checkpoints_of_their_own(played, tmp_path):
    train, given = played

    teach(train, pool([[1, 0]]), FitContext(seed=3, state=tmp_path))

    first, second = (context for _, context in given)
    assert first.seed == second.seed == 3 and second.state == tmp_path
    assert first.checkpoint != second.checkpoint
    assert first.for_stage("embedding").checkpoint != second.for_stage("embedding").checkpoint
    # Whatever begins like this is deleted when a run is finished.
    assert first.state.parent == tmp_path and first.state.name.startswith("state")


def test_training_twice_goes_on_from_checkpoints_to_the_same_head(tmp_path):
    data, more = clusters()
    settings, found = Softmax(epochs=3, hidden=8, batch_size=16), pool_of(more)
    context = FitContext(seed=1, state=tmp_path, save_seconds=0)

    alone = train_twice(train_softmax, data, settings, FitContext(seed=1), found)
    fresh, again = (train_twice(train_softmax, data, settings, context, found) for _ in range(2))

    for one in (fresh, again):
        np.testing.assert_array_equal(one.head(data.features), alone.head(data.features))


def test_images_without_views_do_not_join_a_set_that_has_them(played):
    views = np.stack([LABELLED.features] * 2)

    with pytest.raises(ValueError, match="without views"):
        teach(played[0], pool([[1, 0]]), data=replace(LABELLED, views=views))


def clusters(seed=0, labelled=12, apart=1.6, dim=20, others=300):
    """Three clouds: labelled images, of which few train, and the features of more images without labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(labelled + others + 300) % 3
    centres = apart * rng.standard_normal((3, dim))
    features = (centres[labels] + rng.standard_normal((len(labels), dim))).astype(np.float32)
    known = np.r_[0:labelled, labelled + others : len(labels)]
    rows = np.arange(len(known))
    split = Split(rows[: labelled // 2], rows[labelled // 2 : labelled], rows[labelled:])
    data = TrainingSet(features=features[known], labels=labels[known], num_classes=3, split=split)
    return data, features[labelled : labelled + others]


def pool_of(features, confidence=0.9):
    usable = np.ones(len(features), bool)
    groups = np.arange(len(features))
    return Pool(features=features, groups=groups, usable=usable, confidence=confidence, classes=["a", "b", "c"])


def accuracy(trained, data):
    test = data.split.test
    return np.mean(trained.head(data.features[test]).argmax(axis=1) == data.labels[test])


def test_many_images_without_labels_help_where_few_have_one():
    gains = []
    for seed in range(4):
        data, more = clusters(seed, labelled=24, apart=0.4, dim=40)
        few, both = (
            train_knn(data, Knn(), FitContext()),
            train_twice(train_knn, data, Knn(), FitContext(), pool_of(more)),
        )
        gains.append(accuracy(both, data) - accuracy(few, data))

    assert np.mean(gains) > 0.03, gains


@pytest.mark.parametrize("method", [name for name, row in METHODS.items() if row.train])
def test_every_method_on_frozen_features_trains_twice(method, tmp_path):
    data, more = clusters(labelled=48, apart=3)
    row = METHODS[method]
    settings, context = row.settings(**SMALL.get(method, {})), FitContext(seed=1, state=tmp_path)

    trained = train_twice(resolve_name(row.train), data, settings, context, pool_of(more, 0.6))

    assert accuracy(trained, data) > 0.9
    assert trained.notes["pseudo_labels"]["used"] > 100


def test_who_shares_a_group_with_a_test_or_validation_image_is_left_out():
    rng = np.random.default_rng(0)
    ties, groups = rng.integers(0, 30, 60).tolist(), rng.integers(0, 40, 50).tolist()
    split = Split(np.arange(30), np.arange(30, 40), np.arange(40, 60))
    images = [ImageRef(path=f"/u/{row}", label=-1, digest="", group=group) for row, group in enumerate(groups)]

    found = usable(Unlabelled(images=images, ties=ties, confidence=0.9), split)

    assert found.tolist() == [all(ties[row] != group for row in range(30, 60)) for group in groups]
    assert 0 < found.sum() < 50


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A data set that brings its split, and images without labels of which each is what its name says."""
    root, more = tmp_path_factory.mktemp("labelled"), tmp_path_factory.mktemp("unlabelled")
    seeds = iter(range(100))
    for part, count in (("train", 4), ("val", 2), ("test", 2)):
        for name in ("a", "b"):
            for number in range(count):
                write(root / part / name / f"{number}.png", surface(next(seeds)))
    strip = surface(500, width=400)
    write(root / "test" / "a" / "strip.png", strip[:, :160])
    shutil.copy(root / "test" / "a" / "0.png", more / "copy_of_test.png")
    write(more / "deep" / "crop_of_test.png", cv2.imread(str(root / "test" / "b" / "1.png"))[20:130, 30:150])
    write(more / "turned_validation.png", cv2.imread(str(root / "val" / "a" / "1.png"))[:, ::-1])
    write(more / "dark_validation.jpg", (cv2.imread(str(root / "val" / "b" / "0.png")) * 0.8).astype(np.uint8))
    write(more / "next_to_test.png", strip[:, 90:250])
    write(more / "next_to_that.png", strip[:, 200:360])
    write(more / "crop_of_training.png", cv2.imread(str(root / "train" / "b" / "1.png"))[20:130, 30:150])
    write(more / "new.png", surface(700))
    write(more / "also_new.png", surface(701))
    return root, more


def get_ready(root, more, results, *methods, **options):
    experiments = [Experiment(backbone=NAME, method=method) for method in methods or (Knn(),)]
    options = RunOptions(data=str(root), results=results, weights="random", unlabelled=more, **options)
    return prepare(options, experiments, "", lambda *_: None)


def tied(ready):
    """The plan of the splits, and the images without labels with their groups."""
    plan = split_and_audit(ready, lambda *_: None).plan
    return plan, tie_unlabelled(ready, plan, lambda *_: None)


def test_copies_and_crops_of_test_and_validation_images_are_left_out_also_along_a_chain(folders, tmp_path):
    root, more = folders
    ready = get_ready(root, more, tmp_path / "r")

    plan, unlabelled = tied(ready)
    found = usable(unlabelled, plan.splits[0, 0])

    names = [image.path.removeprefix(f"{more.resolve()}/") for image in unlabelled.images]
    assert names == sorted(names) and len(names) == 9
    kept = [name for name, keep in zip(names, found, strict=True) if keep]
    assert kept == ["also_new.png", "crop_of_training.png", "new.png"]


def test_with_other_test_images_others_are_left_out(folders, tmp_path):
    root, more = folders
    ready = get_ready(root, more, tmp_path / "r")
    plan, unlabelled = tied(ready)
    split = plan.splits[0, 0]
    swapped = Split(np.concatenate([split.validation, split.test]), split.train[1:], split.train[:1])

    found = usable(unlabelled, swapped)

    left = [image.path.rsplit("/", 1)[-1] for image, keep in zip(unlabelled.images, found, strict=True) if not keep]
    assert left == ["crop_of_training.png"]


def test_labelled_files_below_the_folder_are_passed_over(folders, tmp_path):
    root, more = folders
    ready = get_ready(root, shutil.copytree(more, root / "unlabelled"), tmp_path / "r")
    shutil.rmtree(root / "unlabelled")
    labelled = {(root / sample.path).resolve() for sample in ready.dataset.samples}

    assert len(ready.dataset.samples) == 17 and len(ready.found.images) == 9
    with pytest.raises(SteelbenchError, match="no image but the 17 labelled ones"):
        read_unlabelled(root, labelled)


def test_names_and_bytes_decide_the_digest_and_not_the_place(folders, tmp_path):
    more = folders[1]
    moved = shutil.copytree(more, tmp_path / "moved")
    first = read_unlabelled(more, set()).digest
    assert read_unlabelled(moved, set()).digest == first

    write(moved / "new.png", surface(702))

    assert read_unlabelled(moved, set()).digest != first


def test_a_few_unreadable_images_are_skipped_and_many_are_refused(tmp_path):
    for number in range(20):
        write(tmp_path / "u" / f"{number:02}.png", surface(number, 32, 32))
    (tmp_path / "u" / "bad.png").write_bytes(b"no image")

    found = read_unlabelled(tmp_path / "u", set())

    assert len(found.images) == 20 and [name for name, _ in found.skipped] == ["bad.png"]
    (tmp_path / "u" / "worse.png").write_bytes(b"no image")
    with pytest.raises(SteelbenchError, match=r"2 of 22 images \(9%\) cannot be read, at most 5%"):
        read_unlabelled(tmp_path / "u", set())


def test_the_report_is_told_of_pseudo_labels_and_of_unreadable_images(folders, tmp_path, monkeypatch):
    more = shutil.copytree(folders[1], tmp_path / "u")
    for number in range(20):
        write(more / f"{number:02}.png", surface(number + 800, 32, 32))
    (more / "bad.png").write_bytes(b"no image")
    monkeypatch.setattr(
        "steelbench.runs.run.run_jobs",
        lambda jobs, *_: {task.key: "it did not feel like it" for job in jobs for task in job.tasks},
    )

    arguments = ["--backbones", NAME, "--weights", "random", "--unlabelled", more, "--results", tmp_path / "r"]
    assert main(["run", "--data", str(folders[0]), *map(str, arguments)]) == 1

    warnings = read_record(tmp_path / "r" / "results.json", Summary).warnings
    [told] = [notice for notice in warnings if "Pseudo-labels" in notice.text]
    assert told.level == "note" and "up to 29 images" in told.text and "0.9" in told.text
    [bad] = [notice for notice in warnings if "unreadable" in notice.text]
    assert "1 unreadable images without labels" in bad.text and "bad.png" in bad.text and str(more) not in bad.text


def refused(capsys, *arguments):
    assert main(["run", "--backbones", NAME, "--weights", "random", *map(str, arguments)]) == 2
    told = ("steelbench: reading", "steelbench: data: ")
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith(told)]
    assert len(lines) == 1 and "fault in steelbench" not in lines[0]
    return lines[0]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--unlabelled", "{root}/nowhere"], ["--unlabelled", "nowhere", "no folder"]),
        (["--unlabelled", "{empty}"], ["--unlabelled", "no image"]),
        (["--unlabelled", "{root}"], ["17 labelled"]),
        (["--unlabelled", "{more}", "--results", "{more}/r"], ["--results", "outside"]),
        (["--unlabelled", "{more}", "--methods", "finetune"], ["--unlabelled", "finetune", "linear"]),
        (["--unlabelled", "{more}", "--methods", "supcon", "--set", "supcon.trainable=last:3"], ["supcon", "frozen"]),
        (["--unlabelled", "{more}", "--confidence", "0.4"], ["confidence", "0.4", "0.5"]),
        (["--unlabelled", "{more}", "--confidence", "nan"], ["confidence", "nan"]),
        (["--confidence", "0.8"], ["--confidence 0.8", "--unlabelled"]),
    ],
)
def test_mistakes_with_images_without_labels_are_told_in_one_sentence(folders, tmp_path, capsys, more, words):
    root, unlabelled = folders
    (tmp_path / "empty").mkdir()
    places = {"root": root, "more": unlabelled, "empty": tmp_path / "empty"}

    message = refused(
        capsys, "--data", root, "--results", tmp_path / "r", *(word.format(**places) for word in more)
    )  # fmt: skip

    assert all(word in message for word in words), message
    assert not (tmp_path / "r").exists() and not (unlabelled / "r").exists()


def test_the_fingerprint_covers_them_only_where_they_are_given(folders, tmp_path):
    root, more = folders
    ready = get_ready(root, more, tmp_path / "r", confidence=0.8)
    [experiment] = ready.experiments
    plain = RunOptions(data=str(root), results=tmp_path / "r", weights="random")

    without = identity(experiment, plain, ready.origins, ready.config)
    parts = identity(experiment, ready.options, ready.origins, ready.config)

    added = {key: parts[key] for key in set(parts) - set(without)}
    assert added == {"pseudo_labels": {"confidence": 0.8, "unlabelled": ready.found.digest}}
    assert {key: parts[key] for key in without} == without


def run(data, results, *more):
    options = ["--backbones", NAME, "--weights", "random", "--image-size", "32", "--epochs", "3", "--engine", "keras"]
    arguments = ["run", "--data", data, "--results", results, "--methods", "linear,softmax,triplet", *options, *more]
    return main([str(argument) for argument in arguments])


def records(results):
    found = [read_record(path, RunRecord) for path in sorted((results / "runs").glob(f"{NAME}-*/result.json"))]
    assert {record.method for record in found} == {"linear", "softmax", "triplet"}
    return found


@pytest.fixture(scope="module")
def finished(tiny_images, tmp_path_factory):
    """Labelled images with a planted copy of one, images without labels, and the results with and without these."""
    data, more = tiny_images(images=15, classes=3), tiny_images(images=20, classes=3, seed=9)
    shutil.copy(data / "rows" / "000.png", data / "rows" / "copy.png")
    shutil.copytree(data, more / "all_the_labelled_ones_again")
    folder = tmp_path_factory.mktemp("pseudo")
    assert run(data, folder / "without") == 0
    assert run(data, folder / "with", "--unlabelled", more, "--confidence", "0.6") == 0
    return data, more, folder / "without", folder / "with"


@pytest.mark.slow
def test_the_record_counts_what_was_used_and_what_was_left_out(finished):
    for record in records(finished[3]):
        note = record.notes.pseudo_labels.model_dump()
        assert set(note) == {"confidence", "images", "left_out", "used", "per_class"}
        assert note["confidence"] == 0.6 and note["images"] == 60 + 46
        # At least the copies of every validation and test image.
        assert record.n_validation + record.n_test <= note["left_out"] < 106
        assert 0 < note["used"] == sum(note["per_class"].values()) <= 106 - note["left_out"]
        assert set(note["per_class"]) == {"rows", "columns", "checks"}
        assert record.n_train + record.n_validation + record.n_test == 46
        assert record.verification.max_difference <= 1e-4


@pytest.mark.slow
def test_only_images_that_share_nothing_with_a_labelled_one_are_candidates_for_a_label(finished):
    for record in records(finished[3]):
        found = read_candidates(finished[3] / "runs" / record.run_name / "candidates.csv")
        assert 0 < len(found) <= 60
        assert not any(own.path.startswith("all_the_labelled_ones_again") for own in found)
        assert {own.predicted for own in found} <= {"rows", "columns", "checks"}
    assert not list((finished[2] / "runs").glob("*/candidates.csv"))


@pytest.mark.slow
def test_scores_are_of_the_same_labelled_images_and_the_naive_number_is_the_same(finished):
    _, _, without, with_them = finished

    for plain, record in zip(records(without), records(with_them), strict=True):
        assert record.metrics["naive"] == plain.metrics["naive"]
        paths = []
        for results in (without, with_them):
            with (results / "runs" / record.run_name / "predictions.csv").open(newline="", encoding="utf-8") as file:
                paths.append([(row["path"], row["label"]) for row in csv.DictReader(file)])
        assert paths[0] == paths[1] and "pseudo_labels" not in plain.notes
        left = {path.name for path in (with_them / "runs" / record.run_name).iterdir()}
        assert not any(name.startswith("state") for name in left)


@pytest.mark.slow
def test_again_runs_nothing_and_another_confidence_or_none_is_refused(finished, capsys):
    data, more, without, with_them = finished
    before = {path: path.stat().st_mtime_ns for path in with_them.rglob("*.json")}

    assert run(data, with_them, "--unlabelled", more, "--confidence", "0.6") == 0
    assert {path: path.stat().st_mtime_ns for path in with_them.rglob("*.json")} == before

    capsys.readouterr()
    for results, options, words in (
        (with_them, ["--unlabelled", more], ["0.6", "0.9"]),
        (with_them, [], ["0.6", "none"]),
        (without, ["--unlabelled", more], ["none", "0.9"]),
    ):
        assert run(data, results, *options) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert "pseudo-labels" in message and all(word in message for word in words), message
    assert json.loads((with_them / "config.json").read_text(encoding="utf-8"))["confidence"] == 0.6


@pytest.mark.slow
def test_other_images_without_labels_are_refused_by_name(finished, tmp_path, capsys):
    data, more, _, with_them = finished
    other = shutil.copytree(more, tmp_path / "other")
    (other / "rows" / "000.png").unlink()

    assert run(data, with_them, "--unlabelled", other, "--confidence", "0.6") == 2

    assert "other unlabelled images" in capsys.readouterr().err
