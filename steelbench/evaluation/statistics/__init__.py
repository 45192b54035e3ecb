"""How sure a number is, and whether two differ, on test images that come in groups (images sharing pixels).

`intervals` for accuracy and recall, `bootstrap` for macro-F1, `comparisons` for models against each other,
`power` for what a test set can show.
`benchmarks/interval_coverage.py` measures whether they keep what they promise.
"""

from steelbench.evaluation.statistics.bootstrap import balanced_accuracy_interval, macro_f1_interval
from steelbench.evaluation.statistics.intervals import Interval, accuracy_interval, design_effect, recall_intervals
from steelbench.evaluation.statistics.power import smallest_difference
from steelbench.evaluation.statistics.significance import (
    PairTest,
    compare_pair,
    compare_with_best,
    corrected_resampled_t,
    holm,
    tied_for_best,
)

__all__ = [
    "Interval",
    "PairTest",
    "accuracy_interval",
    "balanced_accuracy_interval",
    "compare_pair",
    "compare_with_best",
    "corrected_resampled_t",
    "design_effect",
    "holm",
    "macro_f1_interval",
    "recall_intervals",
    "smallest_difference",
    "tied_for_best",
]
