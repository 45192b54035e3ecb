"""The classic baseline: its descriptor against scikit-image, its choice against scikit-learn, and what it survives."""

import hashlib

import numpy as np
import pytest
from skimage.feature import hog as skimage_hog
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from steelbench.data.splits import Split
from steelbench.features.spec import ImageRef
from steelbench.training.baselines import hog


def clusters(n=90, classes=3, spread=0.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return (rng.standard_normal((classes, 6))[labels] + spread * rng.standard_normal((n, 6))).astype(np.float32), labels


SPLIT = Split(np.arange(50), np.arange(50, 70), np.arange(70, 90))


def test_descriptor_is_scikit_image_s_on_the_gray_square():
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 1), np.uint8).repeat(3, axis=2)
    expected = skimage_hog(pixels[..., 0], 9, (64, 64), (2, 2))

    np.testing.assert_allclose(hog.descriptor(pixels), expected, rtol=1e-5)
    assert hog.descriptor(pixels).shape == (hog.LENGTH,)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (700, 20), (256, 256)])
@pytest.mark.parametrize("value", [0, 77])
def test_images_of_any_shape_and_without_gradient_have_a_descriptor(shape, value):
    assert np.isfinite(hog.descriptor(np.full((*shape, 3), value, np.uint8))).all()


def test_svm_is_the_one_that_scikit_learn_finds_with_the_best_c():
    features, labels = clusters(spread=2.0)
    probabilities, params, notes = hog.train_svm(features, labels, 3, SPLIT)
    accuracies = {}
    for c in hog.SETTINGS["c"]:
        model = make_pipeline(StandardScaler(), LinearSVC(C=c, random_state=0))
        model.fit(features[SPLIT.train], labels[SPLIT.train])
        accuracies[c] = model.score(features[SPLIT.validation], labels[SPLIT.validation]), model

    best = max(value for value, _ in accuracies.values())
    smallest = min(c for c, (value, _) in accuracies.items() if value == best)
    assert notes["c"] == smallest
    assert np.array_equal(probabilities.argmax(axis=1), accuracies[smallest][1].predict(features))
    assert params == 3 * 6 + 3


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_sum_to_one_and_separable_classes_are_learnt(classes):
    features, labels = clusters(classes=classes, spread=0.1)
    probabilities, _, _ = hog.train_svm(features, labels, classes, SPLIT)

    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert np.mean(probabilities[SPLIT.test].argmax(axis=1) == labels[SPLIT.test]) == 1


def test_test_images_change_nothing():
    features, labels = clusters(spread=2.0)
    other = features.copy()
    other[SPLIT.test] = 1000
    one, two = (hog.train_svm(x, labels, 3, SPLIT) for x in (features, other))

    assert np.array_equal(one[0][:70], two[0][:70]) and one[2] == two[2]


def test_no_image_is_computed_twice(tiny_images, tmp_path, monkeypatch):
    root = tiny_images(images=6, classes=2)
    files = [path.relative_to(root) for path in sorted(root.rglob("*.png"))]
    digests = [hashlib.sha256((root / path).read_bytes()).hexdigest() for path in files]
    images = [ImageRef(path=str(path), digest=digest) for path, digest in zip(files, digests, strict=True)]
    computed = []
    real = hog.descriptor
    monkeypatch.setattr(hog, "descriptor", lambda pixels: computed.append(1) or real(pixels))

    first = hog.descriptors([*images, images[0]], root, None, tmp_path)
    again = hog.descriptors(images, root, None, tmp_path)

    assert len(computed) == len(set(digests)) == len(images)
    assert np.array_equal(first[:-1], again) and np.array_equal(first[-1], first[0])
