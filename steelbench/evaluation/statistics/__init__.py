"""How sure a number is, and whether two differ, on test images that come in groups (images sharing pixels).

`dependence` learns from all rows how alike the answers within a group are; `intervals` for accuracy, macro-F1 and
recall go by it; `significance` compares models, and `power` says how small a difference a test set can show.
`benchmarks/interval_coverage.py` measures whether they keep what they promise.
"""

from steelbench.evaluation.statistics.dependence import PRIOR, Dependence, learn_dependence
from steelbench.evaluation.statistics.intervals import Interval, RowIntervals, row_intervals
from steelbench.evaluation.statistics.power import discordance, smallest_difference
from steelbench.evaluation.statistics.significance import (
    PairTest,
    compare_pair,
    compare_with_best,
    corrected_resampled_t,
    holm,
)

__all__ = [
    "PRIOR",
    "Dependence",
    "Interval",
    "PairTest",
    "RowIntervals",
    "compare_pair",
    "compare_with_best",
    "corrected_resampled_t",
    "discordance",
    "holm",
    "learn_dependence",
    "row_intervals",
    "smallest_difference",
]
