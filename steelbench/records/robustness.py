"""The record of a row's accuracy on corrupted test images: RESULTS/robustness/<row>.json."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from steelbench.records.base import Count, Finite, Record, Share

# A difference of two proportions.
Difference = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]


class CorruptionCell(Record):
    """The answers to the images under one corruption at one strength."""

    strength: int = Field(ge=1, le=5)
    accuracy: Share
    change: Difference = Field(description="accuracy minus that of the same images unchanged")
    change_low: Difference
    change_high: Difference
    p_value: Share = Field(description="that the change is chance, by groups, not corrected")
    worst_class: str = Field(description="with the lowest recall")
    worst_right: Count = Field(description="images of that class that are answered rightly")
    worst_images: Count = Field(description="images of that class")


class CorruptionResult(Record):
    """The measurements of one corruption, by strength, and the first strength that is shown to hurt."""

    corruption: str = Field(description="a row of `CORRUPTIONS`")
    title: str = Field(description="its name in words")
    cells: list[CorruptionCell]
    hurts_from: int | None = Field(
        None, description="least strength from which on all measured ones are shown to lower the accuracy"
    )

    def at(self, strength: int) -> CorruptionCell | None:
        """The measurement at a strength; None if there is none."""
        return next((cell for cell in self.cells if cell.strength == strength), None)


class Robustness(Record):
    """The accuracy of a row's saved model on corrupted test images of seed 0, fold 0."""

    version: int = Field(description="of the corruptions")
    fingerprint: str = Field(description="of the run whose model was measured")
    images: Count
    groups: Count = Field(description="of images that share pixels")
    strengths: list[int] = Field(description="that were measured")
    clean_accuracy: Share = Field(description="of the same images unchanged")
    clean_differences: Count = Field(description="unchanged images that are answered otherwise than in predictions.csv")
    engine: str
    seconds: Finite = Field(description="of all rows that share the network")
    level: Share = Field(description="probability of showing any corruption that does not hurt to do so")
    results: list[CorruptionResult]
    first: str | None = Field(None, description="the corruption that hurts at the lowest strength, most if several do")

    def of(self, corruption: str) -> CorruptionResult | None:
        """The measurements of a corruption; None if there are none."""
        return next((own for own in self.results if own.corruption == corruption), None)
