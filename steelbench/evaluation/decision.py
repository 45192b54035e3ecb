"""Decisions: below which confidence a person looks, what escapes above it, and what may be promised of that.

An *escape* is an image that the model decides alone, and wrongly; its share is taken of all images. Where a class of
sound material is among the data, it is an image with a defect that the model alone calls sound; its share is taken of
the images with a defect, whose part among all images is another one on the line than among test images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Groups

CONFIDENCE = 0.95
PROMISES = (0.001, 0.005, 0.01, 0.02)
# Fixed before any image is seen, in round numbers, dense where confidence crowds: .05 apart to .9, then .92 to .99,
# .992 to .999, and so on.
THRESHOLDS: NDArray[np.float64] = np.round(
    np.concatenate([np.linspace(0.0, 0.9, 19), *(1 - np.array([8, 6, 5, 4, 3, 2, 1]) * 0.1**k for k in range(2, 7))]), 7
)


@dataclass(frozen=True)
class Promise:
    """A share of escapes that may be promised, and the threshold that keeps it.

    Attributes:
        escapes: largest share of escapes, 0..1.
        threshold: least confidence of an answer that needs no person; None if these images allow no such promise.
        referred: share of images sent to a person, 0..1; None without a threshold.
        images_needed: independent images without an escape that it takes to promise as much.
    """

    escapes: float
    threshold: float | None
    referred: float | None
    images_needed: int


def images_needed(escapes: float, confidence: float = CONFIDENCE) -> int:
    """Return how many independent images without an escape show that the share is at most `escapes`."""
    return int(np.ceil(np.log(1 - confidence) / np.log(1 - escapes)))


def referral_curve(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], thresholds: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares of images that are sent to a person, and that escape, at each threshold.

    Args:
        confidence: [N], the probability of each answer, 0..1.
        correct: bool [N].
        thresholds: [T]; an answer below one is looked at by a person.

    Returns:
        float64 [T] each, 0..1.
    """
    alone = confidence[None, :] >= thresholds[:, None]
    return 1 - alone.mean(axis=1), (alone & ~correct[None, :]).mean(axis=1)


def one_of_each_group(groups: Groups, seed: int = 0) -> NDArray[np.int64]:
    """Draw one row of each group, ascending: images that share pixels are not independent evidence."""
    order = np.random.default_rng(seed).permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[first])


def guaranteed_threshold(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], escapes: float, level: float = CONFIDENCE
) -> float | None:
    """Return the lowest threshold at which at most a share of images escapes, or None if nothing can be promised.

    The share of escapes falls as the threshold rises, so thresholds are tested from the highest downwards until one
    fails, each at the full level (learn then test, fixed sequence).

    Args:
        confidence: [N], the probability of each answer, of independent images.
        correct: bool [N].
        escapes: the promised share, 0..1.
        level: probability with which the promise holds over draws of the N images.

    Returns:
        None also without an image.

    References:
        Angelopoulos, Bates, Candes, Jordan, Lei, "Learn then Test", 2021. https://arxiv.org/abs/2110.01052
    """
    if not len(confidence):
        return None
    import warnings

    from mapie.risk_control import BinaryClassificationController, BinaryRisk

    escaped = BinaryRisk(
        lambda truth, alone: (truth == 0) & (alone == 1),
        lambda truth, alone: np.ones(len(truth), bool),
        higher_is_better=False,
    )
    controller = BinaryClassificationController(
        predict_function=lambda answers: np.column_stack([1 - answers, answers]),
        risk=escaped,
        target_level=escapes,
        confidence_level=level,
        best_predict_param_choice=escaped,
        list_predict_params=THRESHOLDS[::-1],
        fwer_method="fixed_sequence",
    )
    with warnings.catch_warnings():
        # Said where no threshold holds, and where every confidence is 0 or 1.
        warnings.simplefilter("ignore", UserWarning)
        controller.calibrate(np.asarray(confidence, np.float64), correct.astype(int))
    valid = np.ravel(controller.valid_predict_params)
    return float(valid.min()) if len(valid) else None


def promises(
    confidence: NDArray[np.floating],
    correct: NDArray[np.bool_],
    groups: Groups,
    level: float = CONFIDENCE,
    among: NDArray[np.bool_] | None = None,
) -> list[Promise]:
    """Return what may be promised, for each share of `PROMISES`, from one image of each group.

    Args:
        confidence: [N], out-of-fold confidence of the answers.
        correct: bool [N]; False for what would be an escape.
        groups: int [N], images that share pixels, or seeds of one image, have one number.
        level: probability with which each promise holds.
        among: bool [N], the images of which a share is promised; None for all.
    """
    counted = np.arange(len(groups)) if among is None else np.flatnonzero(among)
    rows = counted[one_of_each_group(groups[counted])]
    found = []
    for escapes in PROMISES:
        threshold = guaranteed_threshold(confidence[rows], correct[rows], escapes, level)
        referred = None if threshold is None else float(np.mean(confidence < threshold))
        found.append(Promise(escapes, threshold, referred, images_needed(escapes, level)))
    return found
