"""Test whether two models, or a list of them, differ by more than the choice of test images explains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from steelbench.arrays import AnyArray, Floats, RowIndices
from steelbench.evaluation.statistics.dependence import group_index


@dataclass(frozen=True)
class PairTest:
    """A two-sided test; `difference` is the first's mean minus the second's, in -1..1, `p_value` in 0..1."""

    difference: float
    p_value: float
    method: str

    def shows_worse(self, level: float) -> bool:
        """Return whether the second model is shown to be worse than the first."""
        return self.p_value <= level and self.difference > 0


def compare_with_best(best: str, correct: Mapping[str, AnyArray], groups: AnyArray) -> dict[str, PairTest]:
    """Test the model `best` against each of the others, with Holm's correction over all of these tests.

    A given model that is as good as the best one is shown to be worse with a probability of at most the level, and so
    is any of those, if the best one was named beforehand. The best one was picked by the same images;
    `benchmarks/interval_coverage.py` measures how often some one of six equal models is then shown to be worse.

    Args:
        best: a key of `correct`.
        correct: bool [T] each, whether the answers of T tests are right; the same tests in the same order.
        groups: int [T]; tests of one image, and of images that share pixels, are one group.

    Returns:
        The others, in their order: best minus other.
    """
    tests = {name: compare_pair(correct[best], answers, groups) for name, answers in correct.items() if name != best}
    adjusted = holm([test.p_value for test in tests.values()])
    return {
        name: replace(test, p_value=float(p_value), method=f"{test.method}, Holm")
        for (name, test), p_value in zip(tests.items(), adjusted, strict=True)
    }


def compare_pair(correct_a: AnyArray, correct_b: AnyArray, groups: AnyArray) -> PairTest:
    """Test whether two models are equally accurate on images like these.

    Where every group is a single test: McNemar's exact test. Otherwise an exact sign-flip test: if the models are
    equal, each group's difference in right answers could as well have had the other sign. Of single tests the two are
    the same.

    Args:
        correct_a: bool [T], the same tests in the same order as in `correct_b`.
        correct_b: bool [T].
        groups: int [T].

    Raises:
        ValueError: if the three differ in length.

    References:
        McNemar 1947; for the choice, Dietterich 1998, https://doi.org/10.1162/089976698300017197.
        Sign flips by group: Winkler et al. 2015, https://doi.org/10.1016/j.neuroimage.2015.05.092.
    """
    a, b = (np.asarray(answers, dtype=bool) for answers in (correct_a, correct_b))
    if not a.shape == b.shape == np.shape(groups):
        raise ValueError(f"compared answers of shapes {a.shape}, {b.shape} in groups {np.shape(groups)}; expected [T]")
    index, sizes = group_index(groups)
    if len(sizes) == len(a):
        return _mcnemar(a, b)
    by_group = np.bincount(index, a.astype(float) - b.astype(float))
    p_value = sign_flip_p_value(np.rint(by_group).astype(int))
    return PairTest(float(a.mean() - b.mean()), p_value, "exact sign flips by group")


def sign_flip_p_value(differences: RowIndices) -> float:
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


def holm(p_values: Sequence[float] | AnyArray) -> Floats:
    """Return the p-values [J] adjusted by Holm's method, in 0..1 and in the same order.

    Not statsmodels' `multipletests`, which collects garbage on every call: a third of a second beside TensorFlow.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    raw = np.asarray(p_values, dtype=float)
    order = np.argsort(raw, kind="stable")
    adjusted = np.empty(len(raw))
    adjusted[order] = np.maximum.accumulate(raw[order] * np.arange(len(raw), 0, -1))
    return np.minimum(adjusted, 1.0)


def corrected_resampled_t(differences: Sequence[float] | AnyArray, n_train: float, n_test: float) -> PairTest:
    """Test whether two methods differ, from their differences over folds and seeds.

    Training sets of different folds overlap, so the plain paired t-test finds differences where none are. The
    variance is multiplied by 1/J + n_test/n_train instead of 1/J.

    Args:
        differences: float [J], first minus second, a fold and seed each; J >= 2.
        n_train: images in a training set, on average over folds.
        n_test: images in a test set, on average over folds.

    Returns:
        p_value 1.0 where all differences are equal: without a spread there is nothing to judge by.

    Raises:
        ValueError: if there are fewer than two differences, or more than one dimension.

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


def _mcnemar(a: AnyArray, b: AnyArray) -> PairTest:
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    table = [[int(np.sum(a & b)), only_a], [only_b, int(np.sum(~a & ~b))]]
    p_value = float(mcnemar(table, exact=True).pvalue) if only_a + only_b else 1.0
    return PairTest((only_a - only_b) / a.size, min(1.0, p_value), "exact McNemar")
