"""The record of where a row looked on images that it answers wrongly: RESULTS/activation_maps/<row>.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from steelbench.records.base import Finite, Record

# Cells of a map's side; a backbone divides an image's side by 8 at least.
MOST_CELLS = 256
Cells = Annotated[int, Field(ge=1, le=MOST_CELLS)]
Side = Annotated[int, Field(ge=1, le=1_000_000)]
# A byte for each cell, row by row, two hexadecimal digits each.
Heat = Annotated[str, Field(pattern="^([0-9a-f]{2})*$", max_length=2 * MOST_CELLS**2)]


def activation_map_file(results: Path, name: str) -> Path:
    """Return the path of the record of a row's activation maps in a results folder."""
    return results / "activation_maps" / f"{name}.json"


class ActivationMap(Record):
    """The share of each place of an image in the scores of two classes, both on one scale; what lowers a score is 0."""

    path: str = Field(description="of the image")
    predicted: str = Field(description="the class that the row names")
    label: str = Field(description="the class that the data says")
    width: Side = Field(description="of the image, pixels")
    height: Side
    columns: Cells
    rows: Cells
    peak: Annotated[Finite, Field(ge=0)] = Field(description="largest share of a cell in a score; byte 255")
    for_predicted: Heat
    for_label: Heat

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if {len(self.for_predicted), len(self.for_label)} != {2 * self.rows * self.columns}:
            raise ValueError("a map needs one byte for each of its cells")
        return self


class ActivationMaps(Record):
    """The maps of one row, and what they were made of."""

    fingerprint: str = Field(description="of the answers and of the runs that gave them")
    maps: list[ActivationMap] = Field(default_factory=list)
    seconds: Finite = Field(0.0, description="of all rows that share the network")
    problem: str = Field("", description="why there are none")
