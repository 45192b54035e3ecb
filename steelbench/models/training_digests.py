"""The images that a model learned from, by the first digits of their pixels' sha256, on its card. No TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from steelbench.models.model_card import Card

# Hexadecimal digits of each digest: of a million images, two that differ have one digest with a probability of 3e-8.
DIGITS = 16
ALGORITHM = f"sha256 of 'HEIGHT WIDTH ' and the decoded RGB pixels, first {DIGITS} hexadecimal digits"
# 1.6 MB of a card; of a larger training set nothing is written.
MOST_IMAGES = 100_000


def training_digests(digests: Iterable[str]) -> dict[str, Any] | None:
    """Return the card's field of a training set; None for one that is too large, or without digests.

    Args:
        digests: sha256 of the pixels of every image that the model was trained on, or chosen by.
    """
    short = sorted({digest[:DIGITS] for digest in digests})
    if not short or len(short) > MOST_IMAGES or not all(short):
        return None
    return {"algorithm": ALGORITHM, "digests": "".join(short)}


def read_training_digests(card: Card) -> frozenset[str] | None:
    """Return the short digests on a card; None where it carries none, or none that can be compared."""
    field = (card.model_extra or {}).get("training_digests")
    if not isinstance(field, dict) or field.get("algorithm") != ALGORITHM:
        return None
    text = field.get("digests")
    if not isinstance(text, str) or len(text) % DIGITS or not re.fullmatch(r"[0-9a-f]+", text):
        return None
    return frozenset(text[start : start + DIGITS] for start in range(0, len(text), DIGITS))
