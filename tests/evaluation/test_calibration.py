"""Temperature scaling and reliability against closed forms, another library and simulated models."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from steelbench.evaluation.calibration import (
    Bin,
    calibration_error,
    fit_temperature,
    reliability,
    temper,
)


def softmax(logits):
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def simulated(random, images, temperature, classes=5):
    """Probabilities that are `temperature` times too certain, and labels drawn from the true ones."""
    logits = random.normal(0, 2, (images, classes))
    truth = softmax(logits)
    labels = np.array([random.choice(classes, p=row) for row in truth])
    return softmax(logits * temperature), labels


def test_a_tempered_softmax_is_the_softmax_of_the_divided_logits():
    logits = np.random.default_rng(0).normal(0, 3, (50, 4))

    assert temper(softmax(logits), 2.5) == pytest.approx(softmax(logits / 2.5))
    assert temper(softmax(logits), 1.0) == pytest.approx(softmax(logits))
    assert temper(temper(softmax(logits), 3.0), 1 / 3.0) == pytest.approx(softmax(logits))


def test_the_temperature_of_a_model_that_is_twice_too_certain_is_two():
    probabilities, labels = simulated(np.random.default_rng(1), 20_000, 2.0)

    assert fit_temperature(probabilities, labels) == pytest.approx(2.0, rel=0.05)


def test_a_hundred_miscalibrated_models_come_nearer_to_their_accuracy():
    random = np.random.default_rng(2)
    before, after = [], []
    for _ in range(100):
        wrong_by = np.exp(random.choice([-1, 1]) * random.uniform(0.5, 1.4))
        validation, known = simulated(random, 300, wrong_by)
        test, labels = simulated(random, 1000, wrong_by)
        for found, answers in ((before, test), (after, temper(test, fit_temperature(validation, known)))):
            found.append(calibration_error(reliability(answers.max(axis=1), answers.argmax(axis=1) == labels)))

    assert np.mean(np.array(after) < np.array(before)) >= 0.97
    assert np.mean(after) < np.mean(before) / 2


def test_few_images_without_an_error_do_not_make_a_model_certain():
    probabilities = np.full((20, 3), 0.05)
    labels = np.arange(20) % 3
    probabilities[np.arange(20), labels] = 0.9

    assert 0.3 < fit_temperature(probabilities, labels) < 1
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0


def test_reliability_is_that_of_scikit_learn():
    random = np.random.default_rng(3)
    confidence = random.uniform(0, 1, 500)
    correct = random.random(500) < confidence
    accuracy, mean = calibration_curve(correct, confidence, n_bins=10)

    found = reliability(confidence, correct)

    assert [own.accuracy for own in found] == pytest.approx(accuracy)
    assert [own.confidence for own in found] == pytest.approx(mean)
    assert sum(own.count for own in found) == 500


def test_the_calibration_error_is_the_mean_distance_by_answers():
    assert calibration_error([Bin(30, 0.9, 0.8), Bin(10, 0.5, 0.7)]) == pytest.approx((30 * 0.1 + 10 * 0.2) / 40)
    assert calibration_error([]) == 0
