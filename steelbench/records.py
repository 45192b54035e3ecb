"""The records of a results folder: their shape, and how they are written whole or not at all.

RESULTS/runs/<name>-s<seed>-f<fold>/result.json   one `RunRecord`, written last
RESULTS/results.json                              one `Summary`, made from the run records
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steelbench.errors import SteelbenchError

SCHEMA = 1


class Record(BaseModel):
    """A plain value that is written as JSON. Unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class StageRecord(Record):
    """One `fit`: its history file (CSV, in the run's folder) and the epoch that validation chose."""

    name: str
    history: str
    epochs: int
    best_epoch: int = Field(description="counted from 1, as in the history")


class Verification(Record):
    """The saved `.h5`, loaded again and fed raw test images, against the probabilities that made the score."""

    images: int
    max_difference: float = Field(description="largest absolute difference of a probability")
    classes_changed: int


class RunRecord(Record):
    """What came out of one experiment. `metrics` maps a part (train, validation, test) to its numbers in 0..1."""

    schema_version: int = SCHEMA
    backbone: str
    method: str
    variant: str = ""
    seed: int
    fold: int
    settings: dict[str, Any]
    fingerprint: str = Field(description="digest of everything that decides the outcome; a resumed command compares it")
    classes: list[str]
    n_train: int
    n_validation: int
    n_test: int
    image_size: int
    augment: str = "none"
    homogenize: str = "none"
    weights: dict[str, Any]
    engine: str
    precision: str
    params: int
    model: str | None = Field(None, description="path of the whole model in the results folder, for seed 0 fold 0")
    model_bytes: int | None = None
    stages: list[StageRecord] = []
    metrics: dict[str, dict[str, float | None]]
    notes: dict[str, Any] = {}
    verification: Verification | None = None
    seconds: dict[str, float]

    @property
    def name(self) -> str:
        """`<backbone>-<method>[-<variant>]`, the row of the leaderboard."""
        return row_name(self.backbone, self.method, self.variant)

    @property
    def run_name(self) -> str:
        """`<name>-s<seed>-f<fold>`, the folder in `runs/`."""
        return f"{self.name}-s{self.seed}-f{self.fold}"


class ClassScore(Record):
    """Precision, recall and F1 of one class on the test images, in 0..1, and its number of test images."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    recall_low: float | None = None
    recall_high: float | None = None


class Row(Record):
    """One name's results over all of its seeds and folds; a line of `leaderboard.csv` and what the report draws."""

    name: str
    backbone: str
    method: str
    variant: str = ""
    weights: str
    status: Literal["done", "failed"]
    reason: str = ""
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    macro_f1: float | None = None
    macro_f1_low: float | None = None
    macro_f1_high: float | None = None
    balanced_accuracy: float | None = None
    n_test: int | None = Field(None, description="distinct test images")
    n_effective: float | None = Field(None, description="independent images that would tell as much")
    naive_accuracy: float | None = Field(None, description="of one random split that ignores what images share")
    tied: bool | None = Field(None, description="not shown to be worse than the most accurate row")
    p_value: float | None = Field(None, description="of the difference from the most accurate row, after Holm")
    engine: str = ""
    precision: str = ""
    params: int | None = None
    model_bytes: int | None = None
    seconds: float | None = None
    image_size: int | None = None
    validation_accuracy: float | None = None
    train_accuracy: float | None = None
    model: str | None = None
    runs: list[str] = []
    per_class: list[ClassScore] = []
    confusion: list[list[int]] = Field([], description="[true class][predicted class], summed over seeds and folds")
    verification: Verification | None = None
    detail: dict[str, Any] = Field({}, description="what else the run records say: seconds by step, weights' origin")


class Notice(Record):
    """Something the reader must know before believing a number. `row` is a row's name, or "" for the whole run."""

    level: Literal["serious", "caution", "note"]
    text: str
    row: str = ""


class Summary(Record):
    """Everything that the report needs beside the histories: `results.json`."""

    schema_version: int = SCHEMA
    dataset: dict[str, Any] = Field(
        description="name, images, classes (name -> images), skipped, left_out (reason -> images), digest"
    )
    split: dict[str, Any] = Field(description="kind, folds, seeds, groups, train, validation, test (images)")
    rows: list[Row] = Field(description="best first; the majority class is one of them, failed rows are last")
    warnings: list[Notice] = []
    judgement: dict[str, Any] = Field({}, description="what the comparison of the rows allows to say")


AnyRecord = TypeVar("AnyRecord", bound=Record)


def row_name(backbone: str, method: str, variant: str = "") -> str:
    """`<backbone>-<method>[-<variant>]`; `:` and `/` become `_`, because the name is also a file's."""
    return "-".join(filter(None, (backbone, method, variant))).replace(":", "_").replace("/", "_")


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """Read one record.

    Raises:
        SteelbenchError: if the file is missing, no JSON, or lacks what `kind` needs.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise SteelbenchError(
            f"{path} does not exist; expected the folder that `steelbench run --results` wrote. Run it first."
        ) from None
    except (OSError, ValidationError) as error:
        raise SteelbenchError(
            f"{path} is not a readable {kind.__name__} record ({_first_line(error)}). "
            "Delete it and run the same command again to make it anew."
        ) from None


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'file'}: {first['msg']}"
    return str(error).splitlines()[0]


class RunKey(Record):
    """One run: an experiment with its seed and its fold. Hashable, so that results can be looked up by it.

    `backbone` is as the user named it (`hub:x`, `a+b`), which a run's name does not keep.
    """

    backbone: str
    method: str
    variant: str = ""
    seed: int = 0
    fold: int = 0

    @property
    def name(self) -> str:
        """`<backbone>-<method>[-<variant>]`, the row of the leaderboard."""
        return row_name(self.backbone, self.method, self.variant)

    @property
    def run_name(self) -> str:
        """`<name>-s<seed>-f<fold>`, the folder in `runs/`."""
        return f"{self.name}-s{self.seed}-f{self.fold}"
