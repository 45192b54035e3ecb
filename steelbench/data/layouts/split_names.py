"""The words that name a part of a split, in folders and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "validate": "validation",
    "dev": "validation",
    "development": "validation",
    "test": "test",
    "testing": "test",
    "holdout": "test",
    "hold_out": "test",
    # Beside a part for testing, these are what a choice is made on: see `split_parts`.
    "eval": "test",
    "evaluation": "test",
}
EITHER = frozenset({"eval", "evaluation"})
# `Validation_Images`, `training-set`, `testset`.
_AFTER = re.compile(r"_?(set|images|imgs|data|split|part|samples)$")


def split_parts(names: Iterable[str]) -> dict[str, str]:
    """Return what names of folders, or words of a table, mean as parts of one split.

    Args:
        names: all of them, as what `eval` means depends on the others.

    Returns:
        Name -> `train`, `validation` or `test`, for the names that name a part.
    """
    words = {name: word for name in names if (word := _word(name)) in SPLIT_NAMES}
    tested = any(SPLIT_NAMES[word] == "test" for word in words.values() if word not in EITHER)
    return {name: "validation" if tested and word in EITHER else SPLIT_NAMES[word] for name, word in words.items()}


def _word(name: str) -> str:
    plain = re.sub(r"[\s_-]+", "_", name.strip().lower())
    return plain if plain in SPLIT_NAMES else _AFTER.sub("", plain)
