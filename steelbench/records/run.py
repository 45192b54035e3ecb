"""The record of one run: RESULTS/runs/<name>-s<seed>-f<fold>/result.json, written last."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, field_validator

from steelbench.records.base import Count, Finite, Record, SparseRecord, row_name

SCHEMA = 1
# A proportion or a silhouette; the ends of an interval of such means may lie beyond 1.
Score = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
# Of `RunRecord.metrics`, those that are proportions.
PROPORTIONS = ("accuracy", "macro_f1", "balanced_accuracy")


class StageRecord(Record):
    """One `fit`: its history file (CSV, in the run's folder) and the epoch that validation chose."""

    name: str
    history: str
    epochs: Count
    best_epoch: Count = Field(description="counted from 1, as in the history")


class Verification(Record):
    """The saved `.h5`, loaded again and fed raw test images, against the probabilities that made the score."""

    images: Count
    max_difference: Finite = Field(description="largest absolute difference of a probability")
    classes_changed: Count


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

    knn_accuracy: Score | None = None
    map_at_r: Score | None = None
    precision_at_20: Score | None = None
    recall_at_1: Score | None = None
    recall_at_5: Score | None = None
    recall_at_20: Score | None = None
    silhouette: Score | None = None
    roc_auc: Score | None = None
    equal_error_rate: Score | None = None
    few_shot_1: Score | None = None
    few_shot_1_low: Score | None = None
    few_shot_1_high: Score | None = None
    few_shot_5: Score | None = None
    few_shot_5_low: Score | None = None
    few_shot_5_high: Score | None = None


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
    calibration_temperature: float | None = Field(
        None, gt=0, description="of temperature scaling on validation images; folded into the saved model"
    )
    scored_by: str | None = Field(None, description="why Keras scored the test images in the engine's place")
    embedding: EmbeddingScores | None = None
    pseudo_labels: PseudoLabelRecord | None = None
    replicas: int | None = Field(None, ge=2, description="GPUs between which each batch was divided in training")


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
    n_train: Count
    n_validation: Count
    n_test: Count
    image_size: Count
    augment: str = "none"
    homogenize: str = "none"
    weights: WeightsRecord
    engine: str
    precision: str
    params: Count
    model: str | None = Field(None, description="path of the whole model in the results folder, for seed 0 fold 0")
    model_bytes: Count | None = None
    stages: list[StageRecord] = Field(default_factory=list)
    metrics: dict[str, dict[str, float | None]]
    notes: RunNotes = RunNotes()
    verification: Verification | None = None
    seconds: dict[str, float]
    digests: dict[str, str] = Field(
        {}, description="sha256 of the run's files by name, and of the saved model by its path in the results folder"
    )

    @field_validator("metrics")
    @classmethod
    def _refuse_no_proportions(cls, value: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
        for part, own in value.items():
            for name in PROPORTIONS:
                found = own.get(name)
                if found is not None and not -1e-9 <= found <= 1 + 1e-9:
                    raise ValueError(f"{part}.{name} is {found}, expected 0 to 1")
        return value

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
