"""Labels whose names differ by case or spaces only: find them, join them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from steelbench.data.samples import Sample


def spellings(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the labels that differ by case or spaces only.

    Args:
        counts: images of each label.

    Returns:
        Two or more spellings in each list, the most frequent first, of equals the first by name.
    """
    found: dict[str, list[str]] = {}
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        found.setdefault("".join(label.split()).casefold(), []).append(label)
    return sorted(labels for labels in found.values() if len(labels) > 1)


def join_labels(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """Return the samples with the most frequent spelling of each label."""
    joined = {other: first for first, *others in spellings(count_labels(samples)) for other in others}
    return tuple(
        dataclasses.replace(sample, label=joined[sample.label]) if sample.label in joined else sample
        for sample in samples
    )


def count_labels(samples: Iterable[Sample]) -> Counter[str]:
    """Return the number of samples of each label."""
    return Counter(sample.label for sample in samples)
