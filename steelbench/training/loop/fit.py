"""The training loop: one `fit` for every stage of every method.

It does what Keras's `BackupAndRestore` and `ModelCheckpoint` do, which fall short here: Keras forgets the best value so
far when it resumes, and keeps neither the states of random generators nor a history.
"""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.arrays import Labels
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file, write_text
from steelbench.methods import EpochSettings
from steelbench.training.loop.checkpoint import fit_digest, numbered_arrays, restore, snapshot
from steelbench.training.loop.input_pipeline import LazySamples, stream
from steelbench.training.loop.optimizer import schedule
from steelbench.training.loop.replicas import divided_stream, replicas_of, validation_of
from steelbench.training.loop.reusable_model import Validate
from steelbench.training.loop.samplers import Batches, plain_batches

# float32 [N, ...], or an object that makes them.
Samples = NDArray[np.float32] | LazySamples
# Accuracies of the training and the validation images, 0..1, for a stage whose loss knows no classes.
Score = Callable[[], tuple[float, float]]
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
        """Return a key that is higher for the better epoch: validation accuracy, ties by validation loss."""
        return self.val_accuracy, -self.val_loss


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch of the highest rank, the first of equals."""
    return max(history, key=lambda line: line.rank)


@dataclass(frozen=True)
class FitResult:
    """The history of a fit and its best epoch, whose weights the model now has."""

    history: list[Epoch]
    best: Epoch


@dataclass(frozen=True, kw_only=True)
class FitContext:
    """Seed, checkpoint and logs of a fit: what it is given beside its settings and its data.

    Attributes:
        seed: of the order of the batches.
        state: folder of the checkpoint that a killed run resumes from; None keeps none.
        stage: name, of a method that has several; each has its own checkpoint, which stays when the stage is done.
        save_seconds: a checkpoint is written at the end of an epoch, at most this often.
        tensorboard: folder of TensorBoard's event files; None writes none.
        devices: on which a method that can do so trains one model at once, of `strategy_for`; none for the usual one.
        progress: called after each epoch with the number of epochs done.
    """

    seed: int = 0
    state: Path | None = None
    stage: str = ""
    save_seconds: float = 5.0
    tensorboard: Path | None = None
    devices: tuple[str, ...] = ()
    progress: Callable[[int], None] = field(default=lambda done: None)

    def for_stage(self, stage: str) -> Self:
        """Return the context of one stage: a checkpoint and event files of its own."""
        return replace(self, stage=stage, tensorboard=self.tensorboard and self.tensorboard / stage)

    @property
    def checkpoint(self) -> Path | None:
        """Return the checkpoint's file."""
        return self.state and self.state / f"state{self.stage and '-'}{self.stage}.npz"


class _EpochRecorder(keras.callbacks.Callback):
    """Write the history, keep the best epoch's weights, and save what a resumed fit needs."""

    def __init__(
        self,
        settings: EpochSettings,
        context: FitContext,
        *,
        steps: int,
        digest: str,
        score: Score | None,
        validate: Callable[[], tuple[Any, Any]] | None,
    ) -> None:
        super().__init__()
        self.settings, self.context, self.steps, self.digest = settings, context, steps, digest
        self.score, self.validate = score, validate
        self.history: list[Epoch] = []
        self.best_weights: list[NDArray[Any]] = []
        self.saved = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Record an epoch, counted from 0.

        Raises:
            SteelbenchError: if a loss is no longer a number.
        """
        values = {} if logs is None else logs
        if self.validate:
            loss, accuracy = self.validate()
            # Into Keras's own dict, where the callbacks behind this one look for it.
            values |= {"val_loss": float(loss), "val_accuracy": float(accuracy)}
        self._refuse_divergence(epoch + 1, values)
        if self.score:
            values["accuracy"], values["val_accuracy"] = self.score()
        metrics = {key: float(values[key]) for key in COLUMNS[1:-1]}
        line = Epoch(epoch=epoch + 1, learning_rate=self._last_rate(), **metrics)
        self.history.append(line)
        if best_epoch(self.history) is line:
            self.best_weights = self.model.get_weights()
        if self.context.checkpoint and self._is_due(epoch + 1):
            self._save(self.context.checkpoint)
        self.context.progress(epoch + 1)

    def _refuse_divergence(self, epoch: int, values: dict[str, float]) -> None:
        if not np.isfinite([values["loss"], values["val_loss"]]).all():
            raise SteelbenchError(
                f"the loss became {values['loss']} in epoch {epoch} (validation {values['val_loss']}); "
                f"lower learning_rate, now {self.settings.learning_rate:g}."
            )

    def _last_rate(self) -> float:
        """Return the rate of the epoch's last step; the optimizer itself tells that of the next step."""
        rate, done = schedule(self.settings, self.steps), keras.ops.convert_to_numpy(self.model.optimizer.iterations)
        return float(rate(int(done) - 1)) if callable(rate) else rate

    def _is_due(self, epoch: int) -> bool:
        """Return whether to save now: at times, and where later stages follow, when the last epoch is done."""
        if epoch == self.settings.epochs:
            return bool(self.context.stage)
        return time.monotonic() - self.saved >= self.context.save_seconds

    def _save(self, path: Path) -> None:
        arrays = {f"best_{i}": value for i, value in enumerate(self.best_weights)}
        arrays |= {f"now_{i}": value for i, value in enumerate(snapshot(self.model))}
        text = json.dumps({"identity": self.digest, "history": [asdict(line) for line in self.history]})
        arrays["record"] = np.frombuffer(text.encode(), np.uint8)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        self.saved = time.monotonic()

    def resume(self) -> int:
        """Restore the checkpoint, if there is one of the same fit. Return the number of epochs that are done."""
        path = self.context.checkpoint
        if path is None or not path.is_file():
            return 0
        try:
            with np.load(path, allow_pickle=False) as arrays:
                record = json.loads(arrays["record"].tobytes())
                if record["identity"] != self.digest:
                    return 0
                now, best = numbered_arrays(arrays, "now_"), numbered_arrays(arrays, "best_")
                history = [Epoch(**line) for line in record["history"]]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            return 0  # The file is damaged: train from the start.
        self.history, self.best_weights = history, best
        restore(self.model, now)
        return len(history)


def fit(
    model: keras.Model,
    x: Samples,
    y: Labels,
    validation: tuple[Samples, Labels],
    settings: EpochSettings,
    context: FitContext,
    *,
    batches: Batches | None = None,
    score: Score | None = None,
    validate: Validate | None = None,
) -> FitResult:
    """Train a compiled model and leave it with the weights of its best epoch.

    Args:
        model: compiled, with a built optimizer; has the metric "accuracy" unless `score` is given. If it was built in
            the scope of several devices, each batch is divided between them.
        x: float32 [N, ...], or an object that makes them.
        y: int64 [N], class numbers.
        validation: samples and labels of the validation images.
        settings: epochs, batch size and what else the method fixes.
        context: seed, checkpoint, logs.
        batches: the rows of each batch; None for all samples once in every epoch.
        score: called after each epoch of a stage without classes; its accuracies take the place of Keras's.
        validate: of `whole_validation`; used in place of Keras's loop where all validation samples fit into one batch
            and there is no `score`.

    Raises:
        SteelbenchError: if a loss is no longer a number.
    """
    batches = batches or plain_batches(len(y), len(validation[1]), batch_size=settings.batch_size, seed=context.seed)
    in_memory = isinstance(validation[0], np.ndarray)
    in_one_call: Callable[[], tuple[Any, Any]] | None = None
    if replicas_of(model) > 1:
        in_one_call = validation_of(model, *validation, batches.validation)
    elif validate and in_memory and score is None and len(batches.validation) == 1:
        in_one_call = partial(validate, *map(tf.constant, validation))
    steps = len(batches.train(0))
    recorder = _EpochRecorder(
        settings,
        context,
        steps=steps,
        digest=fit_digest(model, settings, context.seed, x, y, *validation) if context.state else "",
        score=score,
        validate=in_one_call,
    )
    recorder.set_model(model)
    done = recorder.resume()
    if done < settings.epochs:
        rows = [batch for epoch in range(done, settings.epochs) for batch in batches.train(epoch)]
        held_out = None if in_one_call else stream(*validation, batches.validation)
        feed = stream if replicas_of(model) == 1 else partial(divided_stream, model)
        model.fit(
            feed(x, y, rows, first=done * steps),
            steps_per_epoch=steps,
            validation_data=held_out.cache() if held_out is not None and in_memory else held_out,
            epochs=settings.epochs,
            initial_epoch=done,
            callbacks=[recorder, *_tensorboard(context)],
            shuffle=False,
            verbose=0,
        )
    model.set_weights(recorder.best_weights)
    return FitResult(recorder.history, best_epoch(recorder.history))


def _tensorboard(context: FitContext) -> list[keras.callbacks.Callback]:
    if context.tensorboard is None:
        return []
    return [keras.callbacks.TensorBoard(context.tensorboard, write_graph=False, profile_batch=0)]


def write_history(path: Path, history: Sequence[Epoch]) -> None:
    """Write `history.csv`: a line for each epoch, numbers with 8 digits."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(f"{value:.8g}" for value in asdict(epoch).values()) for epoch in history]
    write_text(path, "\n".join(lines) + "\n")
