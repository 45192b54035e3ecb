"""The scores of unfamiliarity against what pytorch-ood said of the same features; `make parity` asks it again.

How its scores differ from ours:
- its maximum probability is negative, without 1 minus it;
- its Mahalanobis score is half of the squared distance; its covariance is a sum over images, not a mean, and not
  shrunk. The fixture also has its answer with scikit-learn's Ledoit-Wolf covariance in that place.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from steelbench.evaluation import unknown
from steelbench.evaluation.unknown import Mahalanobis, Neighbours, energy, max_probability

OOD = json.loads((Path(__file__).parents[1] / "parity" / "fixtures" / "ood.json").read_text(encoding="utf-8"))["cases"]
SCORES = {name: np.array(values) for name, values in OOD["scores"].items()}
TRAINING, LABELS = np.float32(OOD["training"]["features"]), np.array(OOD["training"]["labels"])
TEST, LOGITS = np.float32(OOD["test"]["features"]), np.float32(OOD["test"]["logits"])


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_maximum_probability_is_that_of_pytorch_ood():
    shares = np.exp(LOGITS.astype(float))
    shares /= shares.sum(axis=1, keepdims=True)

    close(max_probability(shares), 1 + SCORES["max_probability"])


def test_the_energy_is_that_of_pytorch_ood():
    close(energy(LOGITS), SCORES["energy"])


def test_the_distance_to_a_neighbour_is_that_of_pytorch_ood():
    close(Neighbours.fit(TRAINING, OOD["test"]["neighbours"])(TEST), SCORES["knn"])


def test_the_distance_to_a_class_is_that_of_pytorch_ood_with_a_shrunk_covariance():
    found = Mahalanobis.fit(TRAINING, LABELS)(TEST)

    np.testing.assert_allclose(found**2 / 2, SCORES["shrunk_mahalanobis"], rtol=2e-5)


def test_the_distance_to_a_class_is_that_of_pytorch_ood(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(unknown, "shrunk_covariance", lambda centred: (centred.T @ centred, 0.0))

    np.testing.assert_allclose(Mahalanobis.fit(TRAINING, LABELS)(TEST) ** 2 / 2, SCORES["mahalanobis"], rtol=2e-5)
