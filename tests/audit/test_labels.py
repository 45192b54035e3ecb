"""Suspicious labels: planted ones are ranked first, confident learning against loops written from the paper, and the
command, which checks labels where features of the images are cached and says what to do where not."""

import csv
import json

import numpy as np
import pytest

from steelbench.audit.labels import best_store, confident_learning, fitted_rows, suspicious_labels
from steelbench.cli.exit import main
from steelbench.data.demo import cached_demo
from steelbench.data.inspection import inspect_dataset
from steelbench.data.readers import read_dataset
from steelbench.features.cache import FeatureStore
from steelbench.files import cache_folder

WRONG = "columns/000.png"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def steel(tiny_images):
    """Three classes of ten images; for reading only."""
    return tiny_images(images=10)


def inspected(folder):
    return inspect_dataset(read_dataset(str(folder))[1]).images


def features_of(images, dim=6, noise=0.3):
    """Features that tell the true class, which is the folder but for the wrong image: that one shows rows."""
    rng = np.random.default_rng(0)
    truth = ["rows" if image.sample.path == WRONG else image.sample.label for image in images]
    centres = {name: 4 * rng.standard_normal(dim) for name in ("checks", "columns", "rows")}
    return np.float32([centres[name] + noise * rng.standard_normal(dim) for name in truth])


def remember(images, features, backbone="mobilenet_v2", kind="imagenet", bit_depth=None, **more):
    """Put features into the cache as a run does; returns their folder."""
    told = {"weights": {"kind": kind, "digest": "0"}, "image_size": 224, "bit_depth": bit_depth, "engine": "keras"}
    told |= more
    space = FeatureStore(cache_folder(), backbone, features.shape[1], told)
    with space.locked(), space.writer() as write:
        write([image.bytes_digest for image in images], features)
    return space.folder


def audited(folder, out, capsys):
    """`audit.json`, what was printed, and the page."""
    assert main(["audit", "--data", str(folder), "--out", str(out)]) == 0
    found = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    return found, capsys.readouterr().out, (out / "audit.html").read_text(encoding="utf-8")


def test_a_wrong_label_is_first_with_the_class_that_the_features_tell(steel, tmp_path, capsys):
    images = inspected(steel)
    remember(images, features_of(images))

    found, printed, page = audited(steel, tmp_path / "out", capsys)

    first = found["suspicious_labels"][0]
    assert {key: first[key] for key in ("file", "label", "suggested", "flagged", "backbone")} == {
        "file": WRONG,
        "label": "columns",
        "suggested": "rows",
        "flagged": True,
        "backbone": "mobilenet_v2",
    }
    assert 0 <= first["confidence"] < 0.5
    assert found["label_check"] == {"backbone": "mobilenet_v2", "weights": "imagenet", "images": 30, "reason": ""}
    assert "1 of 30 labels looks wrong" in printed
    assert WRONG in page.partition('id="suspicious"')[2].partition('id="pairs"')[0]


def test_features_of_augmented_views_are_not_those_of_the_images(steel):
    images = inspected(steel)
    digests = [image.bytes_digest for image in images]
    remember(images, features_of(images), augment="light", view=0)
    assert best_store(digests, None) is None

    folder = remember(images, features_of(images))
    assert best_store(digests, None).folder == folder


def test_without_cached_features_the_command_that_computes_them_is_named(steel, tmp_path, capsys):
    found, printed, page = audited(steel, tmp_path / "out", capsys)

    assert found["label_check"] is None and found["suspicious_labels"] == []
    assert "`steelbench run --data DIR`" in printed and "`steelbench run --data DIR`" in page


def test_a_class_whose_images_all_share_a_group_is_named(steel, tmp_path, capsys):
    images = inspected(steel)
    remember(images, features_of(images))
    table = steel / "list.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = [(image.sample.path, image.sample.label, "coil" * (image.sample.label == "rows")) for image in images]
        csv.writer(file).writerows([("path", "label", "group"), *rows])

    found, printed, _ = audited(table, tmp_path / "out", capsys)

    assert "'rows'" in found["label_check"]["reason"] and found["label_check"]["reason"] in printed
    assert found["suspicious_labels"] == []


def test_an_image_whose_feature_overflowed_is_left_out(steel, tmp_path, capsys):
    images = inspected(steel)
    features = features_of(images)
    features[5, 2] = np.inf
    remember(images, features)

    found, *_ = audited(steel, tmp_path / "out", capsys)

    assert found["label_check"]["images"] == 29
    assert found["suspicious_labels"][0]["file"] == WRONG


@pytest.fixture
def digests(steel):
    return {image.bytes_digest for image in inspected(steel)}


def test_pretrained_features_go_before_random_ones_then_the_larger_network(steel, digests):
    images = inspected(steel)
    remember(images, features_of(images), "mobilenet_v2")
    remember(images, features_of(images), "mobilenet_v2_035")
    remember(images, features_of(images), "of_another_version")
    remember(images, features_of(images), "resnet50", kind="random")

    assert best_store(digests, None).description["backbone"] == "mobilenet_v2"


def test_random_features_are_better_than_none(steel, digests):
    images = inspected(steel)
    remember(images, features_of(images), kind="random")

    assert best_store(digests, None).description["weights"]["kind"] == "random"


@pytest.mark.parametrize(("missing", "used"), [(1, True), (2, False)])
def test_features_of_one_image_in_twenty_may_be_missing(steel, digests, missing, used):
    images = inspected(steel)[missing:]
    remember(images, features_of(images))

    assert (best_store(digests, None) is not None) == used


def test_features_of_other_images_are_no_use(tiny_images, digests):
    others = inspected(tiny_images(images=20, seed=9))
    remember(others, features_of(others))

    assert best_store(digests, None) is None


def test_features_of_images_read_with_another_bit_depth_are_no_use(steel, digests):
    images = inspected(steel)
    remember(images, features_of(images), bit_depth=12)

    assert best_store(digests, None) is None
    assert best_store(digests, 12) is not None


def test_a_damaged_space_is_passed_over(steel, digests):
    images = inspected(steel)
    folder = remember(images, features_of(images), "resnet50")
    remember(images, features_of(images), "xception")
    (shard,) = folder.glob("*.npy")
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)

    assert best_store(digests, None).description["backbone"] == "xception"


def clusters(seed=0, per_class=40, classes=4, dim=12):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = 3 * rng.standard_normal((classes, dim))
    return (centres[labels] + rng.standard_normal((len(labels), dim))).astype(np.float32), labels


def test_planted_wrong_labels_come_first_with_the_true_class():
    features, true = clusters()
    labels = true.copy()
    wrong = [3, 57, 110]
    labels[wrong] = (labels[wrong] + 1) % 4

    found = suspicious_labels(features, labels, np.arange(len(labels)))

    assert {suspect.row for suspect in found[:3]} == set(wrong)
    assert all(suspect.suggested == true[suspect.row] and suspect.flagged for suspect in found[:3])


def test_of_a_large_set_a_part_is_fitted_to_and_every_label_is_checked(monkeypatch):
    features, true = clusters(per_class=400)
    labels = true.copy()
    wrong = [3, 570, 1310]
    labels[wrong] = (labels[wrong] + 1) % 4
    monkeypatch.setattr("steelbench.audit.labels.MOST_FITTED", 100)

    found = suspicious_labels(features, labels, np.arange(len(labels)))

    assert {suspect.row for suspect in found[:3]} == set(wrong)


def test_the_part_of_a_large_set_has_a_share_of_each_class_and_enough_of_a_small_one():
    labels = np.repeat([0, 1, 2], [8000, 1900, 100])
    train = np.flatnonzero(np.arange(10_000) % 5 > 0)

    drawn = fitted_rows(labels, train, 1000, seed=0)

    assert np.bincount(labels[drawn]).tolist() == [800, 190, 50]
    assert set(drawn) < set(train) and np.all(np.diff(drawn) > 0)
    assert fitted_rows(labels, train, 8000, seed=0) is train


def test_clean_clusters_have_hardly_a_suspect():
    features, labels = clusters(seed=1)

    assert len(suspicious_labels(features, labels, np.arange(len(labels)))) <= 2


def test_copies_with_the_same_wrong_label_do_not_hide_it():
    features, labels = clusters(seed=2)
    features = np.concatenate([features, np.repeat(features[:1], 12, axis=0)])
    labels = np.concatenate([labels, np.full(12, 1)])
    labels[0] = 1
    groups = np.concatenate([np.arange(160), np.zeros(12, int)])

    found = suspicious_labels(features, labels, groups)

    assert {0, *range(160, 172)} <= {suspect.row for suspect in found}


def test_labels_of_a_class_of_one_group_are_not_checked():
    features, labels = clusters(per_class=5)

    assert suspicious_labels(features, labels, labels) == []


def test_class_numbers_need_not_be_consecutive():
    features, labels = clusters()
    labels = labels * 10 + 7
    labels[0] = 37

    assert suspicious_labels(features, labels, np.arange(len(labels)))[0].suggested == 7


def test_flags_are_those_of_the_paper():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(3), 90)
    labels = rng.integers(0, 3, 90)

    thresholds = [np.mean([p[j] for p, y in zip(probabilities, labels, strict=True) if y == j]) for j in range(3)]
    expected = set()
    for index, (p, y) in enumerate(zip(probabilities, labels, strict=True)):
        reached = [j for j in range(3) if p[j] >= thresholds[j]]
        if reached and max(reached, key=lambda j: p[j]) != y:
            expected.add(index)

    found = confident_learning(probabilities, labels)

    assert {suspect.row for suspect in found if suspect.flagged} == expected
    flags = [suspect.flagged for suspect in found]
    assert flags == sorted(flags, reverse=True)


@pytest.mark.slow
def test_the_command_ranks_the_demo_sets_wrong_label_among_the_first_five(weights_folder, tmp_path, capsys):
    names = ["--backbones", "mobilenet_v2", "--methods", "linear", "--weights-dir", str(weights_folder)]
    assert main(["run", "--data", "demo", *names, "--results", str(tmp_path / "run")]) == 0
    truth = json.loads((cached_demo(cache_folder()) / "truth.json").read_text(encoding="utf-8"))

    found, *_ = audited("demo", tmp_path / "out", capsys)

    top = [doubt["file"] for doubt in found["suspicious_labels"][:5]]
    assert truth["mislabelled"] and {wrong["file"] for wrong in truth["mislabelled"]} <= set(top)
    assert found["label_check"]["backbone"] == "mobilenet_v2" and found["label_check"]["weights"] == "imagenet"


@pytest.mark.slow
# The demonstration data as users get them, of seed 0, are the test's above.
@pytest.mark.parametrize("seed", [1])
def test_the_demo_sets_wrong_label_is_among_the_five_most_suspicious(weights_folder, tmp_path, seed):
    file = weights_folder / "mobilenet_v2_1.0_224_no_top.weights.h5"
    if not file.is_file():
        pytest.skip(f"{file} is missing; set STEELBENCH_WEIGHTS_DIR")
    import keras

    from steelbench.data.demo import write_demo
    from steelbench.data.images import read_image, resize

    folder = write_demo(tmp_path / "demo", seed=seed)
    truth = json.loads((folder / "truth.json").read_text())
    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in files]
    _, labels = np.unique([path.parent.name for path in files], return_inverse=True)
    number = {name: place for place, name in enumerate(names)}
    groups = np.arange(len(names))
    for pair in truth["pairs"]:
        groups[groups == groups[number[pair["file_b"]]]] = groups[number[pair["file_a"]]]
    encoder = keras.applications.MobileNetV2(include_top=False, pooling="avg", weights=str(file))
    pixels = np.stack([resize(read_image(path), 224) for path in files]) / 127.5 - 1
    features = encoder.predict(pixels, batch_size=32, verbose=0)

    top = {names[suspect.row] for suspect in suspicious_labels(features, labels, groups)[:5]}

    assert truth["mislabelled"][0]["file"] in top
