"""Small sets of features with labels and splits, for tests of what trains on features."""

import numpy as np

from steelbench.data.splits import Split
from steelbench.experiment import Arcface, Knn, Linear, Softmax, Supcon, Triplet
from steelbench.models.head import Unit
from steelbench.training.loop.training_set import TrainingSet

# Settings of each method with which a training on these sets takes a second and learns.
QUICK = {
    "softmax": Softmax(epochs=6, batch_size=16, hidden=16, dropout=0.3, learning_rate=0.01),
    "linear": Linear(),
    "knn": Knn(),
    "triplet": Triplet(epochs=4, batch_size=16, embedding=8, learning_rate=0.003, images_per_class=4),
    "arcface": Arcface(epochs=6, batch_size=16, embedding=8, learning_rate=0.01, warmup_epochs=1),
    "supcon": Supcon(
        epochs=3,
        batch_size=16,
        adapter=16,
        projection_dim=8,
        hidden=16,
        classifier_epochs=4,
        learning_rate=0.01,
        classifier_learning_rate=0.01,
    ),
}


def clusters(n=120, dim=10, classes=3, spread=1.0, seed=0):
    """Gaussian clouds around a centre for each class; float32 [n, dim] of unequal scales, and labels int [n].

    In class order, as folders are read.
    """
    rng = np.random.default_rng(seed)
    labels = np.sort(np.arange(n) % classes)
    centres = 2 * rng.standard_normal((classes, dim))
    features = 5 + (centres[labels] + spread * rng.standard_normal((n, dim))) * rng.uniform(0.1, 10, dim)
    return features.astype(np.float32), labels


def split_of(n, seed=0):
    """A split of n images into 60 % for training, 20 % for validation, 20 % for the test."""
    train, validation, test = np.split(np.random.default_rng(seed).permutation(n), [n * 6 // 10, n * 8 // 10])
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def training_set(features, labels, classes=None, split=None, **more):
    """A training set with the split of `split_of`, and as many classes as the labels tell."""
    return TrainingSet(
        features=features,
        labels=labels,
        num_classes=classes or int(labels.max()) + 1,
        split=split or split_of(len(labels)),
        **more,
    )


def arrays(head):
    """Every kernel and bias of a head."""
    return [array for layer in head.layers if not isinstance(layer, Unit) for array in (layer.kernel, layer.bias)]


def equal(one, other):
    """Whether two trained heads have the same numbers, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(arrays(one.head), arrays(other.head), strict=True))


def accuracy(trained, features, labels, rows):
    """The share of these rows whose class the head tells."""
    return np.mean(trained.head(features[rows]).argmax(axis=1) == labels[rows])
