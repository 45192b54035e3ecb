"""The losses against what two other libraries said of the same batches; `make parity` asks them again.

How each of them reduces:
- tensorflow-addons: `npairs_loss` is the mean over all anchors; `triplet_semihard_loss` the mean over all positive
  pairs, so that an anchor counts as often as it has positives; `triplet_hard_loss` the mean over all anchors, where one
  without a positive still pays as if it had a positive at distance 0; `contrastive_loss` gives each pair's value.
- pytorch-metric-learning: SupConLoss is the mean over the anchors, TripletMarginLoss over the triplets, whose loss is
  above 0, ArcFaceLoss the mean over all images; each was also asked for the values before the reduction. Its
  ContrastiveLoss is not squared; Hadsell's is.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from each import each

from steelbench.models import losses

FIXTURES = Path(__file__).parents[2] / "parity" / "fixtures"
TFA = json.loads((FIXTURES / "tfa.json").read_text(encoding="utf-8"))["cases"]
PML = json.loads((FIXTURES / "pml.json").read_text(encoding="utf-8"))["cases"]
BATCHES = ["balanced", "pairs", "unbalanced", "lonely", "tight"]


def of(cases, batch):
    case = cases[batch]
    return case, np.int32(case["labels"]), np.float32(case["embeddings"])


def close(found, expected):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


def others_alike(labels):
    return np.sum(labels[:, None] == labels[None, :], axis=1) - 1


@each("batch", BATCHES)
def test_npairs_is_that_of_tensorflow_addons(batch):
    case, labels, embeddings = of(TFA, batch)

    close(np.mean(losses.npairs(labels, embeddings, temperature=case["temperature"])), case["npairs"])


@each("batch", BATCHES)
def test_semihard_is_that_of_tensorflow_addons(batch):
    case, labels, embeddings = of(TFA, batch)

    values = losses.triplet_semihard(labels, embeddings, margin=case["margin"])

    close(np.average(values, weights=others_alike(labels)), case["semihard"])


@each("batch", BATCHES)
@pytest.mark.parametrize("soft", [False, True])
def test_batch_hard_is_that_of_tensorflow_addons(batch, soft):
    case, labels, embeddings = of(TFA, batch)

    values = np.array(losses.triplet_batch_hard(labels, embeddings, margin=case["margin"], soft=soft))

    for anchor in np.flatnonzero(others_alike(labels) == 0):
        nearest = min(np.linalg.norm(embeddings[anchor] - row) for row in np.delete(embeddings, anchor, axis=0))
        values[anchor] = np.log1p(np.exp(-nearest)) if soft else max(0.0, case["margin"] - nearest)
    close(values.mean(), case["hard_soft" if soft else "hard"])


def test_contrastive_is_that_of_tensorflow_addons():
    case = TFA["of pairs"]

    close(losses.contrastive(case["same"], np.float32(case["distances"]), margin=case["margin"]), case["contrastive"])


@each("batch", BATCHES)
def test_supcon_is_that_of_pytorch_metric_learning(batch):
    case, labels, embeddings = of(PML, batch)

    values = np.asarray(losses.supcon(labels, embeddings, temperature=case["temperature"]))

    close(values, case["supcon"]["values"])
    close(values[values > 0].mean(), case["supcon"]["reduced"])


@each("batch", BATCHES)
def test_batch_all_is_that_of_pytorch_metric_learning(batch):
    case, labels, embeddings = of(PML, batch)
    theirs = case["batch_all"]

    values = np.asarray(losses.triplet_batch_all(labels, embeddings, margin=case["margin"]))

    close(values, theirs["values"])
    # Theirs is the sum over all triplets, divided by how many cost something.
    triplets = others_alike(labels) * (len(labels) - 1 - others_alike(labels))
    close(np.sum(values * triplets) / theirs["costly"], theirs["reduced"])


@each("batch", BATCHES)
@pytest.mark.parametrize("soft", [False, True])
def test_batch_hard_is_that_of_pytorch_metric_learning(batch, soft):
    case, labels, embeddings = of(PML, batch)
    theirs = case["batch_hard_soft" if soft else "batch_hard"]

    values = np.asarray(losses.triplet_batch_hard(labels, embeddings, margin=case["margin"], soft=soft))

    close(values, theirs["values"])
    close(values[values > 0].mean(), theirs["reduced"])


def test_arcface_is_that_of_pytorch_metric_learning():
    case = PML["of cosines"]["arcface"]
    labels, cosines = np.int32(case["labels"]), np.float32(case["cosines"])

    values = np.asarray(losses.arcface(labels, cosines, scale=case["scale"], margin=case["margin"]))

    # Some of the angles pass pi with the margin.
    assert np.sum(cosines[np.arange(len(labels)), labels] < -np.cos(case["margin"])) >= 3
    close(values, case["values"])
    close(values.mean(), case["reduced"])


def test_contrastive_is_that_of_pytorch_metric_learning_squared():
    case = PML["of pairs"]

    values = losses.contrastive(case["same"], np.float32(case["distances"]), margin=case["margin"])

    close(values, np.square(case["contrastive"]))


def test_the_batches_hold_what_they_are_for():
    """Balanced and unbalanced classes, and an anchor without a positive."""
    assert {batch: int(np.sum(others_alike(np.int32(TFA[batch]["labels"])) == 0)) for batch in BATCHES} == {
        "balanced": 0, "pairs": 0, "unbalanced": 0, "lonely": 1, "tight": 0,
    }  # fmt: skip
    assert len(set(others_alike(np.int32(TFA["unbalanced"]["labels"])))) == 3
