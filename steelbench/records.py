"""The records of a results folder: their shape, and how they are read.

RESULTS/runs/<name>-s<seed>-f<fold>/result.json   one `RunRecord`, written last
RESULTS/results.json                              one `Summary`, made from the run records
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from steelbench.errors import SteelbenchError

SCHEMA = 1

# A proportion; NaN and what lies outside is refused, so that no damaged record is drawn as an accuracy.
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
# A sum or a mean of proportions may leave 0..1 by rounding.
RoundedShare = Annotated[float, Field(ge=-1e-9, le=1 + 1e-9, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """A plain value that is written as JSON. Unknown fields of newer versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class SparseRecord(Record):
    """A record of which each case fills some fields only; those that are None are not written."""

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        return {name: value for name, value in handler(self).items() if value is not None}


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


class WeightsRecord(SparseRecord):
    """Where the weights of a backbone come from; of an ensemble by its parts' names."""

    kind: str = Field("", description="imagenet, noisy-student, preset, file, random, none, or mixed")
    file: str | None = None
    md5: str | None = None
    parts: dict[str, WeightsRecord] | None = None
    seed: int | None = Field(None, description="of random weights")
    calibration_images: int | None = Field(None, description="training images that set the BatchNorm statistics")
    calibration: str | None = Field(None, description="digest of those images")
    digest: str | None = Field(None, description="of the encoder's weights as they were used")
    homogenize: str | None = None
    brightness: float | None = Field(None, description="mean of the training images, 0..255")


class FeatureHealth(Record):
    """How much features differ between images; a wrong pixel range leaves them all but constant."""

    spread: float = Field(description="standard deviation over images relative to the root mean square")
    constant: float = Field(description="share of the features that do not change at all")


class EngineCheckRecord(SparseRecord):
    """How an engine's first batch compares with plain Keras, and what extraction took."""

    difference: float | None = Field(None, description="largest relative difference of a feature vector")
    cosine: float | None = Field(None, description="smallest cosine of a feature vector")
    images_per_second: float | None = None
    load_seconds: float | None = None
    memory_gib: float | None = None


class PseudoLabelRecord(Record):
    """The images without labels that a head learned from."""

    confidence: float
    images: int
    left_out: int = Field(description="share pixels with a validation or test image")
    used: int
    per_class: dict[str, int]


class EmbeddingScores(Record):
    """How well classes lie apart in an embedding, on the test images; None where it is not defined."""

    knn_accuracy: float | None = None
    map_at_r: float | None = None
    precision_at_20: float | None = None
    recall_at_1: float | None = None
    recall_at_5: float | None = None
    recall_at_20: float | None = None
    silhouette: float | None = None
    roc_auc: float | None = None
    equal_error_rate: float | None = None
    few_shot_1: float | None = None
    few_shot_1_low: float | None = None
    few_shot_1_high: float | None = None
    few_shot_5: float | None = None
    few_shot_5_low: float | None = None
    few_shot_5_high: float | None = None


class RunNotes(SparseRecord):
    """What one run leaves beside its scores; which fields there are depends on its method."""

    c: float | None = Field(None, description="inverse L2 strength that validation chose")
    temperature: float | None = Field(None, description="of knn, that validation chose")
    kept: int | None = Field(None, description="training images that a knn model keeps")
    scale: float | None = Field(None, description="of the cosines to the centroids, that validation chose")
    features: FeatureHealth | None = None
    engine_check: EngineCheckRecord | dict[str, EngineCheckRecord] | None = Field(
        None, description="of an ensemble by its parts' names"
    )
    scored_by: str | None = Field(None, description="why Keras scored the test images in the engine's place")
    embedding: EmbeddingScores | None = None
    pseudo_labels: PseudoLabelRecord | None = None


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


class RunRecord(Record):
    """What came out of one experiment. `metrics` maps a part (train, validation, test) to its numbers in 0..1."""

    schema_version: int = SCHEMA
    backbone: str
    method: str
    variant: str = ""
    seed: int
    fold: int
    settings: dict[str, JsonValue]
    fingerprint: str = Field(description="digest of everything that decides the outcome; a resumed command compares it")
    classes: list[str]
    n_train: int
    n_validation: int
    n_test: int
    image_size: int
    augment: str = "none"
    homogenize: str = "none"
    weights: WeightsRecord
    engine: str
    precision: str
    params: int
    model: str | None = Field(None, description="path of the whole model in the results folder, for seed 0 fold 0")
    model_bytes: int | None = None
    stages: list[StageRecord] = []
    metrics: dict[str, dict[str, float | None]]
    notes: RunNotes = RunNotes()
    verification: Verification | None = None
    seconds: dict[str, float]

    @property
    def key(self) -> RunKey:
        """Which run it is."""
        return RunKey(
            backbone=self.backbone, method=self.method, variant=self.variant, seed=self.seed, fold=self.fold
        )  # fmt: skip

    @property
    def name(self) -> str:
        """`<backbone>-<method>[-<variant>]`, the row of the leaderboard."""
        return self.key.name

    @property
    def run_name(self) -> str:
        """`<name>-s<seed>-f<fold>`, the folder in `runs/`."""
        return self.key.run_name


class ClassScore(Record):
    """Precision, recall and F1 of one class on the test images, in 0..1, and its number of test images."""

    name: str
    precision: Share
    recall: Share
    f1: Share
    support: int
    recall_low: Share | None = None
    recall_high: Share | None = None


class RowDetail(Record):
    """What else the run records of a row say; weights and notes are those of seed 0, fold 0."""

    seconds: dict[str, float] = Field({}, description="by step")
    weights: WeightsRecord | None = None
    notes: RunNotes | None = None


class Row(Record):
    """One name's results over all of its seeds and folds; a line of `leaderboard.csv` and what the report draws."""

    name: str
    backbone: str
    method: str
    variant: str = ""
    weights: str
    status: Literal["done", "failed"]
    reason: str = ""
    accuracy: RoundedShare | None = None
    accuracy_low: RoundedShare | None = None
    accuracy_high: RoundedShare | None = None
    macro_f1: RoundedShare | None = None
    macro_f1_low: RoundedShare | None = None
    macro_f1_high: RoundedShare | None = None
    balanced_accuracy: RoundedShare | None = None
    n_test: int | None = Field(None, description="distinct test images")
    n_effective: Finite | None = Field(None, description="independent images that would tell as much")
    naive_accuracy: RoundedShare | None = Field(None, description="of one random split that ignores what images share")
    untrained: bool | None = Field(None, description="its backbone has random weights that nothing trained")
    tied: bool | None = Field(None, description="not shown to be worse than the most accurate row")
    p_value: RoundedShare | None = Field(None, description="of the difference from the most accurate row, after Holm")
    engine: str = ""
    precision: str = ""
    params: int | None = None
    model_bytes: int | None = None
    seconds: Finite | None = None
    image_size: int | None = None
    validation_accuracy: RoundedShare | None = None
    train_accuracy: RoundedShare | None = None
    model: str | None = None
    runs: list[str] = []
    per_class: list[ClassScore] = []
    confusion: list[list[int]] = Field([], description="[true class][predicted class], summed over seeds and folds")
    verification: Verification | None = None
    detail: RowDetail = RowDetail()


class Notice(Record):
    """Something the reader must know before believing a number.

    `code` is a row of `steelbench.notices.NOTICES`; `row` is a row's name, or "" for the whole run.
    """

    level: Literal["serious", "caution", "note"]
    text: str
    row: str = ""
    code: str = ""


class DatasetSummary(Record):
    """The images of a run."""

    name: str = ""
    reader: str = Field("", description="a row of `DATASETS`")
    images: int | None = None
    classes: dict[str, int] = Field({}, description="images by class")
    skipped: int = Field(0, description="unreadable images")
    left_out: dict[str, int] = Field({}, description="images by the reason that the reader left them out for")
    digest: str = Field("", description="of all names, labels and bytes")


class SplitSummary(Record):
    """How the images were divided; the numbers of images are those of seed 0, fold 0."""

    kind: str = "grouped"
    folds: int = 1
    seeds: int = 1
    groups: int | None = Field(None, description="of images that share pixels")
    leaking: Share = Field(0.0, description="worst share of test images that share pixels with training images")
    naive_leaking: Share | None = Field(None, description="the same of the random split beside it")
    audit_seconds: float | None = None
    train: int = 0
    validation: int = 0
    test: int = 0


class Comparison(SparseRecord):
    """What the comparison of the rows allows to say; everything is empty if no row finished."""

    best: str | None = Field(None, description="name of the most accurate row")
    tied: list[str] = Field([], description="rows that are not shown to be worse, the best one first")
    level: Share = Field(0.05, description="a row is worse if its p-value is at most this")
    method: str = Field("", description='of the test; "" if there was nothing to compare')
    n_effective: Finite | None = Field(None, description="independent images that tell as much, over all rows")
    smallest_difference: Share | None = Field(
        None, description="the smallest true difference that the test shows four times out of five"
    )
    differences: dict[str, Finite] = Field({}, description="by name, the best row's accuracy minus the other's")
    resampled_t: dict[str, RoundedShare] = Field(
        {}, description="by name, p-values of the corrected resampled t-test over folds and seeds, after Holm"
    )
    left_out: list[str] = Field([], description="finished rows that were tested on other images")


class Summary(Record):
    """Everything that the report needs beside the histories: `results.json`."""

    schema_version: int = SCHEMA
    dataset: DatasetSummary
    split: SplitSummary
    rows: list[Row] = Field(description="best first; the majority class is one of them, failed rows are last")
    warnings: list[Notice] = []
    silenced: list[str] = Field([], description="codes of notices that the command was told not to show")
    judgement: Comparison = Comparison()

    @property
    def shown_notices(self) -> list[Notice]:
        """The notices that were not silenced."""
        return [notice for notice in self.warnings if notice.code not in self.silenced]


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
