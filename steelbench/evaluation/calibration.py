"""Calibration: how far confidence and accuracy lie apart, and the temperature that brings them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Labels

# A temperature outside says that the validation images tell nothing about confidence.
COLDEST, HOTTEST = 0.05, 20.0
# Half and twice the usual confidence are one deviation away.
PRIOR = float(np.log(2))
# Probabilities are floored before their logarithm is taken: `predictions.csv` has eight decimals.
FLOOR = 1e-9

Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Bin:
    """Answers of like confidence: how many, their mean confidence, and the share of them that is right."""

    count: int
    confidence: float
    accuracy: float


def temper(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """Return the softmax of the logits divided by the temperature.

    Args:
        probabilities: [N, C], each row sums to 1.
        temperature: above 0; above 1 makes answers less confident, 1 changes nothing.

    Returns:
        float64 [N, C]; the largest entry of a row stays the largest.

    References:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017, section 4.2.
        https://arxiv.org/abs/1706.04599
    """
    # Logarithms of probabilities are logits up to a constant of each row, which softmax ignores.
    logits = np.log(np.maximum(probabilities.astype(np.float64), FLOOR)) / temperature
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def fit_temperature(probabilities: Probabilities, labels: Labels) -> float:
    """Return the temperature of the largest likelihood on images that the model was not trained on.

    Without an error among the images the likelihood grows for ever as the temperature falls, so the model would be made
    certain because they are few. A prior holds it: the logarithm of the temperature is normal around 0 with the
    deviation `PRIOR`, which some dozen images with errors outweigh.

    Args:
        probabilities: [N, C].
        labels: int [N], true class numbers.

    Returns:
        A temperature of `COLDEST` to `HOTTEST`; 1 without images.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return 1.0

    def loss(log_temperature: float) -> float:
        true = temper(probabilities, np.exp(log_temperature))[np.arange(len(labels)), labels]
        return -float(np.sum(np.log(np.maximum(true, 1e-300)))) + log_temperature**2 / (2 * PRIOR**2)

    found = minimize_scalar(loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded")
    return float(np.exp(found.x))


def reliability(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 10) -> list[Bin]:
    """Sort answers into bins of equal width of confidence; bins without an answer are left out.

    Args:
        confidence: [N], the probability of the answer, 0..1.
        correct: bool [N], whether it is right.
        bins: number of them.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        Bin(int(inside.sum()), float(confidence[inside].mean()), float(correct[inside].mean()))
        for number in range(bins)
        if (inside := place == number).any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error, 0..1: the mean distance of accuracy and confidence, by answers.

    References:
        Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    """
    total = sum(own.count for own in bins)
    return sum(own.count * abs(own.accuracy - own.confidence) for own in bins) / total if total else 0.0
