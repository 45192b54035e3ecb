"""Whether two models, or a list of them, differ by more than the choice of test images explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from steelbench.evaluation.statistics.intervals import Array, by_seed, group_sums


@dataclass(frozen=True)
class PairTest:
    """A two-sided test; `difference` is the first's mean minus the second's, in -1..1, `p_value` in 0..1."""

    difference: float
    p_value: float
    method: str


def compare_pair(correct_a: Array, correct_b: Array, groups: Array | None = None, seed: int = 0) -> PairTest:
    """Test whether two models are equally accurate on images like these.

    Where every group is a single image: McNemar's exact test, which needs a yes or no per image and so looks
    at one seed only. Otherwise an exact sign-flip test: if the models are equal, each group's difference in
    correct answers (summed over seeds) could as well have had the other sign. Of single images and one seed
    the two are the same test.

    Args:
        correct_a: bool [N] or [S, N], images in the same order as in `correct_b`.
        correct_b: bool [N] or [S', N].
        groups: int [N]; None if every image is its own group.
        seed: the row that McNemar's test looks at, and whose difference is returned with it.

    References:
        McNemar 1947; for the choice, Dietterich 1998, https://doi.org/10.1162/089976698300017197.
        Sign flips by group: Winkler et al. 2015, https://doi.org/10.1016/j.neuroimage.2015.05.092.
    """
    a, b = by_seed(correct_a), by_seed(correct_b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"compared answers to {a.shape[1]} and {b.shape[1]} images; they must be the same images")
    groups = np.arange(a.shape[1]) if groups is None else np.asarray(groups)
    if np.unique(groups).size == groups.size:
        return _mcnemar(a[seed].astype(bool), b[seed].astype(bool))
    # Whole numbers, so that equal sums are equal: each model's hits times the other's number of seeds.
    scaled = a.sum(axis=0, dtype=int) * len(b) - b.sum(axis=0, dtype=int) * len(a)
    by_group, _ = group_sums(scaled.astype(float), groups)
    p_value = sign_flip_p_value(np.rint(by_group).astype(int))
    return PairTest(float(a.mean() - b.mean()), p_value, "exact sign flips by group")


def sign_flip_p_value(differences: npt.NDArray[np.int_]) -> float:
    """Return the share of all 2^G sign patterns whose sum is at least as far from 0 as the sum seen.

    Not by visiting the patterns: the distribution of the sum of the values that keep their sign grows by one
    group at a time. Exact for any G, where random flips would give another p-value for another seed.

    Args:
        differences: int [G], of any sign.

    References:
        Pagano and Tritchler, "On Obtaining Permutation Distributions in Polynomial Time", 1983.
        https://doi.org/10.1080/01621459.1983.10477990
    """
    steps = np.abs(differences[differences != 0])
    if steps.size == 0:
        return 1.0
    steps //= np.gcd.reduce(steps)  # the same distribution on fewer points
    total = int(steps.sum())
    seen = abs(int(differences.sum())) * total / int(np.abs(differences).sum())
    share = np.zeros(total + 1)
    share[0] = 1.0
    for step in steps:
        share[step:] = (share[step:] + share[:-step]) / 2  # numpy reads all of the right side first
        share[:step] /= 2
    flipped_sums = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(share[flipped_sums >= seen - 1e-6].sum()))


def holm(p_values: Sequence[float] | Array) -> npt.NDArray[np.float64]:
    """Return the p-values [J] adjusted by Holm's method, in 0..1 and in the same order."""
    if len(p_values) == 0:
        return np.zeros(0)
    return np.asarray(multipletests(p_values, method="holm")[1], dtype=float)


def compare_with_best(
    correct_by_name: Mapping[str, Array], groups: Array | None = None, seed: int = 0
) -> dict[str, PairTest]:
    """Compare the most accurate model (the mean over seeds; the first of equals) with each of the others.

    Args:
        correct_by_name: bool [N] or [S, N] each, images in the same order.
        groups: int [N]; None if every image is its own group.
        seed: as in `compare_pair`.

    Returns:
        The others, in their order: best minus other, with p-values adjusted by Holm's method.
    """
    best = _most_accurate(correct_by_name)
    tests = {
        name: compare_pair(correct_by_name[best], correct, groups, seed)
        for name, correct in correct_by_name.items()
        if name != best
    }
    adjusted = holm([test.p_value for test in tests.values()])
    return {
        name: PairTest(test.difference, float(p_value), f"{test.method}, Holm")
        for (name, test), p_value in zip(tests.items(), adjusted, strict=True)
    }


def tied_for_best(
    correct_by_name: Mapping[str, Array], groups: Array | None = None, level: float = 0.05, seed: int = 0
) -> dict[str, float]:
    """Return the models that are not shown to be worse than the most accurate one, with their p-values.

    Any one model that is truly the best (or as good) is left out with a probability of at most `level`; that
    all of several equal models stay in is less sure, because the best of them was picked by the same images.

    Args:
        correct_by_name: bool [N] or [S, N] each, images in the same order.
        groups: int [N]; None if every image is its own group.
        level: of the family of comparisons with the best.
        seed: as in `compare_pair`.

    Returns:
        The best one (1.0) first, then those tied with it in their order: p-values by Holm's method, > level.
    """
    tests = compare_with_best(correct_by_name, groups, seed)
    # One seed's difference can point the other way than the mean over seeds does; that is not "worse".
    tied = {name: t.p_value for name, t in tests.items() if t.p_value > level or t.difference <= 0}
    return {_most_accurate(correct_by_name): 1.0} | tied


def corrected_resampled_t(differences: Sequence[float] | Array, n_train: float, n_test: float) -> PairTest:
    """Test whether two methods differ, from their differences over folds and seeds.

    Training sets of different folds overlap, so the plain paired t-test finds differences where none are. The
    variance is multiplied by 1/J + n_test/n_train instead of 1/J.

    Args:
        differences: float [J], first minus second, a fold and seed each; J >= 2.
        n_train: images in a training set, on average over folds.
        n_test: images in a test set, on average over folds.

    Returns:
        p_value 1.0 where all differences are equal: without a spread there is nothing to judge by.

    References:
        Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.
        https://doi.org/10.1023/A:1024068626366
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected two or more differences in one dimension, got shape {values.shape}")
    mean, variance = float(values.mean()), float(values.var(ddof=1))
    # Accuracies of equal difference differ by rounding: .9 - .8 is not .8 - .7.
    if variance < 1e-24:
        return PairTest(mean, 1.0, "corrected resampled t (no spread)")
    t = mean / np.sqrt((1 / len(values) + n_test / n_train) * variance)
    return PairTest(mean, float(2 * stats.t.sf(abs(t), len(values) - 1)), "corrected resampled t")


def _mcnemar(a: Array, b: Array) -> PairTest:
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    table = [[int(np.sum(a & b)), only_a], [only_b, int(np.sum(~a & ~b))]]
    p_value = float(mcnemar(table, exact=True).pvalue) if only_a + only_b else 1.0
    return PairTest((only_a - only_b) / a.size, min(1.0, p_value), "exact McNemar")


def _most_accurate(correct_by_name: Mapping[str, Array]) -> str:
    return max(correct_by_name, key=lambda name: float(by_seed(correct_by_name[name]).mean()))
