"""A row is tested with unknown defects: what is left out, what is trained on, what is scored, what goes on the card."""

import pkgutil

import numpy as np
import pytest
from feature_sets import QUICK, clusters, training_set
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from steelbench.evaluation.unknown import SCORES
from steelbench.models.head import Dense, Head, two_class_logits
from steelbench.models.unfamiliar_file import read_reference, unfamiliar_file
from steelbench.records import UnknownRecord
from steelbench.runs import unknown_classes
from steelbench.runs.unknown_classes import OfferedModel, Scorers, measure_unknown, ranked

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(autouse=True)
def few_replicates(monkeypatch):
    """Intervals are not what is looked at here, and take most of the time."""
    monkeypatch.setattr("steelbench.evaluation.detection.REPLICATES", 100)


def regression(data):
    """A head by scikit-learn alone."""
    fitted = LogisticRegression(max_iter=300).fit(*data.train)
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if data.num_classes == 2:
        kernel, bias = two_class_logits(fitted.coef_[0]), two_class_logits(fitted.intercept_[0])
    return Head((Dense(kernel.astype(np.float32), bias.astype(np.float32), "softmax"),))


@pytest.fixture
def data():
    features, labels = clusters(240, dim=8, classes=4)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    return training_set(scaled.astype(np.float32), labels)


def measured(data, tmp_path, train=regression, groups=None, names=NAMES, head=None):
    offered = OfferedModel(name="x", fingerprint="f", path=tmp_path / "models" / "x.h5", head=head or regression(data))
    groups = np.arange(len(data.labels)) if groups is None else groups
    return measure_unknown(offered, data, names, groups, train, lambda done: None)


def test_no_image_of_the_class_and_no_test_image_is_within_reach_of_the_training(data, tmp_path):
    seen = []

    def train(reduced):
        seen.append(reduced)
        return regression(reduced)

    measured(data, tmp_path, train)

    assert len(seen) == 4
    for label, reduced in enumerate(seen):
        train, validation = (part[data.labels[part] != label] for part in (data.split.train, data.split.validation))
        assert reduced.num_classes == 3 and set(reduced.labels) == {0, 1, 2}
        np.testing.assert_array_equal(reduced.features, data.features[np.concatenate([train, validation])])
        np.testing.assert_array_equal(reduced.train[0], data.features[train])
        np.testing.assert_array_equal(reduced.validation[0], data.features[validation])
        assert not len(reduced.split.test)
        kept = [name for name in range(4) if name != label]
        np.testing.assert_array_equal(np.array(kept)[reduced.train[1]], data.labels[train])


def test_known_test_images_are_compared_with_every_image_of_the_class(data, tmp_path):
    record = measured(data, tmp_path)

    for label, own in enumerate(record.classes):
        assert own.name == NAMES[label] and own.images == np.sum(data.labels == label) and own.excluded == 0
        assert own.known == np.sum(data.labels[data.split.test] != label)
        assert set(own.scores) == set(SCORES)
    # A second route for one number: the largest probability of a head without class c.
    known = data.split.test[data.labels[data.split.test] != 2]
    rows = data.split.train[data.labels[data.split.train] != 2]
    head = LogisticRegression(max_iter=300).fit(data.features[rows], data.labels[rows])
    new = np.flatnonzero(data.labels == 2)
    scores = 1 - head.predict_proba(data.features[np.concatenate([known, new])]).max(axis=1)
    expected = roc_auc_score(np.repeat([0, 1], [len(known), len(new)]), scores)
    assert record.classes[2].scores["max_probability"].auroc == pytest.approx(expected, abs=0.01)
    assert record.mean["knn"].auroc == pytest.approx(np.mean([own.scores["knn"].auroc for own in record.classes]))
    assert record.best == max(record.mean, key=lambda name: record.mean[name].auroc)
    assert record.worst.scores[record.best].auroc == min(own.scores[record.best].auroc for own in record.classes)
    assert UnknownRecord.model_validate_json(record.model_dump_json()) == record


def test_images_that_share_pixels_with_what_was_learned_from_are_not_scored(data, tmp_path):
    groups = np.arange(240)
    of_class, train, validation, test = (
        np.flatnonzero(data.labels == 3),
        *(part[data.labels[part] == 0] for part in (data.split.train, data.split.validation, data.split.test)),
    )
    groups[of_class[0]], groups[of_class[1]], groups[of_class[2]] = (
        groups[part[0]] for part in (train, validation, test)
    )

    record = measured(data, tmp_path, groups=groups)

    # The third shares pixels with a test image only.
    assert (record.classes[3].images, record.classes[3].excluded) == (58, 2)


def test_a_class_without_an_image_of_its_own_is_passed_over_and_so_is_a_row_of_such_classes(data, tmp_path):
    groups = np.arange(240)
    groups[data.labels == 1] = groups[data.split.train[data.labels[data.split.train] == 0][0]]

    record = measured(data, tmp_path, groups=groups)

    assert record.classes[1].scores == {} and record.classes[1].excluded == 60
    assert record.best and record.worst.name != "b" and record.classes[2].scores
    nothing = measured(data, tmp_path, groups=np.zeros(240, int))
    assert nothing.best is None and nothing.reason and nothing.card is None and nothing.worst is None


def test_the_saved_model_flags_one_known_validation_image_in_twenty(data, tmp_path):
    record = measured(data, tmp_path)

    card, path = record.card, unfamiliar_file(tmp_path / "models" / "x.h5")
    assert card.score == record.best and card.detected == record.mean[card.score].detected and card.flagged == 0.05
    scores = Scorers.fit(regression(data), *data.train)(data.features)[card.score]
    assert np.mean(scores[data.split.validation] > card.threshold) <= 0.05
    assert np.sum(scores[data.split.validation] >= card.threshold) > 0.05 * len(data.split.validation)
    if card.sha256:
        reference = read_reference(path, card.sha256, card.neighbours)
        np.testing.assert_array_equal(reference(data.features), scores)


@pytest.mark.parametrize("best", SCORES)
def test_the_score_of_the_card_is_the_best_that_fits_beside_a_model(data, tmp_path, monkeypatch, best):
    monkeypatch.setattr(unknown_classes, "ranked", lambda mean: [best, "energy"])

    card = measured(data, tmp_path).card

    assert card.score == best
    assert (
        bool(card.sha256) == unfamiliar_file(tmp_path / "models" / "x.h5").exists() == (best in ("knn", "mahalanobis"))
    )
    assert card.neighbours == (10 if best == "knn" else None)
    monkeypatch.setattr(unknown_classes, "fits", lambda reference: False)
    assert measured(data, tmp_path).card.score == ("energy" if card.sha256 else best)


def test_a_head_without_logits_has_no_energy():
    features, labels = clusters(60)
    votes = Dense(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), "linear")
    plain = Dense(np.ones((10, 3), np.float32), np.zeros(3, np.float32), "softmax")

    assert set(Scorers.fit(Head((plain, votes)), features, labels)(features)) == {
        "max_probability",
        "mahalanobis",
        "knn",
    }
    assert set(Scorers.fit(Head((plain,)), features, labels)(features)) == set(SCORES)


@pytest.mark.slow
@pytest.mark.parametrize("method", QUICK)
def test_heads_of_every_method_are_tested(data, tmp_path, method):
    from steelbench.experiment import METHODS
    from steelbench.training.loop.fit import FitContext

    fit_head = pkgutil.resolve_name(METHODS[method].train)

    def train(own):
        return fit_head(own, QUICK[method], FitContext()).head

    record = measured(data, tmp_path, train, head=train(data))

    assert set(record.mean) == ({*SCORES} - {"energy"} if method == "knn" else {*SCORES})
    assert all(own.auroc > 0.6 for own in record.mean.values())
    assert record.card.score == record.best


def test_of_equal_scores_the_simpler_one_is_best(data, tmp_path):
    own = measured(data, tmp_path).mean["knn"]

    assert ranked({"knn": own, "energy": own, "mahalanobis": own.model_copy(update={"auroc": 1.0})})[:2] == [
        "mahalanobis",
        "energy",
    ]


def test_the_same_run_gives_the_same_record(data, tmp_path):
    first, second = (measured(data, tmp_path).model_dump(exclude={"seconds"}) for _ in range(2))

    assert first == second


def test_images_of_the_class_change_nothing_of_what_the_head_without_it_says_of_the_known_ones(data, tmp_path):
    before = measured(data, tmp_path).classes[2]
    features = data.features.copy()
    features[data.labels == 2] += 10

    after = measured(training_set(features, data.labels, split=data.split), tmp_path).classes[2]

    for name in SCORES:
        assert after.scores[name].flagged == before.scores[name].flagged
    assert after.scores["mahalanobis"].auroc == 1
