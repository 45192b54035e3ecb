"""What to run: the settings of every method, an experiment, and the options of one `steelbench run`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from steelbench.errors import SteelbenchError, choose
from steelbench.results import row_name


class Checked(BaseModel):
    """A frozen value whose fields are checked when it is made; a bad field is a `SteelbenchError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
    kind: ClassVar[str] = "options"

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SteelbenchError(self._explain(error, fields)) from None

    @classmethod
    def _explain(cls, error: ValidationError, fields: dict[str, Any]) -> str:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        if first["type"] == "extra_forbidden":
            try:
                choose(f"field of {cls.kind}", name, cls.model_fields)
            except SteelbenchError as unknown:
                return str(unknown)
        if first["type"] == "value_error":
            return str(first["ctx"]["error"]) if "ctx" in first else first["msg"]
        wanted = first["msg"][0].lower() + first["msg"][1:]
        if name not in fields:
            return f"{cls.kind}.{name} is missing; {wanted}."
        return f"{cls.kind}.{name} is {fields[name]!r}; {wanted}. The default is {cls.model_fields[name].default!r}."


class Fitted(Checked):
    """What every method that runs epochs has in common."""

    epochs: int = Field(10, ge=1, le=10_000)
    batch_size: int = Field(64, ge=1, le=4096)
    learning_rate: float = Field(1e-3, gt=0, le=10, description="of Adam, at its highest")
    schedule: Literal["constant", "exponential", "warmup_cosine"] = Field(
        "constant", description="exponential: times `decay` after each epoch; warmup_cosine: linear rise, then cosine"
    )
    decay: float = Field(0.9, gt=0, le=1)
    warmup_epochs: int = Field(2, ge=0)


class Softmax(Fitted):
    """Global average pooling, Dense relu, Dropout, softmax on a frozen backbone; cross-entropy."""

    kind: ClassVar[str] = "softmax"
    hidden: int = Field(512, ge=1, le=65_536, description="units of the hidden Dense layer")
    dropout: float = Field(0.2, ge=0, lt=1)


class Linear(Checked):
    """Multinomial logistic regression on a frozen backbone; C is chosen on the validation images."""

    kind: ClassVar[str] = "linear"
    c: tuple[float, ...] = Field(
        (0.001, 0.01, 0.1, 1.0, 10.0), min_length=1, description="inverse L2 strengths to choose from"
    )

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(self.c) <= 0:
            raise ValueError(f"linear.c is {self.c}; every value must be positive. Usual values are 0.001 to 10.")
        return self


@dataclass(frozen=True)
class Method:
    """A row of `METHODS`: its settings, the function that trains it (by name), one line for people."""

    settings: type[Checked]
    train: str
    summary: str


METHODS = {
    "softmax": Method(
        Softmax, "steelbench.training.heads:train_softmax", "Dense 512 relu, Dropout 0.2, softmax on frozen features"
    ),
    "linear": Method(
        Linear,
        "steelbench.training.heads:train_linear",
        "logistic regression on frozen features, C chosen on validation",
    ),
}


def method_of(settings: Checked) -> str:
    """The name in `METHODS` whose settings these are."""
    return next(name for name, row in METHODS.items() if type(settings) is row.settings)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One backbone, one method, one seed, one fold; `variant` names what a suite varies besides.

    Raises:
        SteelbenchError: if the variant is not a slug of `[a-z0-9_.=]`.
    """

    backbone: str
    method: Checked
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


class RunOptions(Checked):
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
    verify: Literal["sample", "full"] = "sample"
    include_none: bool = False
    bit_depth: int | None = Field(None, ge=8, le=16)
    track: Literal["off", "tensorboard"] = "off"
    force: bool = False
    dry_run: bool = False


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


def with_fields(settings: Checked, fields: dict[str, Any], epochs: int | None = None) -> Checked:
    """The settings with other values for some fields; `epochs` only where the method has epochs.

    Raises:
        SteelbenchError: for an unknown field, or a value that does not fit.
    """
    if epochs is not None and "epochs" in type(settings).model_fields:
        fields = {"epochs": epochs, **fields}
    return type(settings)(**{**settings.model_dump(), **fields}) if fields else settings
