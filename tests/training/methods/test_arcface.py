"""ArcFace on features: the head that is kept is the network's, without the margin."""

import math

import keras
import numpy as np
from feature_sets import QUICK, clusters, split_of, training_set

from steelbench.models.head import Scaling
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import arcface


def test_arcface_head_is_its_network_without_the_margin():
    features, labels = clusters(spread=2.0)
    settings = QUICK["arcface"]
    split = split_of(len(labels))
    trained = arcface.train_arcface(training_set(features, labels), settings, FitContext())
    steps = math.ceil(len(split.train) / settings.batch_size)
    model = arcface._arcface_model(10, 3, settings, steps).model

    x = Scaling.fit(features[split.train]).apply(features)
    cosines = keras.ops.convert_to_numpy(model(x, training=False)).astype(float)
    expected = np.exp(settings.scale * cosines)
    np.testing.assert_allclose(trained.head(features), expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert np.abs(cosines).max() <= 1 + 1e-5
