"""The harness: one `fit` for every stage of every method.

Seeds, Adam with a schedule, a history per epoch, the checkpoint of the best epoch, resume, TensorBoard, progress.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.files import whole_file, write_text
from steelbench.methods import EpochSettings
from steelbench.training.loop.checkpoint import _identity, _numbered, restore, snapshot
from steelbench.training.loop.input_pipeline import Lazy, stream
from steelbench.training.loop.optimizer import schedule
from steelbench.training.loop.samplers import Batches, plain_batches

# Accuracies of the training and the validation images, for a stage whose loss knows no classes.
Judge = Callable[[], tuple[float, float]]
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")


@dataclass(frozen=True)
class Epoch:
    """A line of `history.csv`; `epoch` counts from 1, `learning_rate` is that of the epoch's last step."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float

    @property
    def rank(self) -> tuple[float, float]:
        """The better epoch has the higher rank: validation accuracy, ties by validation loss."""
        return self.val_accuracy, -self.val_loss


@dataclass(frozen=True)
class FitResult:
    """What a stage left behind: its history and the best epoch, whose weights the model now has."""

    history: list[Epoch]
    best: Epoch


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """How a stage is run, beside its settings.

    Attributes:
        seed: of the order of the batches.
        state: folder of the checkpoint that a killed run goes on from; None keeps none.
        stage: of a method that has several; each has a checkpoint of its own, which is kept when the stage is done.
        save_seconds: a checkpoint is written at the end of an epoch, at most this often.
        tensorboard: folder of TensorBoard's event files; None writes none.
        progress: called after each epoch with the epochs done.
    """

    seed: int = 0
    state: Path | None = None
    stage: str = ""
    save_seconds: float = 5.0
    tensorboard: Path | None = None
    progress: Callable[[int], None] = field(default=lambda done: None)

    def of(self, stage: str) -> Self:
        """The plan of one stage."""
        return replace(self, stage=stage, tensorboard=self.tensorboard and self.tensorboard / stage)

    @property
    def checkpoint(self) -> Path | None:
        """The file of the checkpoint."""
        return self.state and self.state / f"state{self.stage and '-'}{self.stage}.npz"


class _Keeper(keras.callbacks.Callback):
    """Writes the history, keeps the best epoch's weights, and saves what a resumed run needs."""

    def __init__(
        self, plan: FitContext, settings: EpochSettings, steps: int, identity: str, judge: Judge | None
    ) -> None:
        super().__init__()
        self.plan, self.settings, self.steps, self.identity, self.judge = plan, settings, steps, identity, judge
        self.validate: Callable[[], tuple[Any, Any]] | None = None
        self.history: list[Epoch] = []
        self.best: Epoch | None = None
        self.best_weights: list[NDArray[Any]] = []
        self.saved = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        found = {} if logs is None else logs
        if self.validate:
            # Into Keras's own dict, where the callbacks behind this one look for it.
            loss, accuracy = self.validate()
            found |= {"val_loss": float(loss), "val_accuracy": float(accuracy)}
        if not np.isfinite([found["loss"], found["val_loss"]]).all():
            raise SteelbenchError(
                f"the loss became {found['loss']} in epoch {epoch + 1} (validation {found['val_loss']}); "
                f"lower learning_rate, now {self.settings.learning_rate:g}."
            )
        if self.judge:
            found["accuracy"], found["val_accuracy"] = self.judge()
        line = Epoch(
            epoch=epoch + 1, learning_rate=self._rate(), **{key: float(found[key]) for key in COLUMNS[1:-1]}
        )  # fmt: skip
        self.history.append(line)
        if self.best is None or line.rank > self.best.rank:
            self.best, self.best_weights = line, self.model.get_weights()
        due = time.monotonic() - self.saved >= self.plan.save_seconds
        last = epoch + 1 == self.settings.epochs
        if self.plan.checkpoint and (bool(self.plan.stage) if last else due):
            self._save(self.plan.checkpoint)
        self.plan.progress(epoch + 1)

    def _rate(self) -> float:
        """The rate of the epoch's last step; after it the optimizer would tell the one of the next."""
        rate, last = schedule(self.settings, self.steps), int(self.model.optimizer.iterations) - 1
        return float(rate(last)) if callable(rate) else rate

    def _save(self, path: Path) -> None:
        arrays = {f"best_{i}": value for i, value in enumerate(self.best_weights)}
        arrays |= {f"now_{i}": value for i, value in enumerate(snapshot(self.model))}
        text = json.dumps({"identity": self.identity, "history": [asdict(e) for e in self.history]})
        arrays["record"] = np.frombuffer(text.encode(), np.uint8)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        self.saved = time.monotonic()

    def resume(self) -> int:
        """Go on from the checkpoint, if there is one of the same fit; returns the epochs that are done."""
        path = self.plan.checkpoint
        if path is None or not path.is_file():
            return 0
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(arrays["record"].tobytes())
                if record["identity"] != self.identity:
                    return 0
                now, best = _numbered(arrays, "now_"), _numbered(arrays, "best_")
                history = [Epoch(**line) for line in record["history"]]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return 0  # damaged: what it holds is computed again
        self.history, self.best_weights = history, best
        self.best = max(history, key=lambda line: line.rank)
        restore(self.model, now)
        return len(history)


def fit(
    model: keras.Model,
    x: NDArray[np.float32] | Lazy,
    y: NDArray[np.int64],
    validation: tuple[NDArray[np.float32] | Lazy, NDArray[np.int64]],
    settings: EpochSettings,
    plan: FitContext,
    batches: Batches | None = None,
    judge: Judge | None = None,
) -> FitResult:
    """Train a compiled model and leave it with the weights of its best epoch.

    Args:
        model: compiled with a built optimizer and the metric "accuracy".
        x: float32 [N, ...], or what gives them.
        y: int64 [N], class numbers.
        validation: the same for the validation images.
        settings: epochs, batch size and what else the method fixes.
        plan: seed, checkpoint, logs.
        batches: which samples stand in which batch; None for all of them once in every epoch.
        judge: called after each epoch of a stage without classes; its accuracies stand in for Keras's.

    Raises:
        SteelbenchError: if the loss is no longer a number.
    """
    batches = batches or plain_batches(len(y), len(validation[1]), settings.batch_size, plan.seed)
    steps = len(batches.train(0))
    identity = _identity(model, settings, plan.seed, x, y, *validation) if plan.state else ""
    keeper = _Keeper(plan, settings, steps, identity, judge)
    keeper.set_model(model)
    done = keeper.resume()
    callbacks: list[keras.callbacks.Callback] = [keeper]
    if plan.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(plan.tensorboard, write_graph=False, profile_batch=0))
    if done < settings.epochs:
        todo = [rows for epoch in range(done, settings.epochs) for rows in batches.train(epoch)]
        data = stream(x, y, todo, first=done * steps)
        at_hand = isinstance(validation[0], np.ndarray)
        held_out = None
        if at_hand and judge is None and hasattr(model, "validate") and len(batches.validation) == 1:
            keeper.validate = partial(model.validate, *map(tf.constant, validation))
        else:
            held_out = stream(*validation, batches.validation)
            held_out = held_out.cache() if at_hand else held_out
        model.fit(
            data, steps_per_epoch=steps, validation_data=held_out, epochs=settings.epochs, initial_epoch=done,
            callbacks=callbacks, shuffle=False, verbose=0,
        )  # fmt: skip
    model.set_weights(keeper.best_weights)
    # The first of equals, as the keeper keeps it.
    return FitResult(keeper.history, max(keeper.history, key=lambda line: line.rank))


def write_history(path: Path, history: list[Epoch]) -> None:
    """`history.csv`: a line for each epoch."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(f"{value:.8g}" for value in asdict(epoch).values()) for epoch in history]
    write_text(path, "\n".join(lines) + "\n")
