"""Names of labels: which no model card can hold, which differ by case or spaces only."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from steelbench.data.samples import Sample
from steelbench.errors import SteelbenchError
from steelbench.records.base import LONGEST_NAME, unprintable


def refuse_names(labels: Iterable[str]) -> None:
    """Refuse a class that no model card can hold, before hours of training end in a model that nobody can open.

    Raises:
        SteelbenchError: naming the class and what is wrong with it.
    """
    for label in sorted(labels):
        char = unprintable(label)
        if char is not None:
            raise SteelbenchError(
                f"the name of class {label[:80]!r} holds the character {char!r}, which is not printable; a model's "
                "card cannot hold such a name. Rename the class."
            )
        if not 1 <= len(label) <= LONGEST_NAME:
            raise SteelbenchError(
                f"the name of class '{label[:80]}' has {len(label)} characters; expected 1 to {LONGEST_NAME}. Rename "
                "the class."
            )


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
