"""The methods: the settings of each, and the table that names the function that trains it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from steelbench.errors import SteelbenchError, choose


class Settings(BaseModel):
    """A frozen value whose fields are checked when it is made; a bad field is a `SteelbenchError`."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
    kind: ClassVar[str] = "options"

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SteelbenchError(self._explain(error, fields)) from None

    @property
    def on_images(self) -> bool:
        """Return whether the method changes the backbone, so that it cannot learn from cached features."""
        return False

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


class EpochSettings(Settings):
    """The settings that every method with epochs has."""

    epochs: int = Field(10, ge=1, le=10_000)
    batch_size: int = Field(64, ge=1, le=4096)
    learning_rate: float = Field(1e-3, gt=0, le=10, description="of Adam, at its highest")
    schedule: Literal["constant", "exponential", "warmup_cosine"] = Field(
        "constant", description="exponential: times `decay` after each epoch; warmup_cosine: linear rise, then cosine"
    )
    decay: float = Field(0.9, gt=0, le=1)
    warmup_epochs: int = Field(2, ge=0)
    beta_2: float = Field(0.999, ge=0, lt=1, description="of Adam")
    weight_decay: float = Field(0.0, ge=0, le=1, description="decoupled from the gradient, as in AdamW")


class Softmax(EpochSettings):
    """Global average pooling, Dense relu, Dropout, softmax on a frozen backbone; cross-entropy."""

    kind: ClassVar[str] = "softmax"
    hidden: int = Field(512, ge=1, le=65_536, description="units of the hidden Dense layer")
    dropout: float = Field(0.2, ge=0, lt=1)
    input_dropout: float = Field(0.0, ge=0, lt=1, description="on the features, before the hidden layer")


class Linear(Settings):
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


def _check_trainable(value: str) -> str:
    if not re.fullmatch(r"all|last:[1-9][0-9]{0,3}", value):
        raise ValueError(f"trainable is {value!r}; expected all, or last:N for the last N layers, such as last:20.")
    return value


class Knn(Settings):
    """Nearest neighbours on the frozen features, weighted by cosine; no training."""

    kind: ClassVar[str] = "knn"
    temperature: tuple[float, ...] = Field(
        (0.01, 0.02, 0.05, 0.1), min_length=1, description="of the weights, to choose from on validation"
    )
    most: int = Field(10_000, ge=2, le=1_000_000, description="training images that the model keeps, drawn by seed")

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if min(self.temperature) <= 0:
            raise ValueError(f"knn.temperature is {self.temperature}; every value must be positive, such as 0.05.")
        return self


class Triplet(EpochSettings):
    """Siamese network: a fully connected embedding on a frozen backbone, triplet loss; class centroids classify."""

    kind: ClassVar[str] = "triplet"
    epochs: int = Field(30, ge=1, le=10_000)
    batch_size: int = Field(32, ge=4, le=4096)
    learning_rate: float = Field(5e-5, gt=0, le=10)
    beta_2: float = Field(0.99, ge=0, lt=1, description="of Adam")
    embedding: int = Field(128, ge=2, le=8192, description="length of the embedding")
    mining: Literal["batch_all", "batch_hard", "semihard", "pairs"] = Field(
        "semihard", description="pairs: the contrastive loss on pairs, half of them of one class, in place of triplets"
    )
    margin: float = Field(0.2, gt=0, le=2)
    soft: bool = Field(False, description="soft margin, log(1 + exp(d)), instead of the hinge")
    images_per_class: int = Field(4, ge=2, le=256, description="K of the P x K images of a batch")

    @model_validator(mode="after")
    def _one_loss(self) -> Self:
        if self.soft and self.mining == "pairs":
            raise ValueError("triplet.soft is for triplets, and triplet.mining=pairs has none; leave one of both out.")
        return self


class Arcface(EpochSettings):
    """Embedding 256, BatchNorm, cosines to class vectors; an additive angular margin in the loss."""

    kind: ClassVar[str] = "arcface"
    epochs: int = Field(20, ge=1, le=10_000)
    schedule: Literal["constant", "exponential", "warmup_cosine"] = "warmup_cosine"
    weight_decay: float = Field(1e-3, ge=0, le=1)
    embedding: int = Field(256, ge=2, le=8192, description="length of the embedding")
    scale: float = Field(30.0, gt=0, le=1000)
    margin: float = Field(0.5, ge=0, lt=3.1416, description="radians")
    crossentropy: bool = Field(True, description="add the plain cross-entropy of the scaled cosines, 1:1")


class Supcon(EpochSettings):
    """Two stages: encoder and projection head with a contrastive loss, then a classifier on the frozen encoder."""

    kind: ClassVar[str] = "supcon"
    learning_rate: float = Field(3e-4, gt=0, le=10)
    trainable: str = Field("adapter", description="what of the encoder learns: adapter, all, or last:N layers")
    adapter: int = Field(512, ge=2, le=8192, description="units of the adapter, a relu layer on frozen features")
    projection: Literal["relu", "linear", "mlp"] = Field(
        "relu", description="of the projection head; relu keeps the projections in the positive part of the sphere"
    )
    projection_dim: int = Field(128, ge=2, le=8192)
    loss: Literal["supcon", "npairs"] = "supcon"
    temperature: float = Field(0.1, gt=0, le=10)
    views: int = Field(1, ge=1, le=16, description="of each image in a batch; more than one are made by --augment")
    hidden: int = Field(1000, ge=1, le=65_536, description="units of the classifier's hidden layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="of the classifier")
    classifier_epochs: int = Field(10, ge=1, le=10_000)
    classifier_learning_rate: float = Field(3e-4, gt=0, le=10)

    @field_validator("trainable")
    @classmethod
    def _adapter_or_layers(cls, value: str) -> str:
        return value if value == "adapter" else _check_trainable(value)

    @property
    def on_images(self) -> bool:
        """Return whether the backbone itself learns."""
        return self.trainable != "adapter"


class Finetune(EpochSettings):
    """The backbone learns on, its head ten times as fast."""

    kind: ClassVar[str] = "finetune"
    batch_size: int = Field(32, ge=1, le=4096)
    learning_rate: float = Field(1e-4, gt=0, le=10, description="of the backbone")
    head_factor: float = Field(10.0, gt=0, le=1e4, description="learning rate of the head over the backbone's")
    schedule: Literal["constant", "exponential", "warmup_cosine"] = "exponential"
    trainable: str = Field("all", description="what of the backbone learns: all, or last:N layers")
    head_epochs: int = Field(0, ge=0, le=10_000, description="epochs of a first phase that trains the head alone")
    dropout: float = Field(0.0, ge=0, lt=1, description="before the softmax layer")

    _layers = field_validator("trainable")(_check_trainable)

    @property
    def on_images(self) -> bool:
        """Return true: the backbone always learns."""
        return True


@dataclass(frozen=True)
class Method:
    """A row of `METHODS`.

    Attributes:
        settings: the class of its settings.
        train: `module:function` that trains on cached features, with the arguments (`TrainingSet`, settings,
            `FitContext`); "" for a method that always changes the backbone.
        summary: one line for people.
        train_images: `module:function` that trains on images if the settings say `on_images`, with the arguments
            (`ImageTrainingSet`, settings, `FitContext`); "" for a method that never does.
        learns_embedding: whether it trains an embedding to compare images by; the report then draws maps of it.
        divides_batches: whether `train_images` divides each batch between several GPUs. Not where the loss compares the
            images of a batch with each other: each GPU would compare its share alone.
    """

    settings: type[Settings]
    train: str
    summary: str
    train_images: str = ""
    learns_embedding: bool = False
    divides_batches: bool = False


METHODS = {
    "softmax": Method(
        Softmax,
        "steelbench.training.methods.softmax:train_softmax",
        "Dense 512 relu, Dropout 0.2, softmax on frozen features",
    ),
    "linear": Method(
        Linear,
        "steelbench.training.methods.linear:train_linear",
        "logistic regression on frozen features, C chosen on validation",
    ),
    "knn": Method(
        Knn, "steelbench.training.methods.knn:train_knn", "nearest neighbours on frozen features, no training"
    ),
    "triplet": Method(
        Triplet,
        "steelbench.training.methods.triplet:train_triplet",
        "Siamese embedding, triplet loss, class centroids",
        learns_embedding=True,
    ),
    "arcface": Method(
        Arcface,
        "steelbench.training.methods.arcface:train_arcface",
        "embedding 256, cosines with an angular margin",
        learns_embedding=True,
    ),
    "supcon": Method(
        Supcon,
        "steelbench.training.methods.supcon:train_supcon",
        "supervised contrastive stage, then a classifier on the frozen encoder",
        "steelbench.training.methods.supcon:train_supcon_on_images",
        learns_embedding=True,
    ),
    "finetune": Method(
        Finetune,
        "",
        "the backbone learns on, its head faster",
        "steelbench.training.methods.finetune:train_finetune",
        divides_batches=True,
    ),
}


def views_of(settings: Settings) -> int:
    """Return the number of augmented views of each image in a batch; 1 is the image itself, augmented or not."""
    return getattr(settings, "views", 1)
