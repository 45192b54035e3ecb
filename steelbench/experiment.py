"""Experiments, the options of one `steelbench run`, and the values of `--set`: the public door for suites."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

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
)
from steelbench.records import RunKey

__all__ = [
    "METHODS",
    "Arcface",
    "DataOptions",
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
    "networks_of",
    "parse_assignments",
    "with_fields",
]

# Least probability of a pseudo-label, where the user gives no other.
CONFIDENCE = 0.9
# Further measurements of the finished rows, which `--with` asks for.
Extra = Literal["robustness", "unknown"]


def networks_of(backbone: str) -> tuple[str, ...]:
    """Return the networks of a backbone's name: the parts of an ensemble `a+b`, else the name itself."""
    return tuple(backbone.split("+"))


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One backbone and one method, for one seed and one fold.

    Attributes:
        backbone: a name of `BACKBONES`, `hub:PRESET`, or an ensemble `a+b`, whose features are concatenated.
        method: the settings of a method in `METHODS`.
        variant: names what a suite varies besides, `[a-z0-9_.=]*`.
        image_size: side of the square that the backbone sees, 32 to 2048 pixels; None for the command's or its own.
        seed: of the split and of the training; 0 in suites, `steelbench run` makes the others.
        fold: of the cross-validation; 0 in suites.

    Raises:
        SteelbenchError: if the variant or the image size is not as above.
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
    def networks(self) -> tuple[str, ...]:
        """The networks whose features are used, one unless the backbone is an ensemble."""
        return networks_of(self.backbone)

    @property
    def method_name(self) -> str:
        """The method's key in `METHODS`."""
        return self.method.kind

    @property
    def key(self) -> RunKey:
        """The key of its run, in results and in failures."""
        return RunKey(
            backbone=self.backbone, method=self.method_name, variant=self.variant, seed=self.seed, fold=self.fold
        )

    @property
    def name(self) -> str:
        """`<backbone>-<method>[-<variant>]`."""
        return self.key.name

    @property
    def run_name(self) -> str:
        """`<name>-s<seed>-f<fold>`."""
        return self.key.run_name


class DataOptions(Settings):
    """How a data folder is read: the options of every command that takes `--data`."""

    kind: ClassVar[str] = "options"
    data: str
    layout: str | None = None
    object: str | None = Field(None, description="the one of several objects below the folder")
    boxes: Literal["crop", "image"] | None = None
    margin: float = Field(0.1, ge=0, le=2, description="around a box that is cropped, as a share of its sides")
    min_box: int = Field(16, ge=1, le=2048, description="smallest side of a cropped box before the margin, pixels")
    square: bool = Field(False, description="crops are widened to squares")
    include_none: bool = False
    keep_masks: bool = False
    join_labels: bool = False
    drop_small: int | None = Field(None, ge=2, le=1_000_000)
    bit_depth: int | None = Field(None, ge=8, le=16)


class RunOptions(DataOptions):
    """The options of one `steelbench run`, which `config.json` records."""

    results: Path = Path("results/run")
    weights: str = "imagenet"
    weights_dir: Path | None = None
    seeds: int = Field(1, ge=1, le=1000)
    folds: int = Field(1, ge=1, le=100)
    split: Literal["grouped", "random", "regroup"] = "grouped"
    engine: Literal["auto", "keras", "openvino"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    image_size: int | None = Field(None, ge=32, le=2048)
    augment: Literal["none", "light", "heavy"] = "none"
    homogenize: Literal["none", "global", "image"] = "none"
    verify: Literal["sample", "full"] = "sample"
    timing: Literal["own", "all", "off"] = "own"
    track: Literal["off", "tensorboard", "mlflow"] = "off"
    with_: tuple[Extra, ...] = ()
    none_class: str | None = None
    unlabelled: Path | None = None
    confidence: float = Field(CONFIDENCE, ge=0.5, le=1, description="least probability of a pseudo-label")
    runner: Literal["local", "ray"] = "local"
    ray_address: str | None = None
    force: bool = False

    @field_validator("with_", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Return the words of a list with commas, each once."""
        if not isinstance(value, str):
            return value
        words = dict.fromkeys(word.strip() for word in value.split(",") if word.strip())
        unknown = next((word for word in words if word not in get_args(Extra)), None)
        if unknown is not None or not words:
            raise ValueError(
                f"--with {value} does not say what to measure; expected one or more of {', '.join(get_args(Extra))}, "
                "separated by commas."
            )
        return tuple(words)

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.unlabelled is None and self.confidence != CONFIDENCE:
            raise ValueError(
                f"--confidence {self.confidence:g} is for pseudo-labels; name a folder of images with --unlabelled, "
                "or leave it out."
            )
        if self.ray_address is not None and self.runner != "ray":
            raise ValueError(f"--ray-address {self.ray_address} is for --runner ray; add it, or leave the address out.")
        if self.unlabelled is not None and self.runner == "ray" and self.homogenize != "none":
            raise ValueError(
                f"--unlabelled {self.unlabelled} with --homogenize {self.homogenize} works with --runner local only; "
                "leave one of the three out."
            )
        return self


def parse_assignments(assignments: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the fields by method that `METHOD.FIELD=VALUE` texts assign.

    Args:
        assignments: the texts, as given to `--set`; a later one wins.
        methods: names of the methods that run.

    Returns:
        Method -> field -> value. Values are text (a tuple of texts for a list), which the settings convert.

    Raises:
        SteelbenchError: for an unknown method, one that does not run, or a text of another form.
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
    """Return the settings with other values for some fields.

    Args:
        settings: of any method.
        fields: value by field; texts are converted.
        epochs: of `--epochs`; ignored by a method without epochs, and overruled by `fields`.

    Raises:
        SteelbenchError: for an unknown field, or a value that does not fit.
    """
    if epochs is not None and "epochs" in type(settings).model_fields:
        fields = {"epochs": epochs, **fields}
    return type(settings)(**{**settings.model_dump(), **fields}) if fields else settings
