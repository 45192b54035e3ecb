"""What to run: the settings of every method, an experiment, and the options of one `steelbench run`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from steelbench.errors import SteelbenchError, choose
from steelbench.methods import (
    METHODS,
    Arcface,
    EpochSettings,
    Finetune,
    Knn,
    Linear,
    Method,
    Settings,
    Softmax,
    Supcon,
    Triplet,
    method_of,
)
from steelbench.records import row_name

__all__ = [
    "METHODS",
    "Arcface",
    "EpochSettings",
    "Experiment",
    "Finetune",
    "Knn",
    "Linear",
    "Method",
    "RunOptions",
    "Settings",
    "Softmax",
    "Supcon",
    "Triplet",
    "method_of",
    "parse_assignments",
    "with_fields",
]


# Of pseudo-labels, where no other is given.
CONFIDENCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One backbone, one method, one seed, one fold; `variant` names what a suite varies besides.

    A backbone `a+b` is an ensemble: the features of both, joined.

    Raises:
        SteelbenchError: if the variant is not a slug of `[a-z0-9_.=]`.
    """

    backbone: str
    method: Settings
    variant: str = ""
    image_size: int | None = None
    seed: int = 0
    fold: int = 0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_.=]*", self.variant):
            raise SteelbenchError(
                f"variant '{self.variant}' is not a slug; use lower-case letters, digits, '_', '.' and '=' only."
            )
        if self.image_size is not None and not 32 <= self.image_size <= 2048:
            raise SteelbenchError(
                f"image_size is {self.image_size}; expected 32 to 2048 pixels, or None for the usual."
            )

    @property
    def name(self) -> str:
        """`<backbone>-<method>[-<variant>]`."""
        return row_name(self.backbone, method_of(self.method), self.variant)

    @property
    def run_name(self) -> str:
        """`<name>-s<seed>-f<fold>`."""
        return f"{self.name}-s{self.seed}-f{self.fold}"


class RunOptions(Settings):
    """The options of one `steelbench run`, as they are recorded in `config.json`."""

    kind: ClassVar[str] = "options"
    data: str
    results: Path = Path("results/run")
    weights: str = "imagenet"
    weights_dir: Path | None = None
    seeds: int = Field(1, ge=1, le=1000)
    folds: int = Field(1, ge=1, le=100)
    split: Literal["grouped", "random"] = "grouped"
    engine: Literal["auto", "keras", "openvino"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    image_size: int | None = Field(None, ge=32, le=2048)
    augment: Literal["none", "light", "heavy"] = "none"
    homogenize: Literal["none", "global", "image"] = "none"
    verify: Literal["sample", "full"] = "sample"
    include_none: bool = False
    bit_depth: int | None = Field(None, ge=8, le=16)
    track: Literal["off", "tensorboard"] = "off"
    unlabelled: Path | None = None
    confidence: float = Field(CONFIDENCE, ge=0.5, le=1, description="least probability of a pseudo-label")
    force: bool = False
    dry_run: bool = False

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.unlabelled is None and self.confidence != CONFIDENCE:
            raise ValueError(
                f"--confidence {self.confidence:g} is for pseudo-labels; name a folder of images with --unlabelled, "
                "or leave it out."
            )
        return self


def parse_assignments(assignments: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`METHOD.FIELD=VALUE` texts to fields by method; values are still text, which the settings convert.

    Args:
        assignments: as given to `--set`.
        methods: those that run.

    Raises:
        SteelbenchError: for an unknown method, one that does not run, or no `METHOD.FIELD=VALUE`.
    """
    given: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        match = re.fullmatch(r"([a-z]+)\.([a-z_]+)=(.*)", assignment)
        if not match:
            raise SteelbenchError(f"--set {assignment} is not METHOD.FIELD=VALUE, as in --set softmax.dropout=0.3.")
        method, field, value = match.groups()
        choose("method", method, METHODS)
        if method not in methods:
            raise SteelbenchError(f"--set {assignment}, but {method} does not run; add it to --methods.")
        listed = "tuple" in str(METHODS[method].settings.model_fields.get(field))
        given.setdefault(method, {})[field] = tuple(value.split(",")) if listed else value
    return given


def with_fields(settings: Settings, fields: dict[str, Any], epochs: int | None = None) -> Settings:
    """The settings with other values for some fields; `epochs` only where the method has epochs.

    Raises:
        SteelbenchError: for an unknown field, or a value that does not fit.
    """
    if epochs is not None and "epochs" in type(settings).model_fields:
        fields = {"epochs": epochs, **fields}
    return type(settings)(**{**settings.model_dump(), **fields}) if fields else settings
