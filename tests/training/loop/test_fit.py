"""The training loop: rates against closed forms, the best epoch, and a killed run that ends as if it had not been."""

import csv
import dataclasses
import math
import subprocess
import sys
from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.experiment import Softmax
from steelbench.training.loop.fit import COLUMNS, Epoch, FitContext, fit, write_history
from steelbench.training.loop.input_pipeline import stream
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import compile_model
from steelbench.training.loop.samplers import Batches, epoch_order, plain_batches


def data(n=90, dim=6, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = rng.standard_normal((classes, dim))
    return (centres[y] + rng.standard_normal((n, dim))).astype(np.float32), y


def build(settings, steps, seed=0, dim=6, classes=3):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dropout(0.4),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    return compile_model(model, adam(settings, steps), "sparse_categorical_crossentropy", classifies=True)


@cache
def built(*arguments):
    """A model that is compiled once, and the values of its variables before it was trained."""
    model = build(*arguments)
    return model, [(variable, variable.numpy()) for variable in (*model.variables, *model.optimizer.variables)]


def train(settings, context=None, seed=0, rows=None, new=False):
    x, y = rows or data()
    arguments = settings, -(-len(y) // settings.batch_size), seed
    model, values = (build(*arguments), []) if new else built(*arguments)
    for variable, value in values:
        variable.assign(value)
    return fit(model, x, y, data(60, seed=1), settings, context or FitContext(seed=seed)), model


@cache
def uninterrupted(settings):
    done, model = train(settings)
    return done, model.get_weights()


SETTINGS = Softmax(epochs=5, batch_size=16, learning_rate=0.02, schedule="exponential", decay=0.8)


class Scripted:
    """Stands for a model whose validation goes as written: (val_accuracy, val_loss) for each epoch."""

    def __init__(self, epochs):
        self.script, self.state = epochs, [np.zeros(2)]
        self.optimizer = SimpleNamespace(iterations=1, variables=[])
        self.variables, self.metrics_variables, self.weights = [], [], []
        self.distribute_strategy = SimpleNamespace(num_replicas_in_sync=1)

    def fit(self, rows, *, epochs, initial_epoch, callbacks, **_):
        for epoch in range(initial_epoch, epochs):
            self.state = [np.full(2, epoch + 1.0)]
            accuracy, loss = self.script[epoch]
            for callback in callbacks:
                callback.on_epoch_end(
                    epoch, {"loss": loss, "accuracy": 0.5, "val_loss": loss, "val_accuracy": accuracy}
                )

    def get_weights(self):
        return self.state

    def set_weights(self, values):
        self.state = values


def run_script(script, **context):
    model = Scripted(script)
    rows = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    return fit(model, *rows, rows, Softmax(epochs=len(script)), FitContext(**context)), model


@pytest.mark.parametrize(
    ("script", "best"),
    [
        ([(0.5, 1.0), (0.7, 0.9), (0.6, 0.1)], 2),
        ([(0.7, 0.9), (0.7, 0.5), (0.7, 0.6)], 2),
        ([(0.7, 0.5), (0.7, 0.5), (0.6, 0.4)], 1),
        ([(0.0, 9.0)], 1),
        ([(0.1, 1.0), (0.2, 1.0), (0.3, 7.0)], 3),
    ],
    ids=["highest accuracy", "tie by loss", "first of equals", "only one", "last"],
)
def test_best_epoch_has_the_highest_validation_accuracy_then_the_lowest_loss(script, best):
    done, model = run_script(script)

    assert done.best.epoch == best
    assert (done.best.val_accuracy, done.best.val_loss) == script[best - 1]
    assert model.get_weights()[0][0] == best


def test_best_epoch_before_the_interruption_stays_the_best(tmp_path):
    script = [(0.6, 1.0), (0.9, 0.2), (0.7, 0.5), (0.9, 0.3), (0.8, 0.1)]

    def kill(done):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_script(script, state=tmp_path, save_seconds=0, progress=kill)
    seen = []
    done, model = run_script(script, state=tmp_path, save_seconds=0, progress=seen.append)

    assert seen == [4, 5]
    assert done.best.epoch == 2
    assert model.get_weights()[0].tolist() == [2, 2]


def test_model_ends_with_the_weights_that_scored_best():
    x, y = data(60, seed=1)
    done, model = train(SETTINGS.model_copy(update={"learning_rate": 0.3}))

    accuracy = np.mean(model.predict(x, verbose=0).argmax(axis=1) == y)

    assert done.best.epoch < SETTINGS.epochs
    assert accuracy == pytest.approx(done.best.val_accuracy, abs=1e-6)


def test_history_has_a_line_for_each_epoch_and_the_losses_of_its_columns(tmp_path):
    done, _ = train(SETTINGS)
    write_history(tmp_path / "history.csv", done.history)
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))

    assert tuple(lines[0]) == COLUMNS == ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    assert [int(line["epoch"]) for line in lines] == [1, 2, 3, 4, 5]
    for line, epoch in zip(lines, done.history, strict=True):
        assert [float(line[key]) for key in COLUMNS[1:]] == pytest.approx(dataclasses.astuple(epoch)[1:], rel=1e-7)


def rate_at(settings, step, steps):
    """The rate of one step, counted from 0 over the whole fit, from the schedule's description."""
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.decay ** (step // steps)
    if settings.schedule == "warmup_cosine":
        warmup, total = settings.warmup_epochs * steps, settings.epochs * steps
        if step < warmup:
            return settings.learning_rate * step / warmup
        part = (step - warmup) / (total - warmup)
        return settings.learning_rate * (0.001 + 0.999 * (1 + math.cos(math.pi * part)) / 2)
    return settings.learning_rate


@pytest.mark.parametrize("schedule", ["constant", "exponential", "warmup_cosine"])
def test_weight_under_a_constant_gradient_moves_by_the_sum_of_the_rates(schedule):
    settings = Softmax(epochs=6, batch_size=4, learning_rate=0.01, schedule=schedule, decay=0.5, warmup_epochs=2)
    x, y, steps = np.ones((12, 1), np.float32), np.zeros(12, np.int64), 3
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(adam(settings, steps), lambda _, out: out[:, 0], metrics=["accuracy"], jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    weights = []

    done = fit(
        model, x, y, (x, y), settings, FitContext(progress=lambda _: weights.append(model.get_weights()[0][0, 0]))
    )

    # Adam's step is its rate where the gradient is always 1.
    rates = [rate_at(settings, step, steps) for step in range(18)]
    np.testing.assert_allclose(weights, -np.cumsum(rates)[2::3], rtol=1e-4)
    np.testing.assert_allclose([epoch.learning_rate for epoch in done.history], rates[2::3], rtol=1e-5)


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 2), (2, 2), (3, 100)])
def test_warm_up_longer_than_the_fit_leaves_finite_rates(epochs, warmup):
    settings = Softmax(epochs=epochs, batch_size=64, schedule="warmup_cosine", warmup_epochs=warmup)

    done, _ = train(settings)

    rates = [epoch.learning_rate for epoch in done.history]
    assert np.isfinite(rates).all() and max(rates) > 0


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_seed_decides_everything():
    (first, weights), (again, model), (other, _) = uninterrupted(SETTINGS), train(SETTINGS), train(SETTINGS, seed=1)

    assert first.history == again.history
    assert same(model.get_weights(), weights)
    assert first.history != other.history


class Killed(BaseException):
    """The power goes."""


def killed_after(epoch, folder, settings=SETTINGS, save_seconds=0.0, **how):
    def progress(done):
        if done == epoch:
            raise Killed

    with pytest.raises(Killed):
        train(settings, FitContext(state=folder, save_seconds=save_seconds, progress=progress), **how)


@pytest.mark.parametrize("schedule", ["constant", "exponential", "warmup_cosine"])
@pytest.mark.parametrize("epoch", [1, 4])
def test_killed_fit_goes_on_as_if_nothing_had_happened(tmp_path, epoch, schedule):
    settings = SETTINGS.model_copy(update={"schedule": schedule})
    killed_after(epoch, tmp_path, settings)
    seen = []

    resumed, model = train(settings, FitContext(state=tmp_path, save_seconds=0, progress=seen.append))
    whole, expected = uninterrupted(settings)

    assert seen == list(range(epoch + 1, 6))
    assert resumed == whole
    assert same(model.get_weights(), expected)


def test_killed_twice_and_gone_on_with_new_models(tmp_path):
    killed_after(2, tmp_path, new=True)
    killed_after(3, tmp_path)
    resumed, model = train(SETTINGS, FitContext(state=tmp_path), new=True)
    whole, expected = uninterrupted(SETTINGS)

    assert resumed == whole
    assert same(model.get_weights(), expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"settings": SETTINGS.model_copy(update={"learning_rate": 0.01})},
        {"settings": SETTINGS.model_copy(update={"epochs": 6})},
        {"rows": data(seed=7)},
        {"rows": data(n=91)},
    ],
    ids=["learning_rate", "epochs", "features", "images"],
)
def test_checkpoint_of_another_fit_is_not_gone_on_from(tmp_path, changed):
    killed_after(3, tmp_path)
    changed = {"settings": SETTINGS, **changed}

    resumed, _ = train(context=FitContext(state=tmp_path), **changed)

    assert resumed == train(**changed)[0]


def test_checkpoint_of_another_seed_is_not_gone_on_from(tmp_path):
    killed_after(3, tmp_path)

    assert train(SETTINGS, FitContext(seed=1, state=tmp_path))[0] == train(SETTINGS, FitContext(seed=1))[0]


@pytest.mark.parametrize("keep", [0, 10, 0.5, "flipped"])
def test_damaged_checkpoint_means_a_new_start(tmp_path, keep):
    killed_after(3, tmp_path)
    path = tmp_path / "state.npz"
    content = bytearray(path.read_bytes())
    if keep == "flipped":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: int(keep * len(content)) if keep == 0.5 else keep])

    assert train(SETTINGS, FitContext(state=tmp_path))[0] == uninterrupted(SETTINGS)[0]


def test_checkpoint_is_written_seldom_and_whole(tmp_path):
    killed_after(3, tmp_path, save_seconds=1000.0)
    assert not list(tmp_path.iterdir())

    killed_after(3, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]


@pytest.mark.parametrize("epoch", [1, 3])
def test_loss_that_is_no_number_ends_the_fit(epoch):
    script = [(0.5, 1.0)] * 4
    script[epoch - 1] = (0.5, math.nan)

    with pytest.raises(SteelbenchError, match=rf"nan in epoch {epoch} .*lower learning_rate, now 0\.001"):
        run_script(script)


def test_tensorboard_files_are_written_on_request_only(tmp_path):
    pytest.importorskip("tensorboard")
    train(SETTINGS, FitContext(state=tmp_path / "state"))
    assert not list(tmp_path.rglob("events.*"))

    train(SETTINGS, FitContext(tensorboard=tmp_path / "board"))

    folders = {path.parent.name for path in (tmp_path / "board").rglob("events.*")}
    assert folders == {"train", "validation"}


@pytest.mark.parametrize(("n", "batch_size"), [(1, 4), (8, 4), (10, 4), (3, 100)])
def test_every_sample_comes_once_an_epoch(n, batch_size):
    x, y = np.arange(n, dtype=np.float32)[:, None], np.arange(n)
    steps = -(-n // batch_size)

    order = plain_batches(n, 1, batch_size=batch_size, seed=3)
    batches = list(stream(x, y, [rows for epoch in range(3) for rows in order.train(epoch)]).as_numpy_iterator())

    assert len(batches) == 3 * steps
    for epoch in range(3):
        seen = batches[epoch * steps : (epoch + 1) * steps]
        assert sorted(np.concatenate([labels for _, labels in seen])) == list(range(n))
        assert all(np.array_equal(values[:, 0], labels) for values, labels in seen)
        assert all(len(labels) == batch_size for _, labels in seen[:-1])


def test_order_depends_on_seed_and_epoch_alone():
    batches, more = (plain_batches(50, count, batch_size=50, seed=0) for count in (10, 20))
    order = epoch_order(50, seed=0, epoch=2)

    assert np.array_equal(batches.train(2)[0], order)
    assert np.array_equal(batches.train(2)[0], more.train(2)[0])
    assert not np.array_equal(order, epoch_order(50, seed=1, epoch=2))
    assert not np.array_equal(order, epoch_order(50, seed=0, epoch=1))


def test_order_is_the_same_in_another_process():
    code = "from steelbench.training.loop.samplers import epoch_order; print(epoch_order(20, seed=5, epoch=1).tolist())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert told.strip() == str(epoch_order(20, seed=5, epoch=1).tolist())


def test_epochs_are_compared_by_rank():
    better, worse = (Epoch(1, 0, 0, loss, accuracy, 0) for accuracy, loss in ((0.9, 2.0), (0.8, 1.0)))

    assert better.rank > worse.rank


def test_the_batches_that_a_method_asks_for_are_those_it_gets():
    x, y = np.arange(6, dtype=np.float32)[:, None], np.arange(6)
    asked = [np.array([5, 0]), np.array([3]), np.array([1, 1, 2])]

    got = list(stream(x, y, asked).as_numpy_iterator())

    assert [labels.tolist() for _, labels in got] == [[5, 0], [3], [1, 1, 2]]
    assert [values[:, 0].tolist() for values, _ in got] == [[5, 0], [3], [1, 1, 2]]


def scored(script, state=None, progress=lambda done: None):
    """A fit whose accuracies come from a score, which the script writes."""
    x, y = data(24)
    model = build(SETTINGS, 2)
    scores = iter(script)
    context = FitContext(seed=1, state=state, stage="embedding", save_seconds=0, progress=progress)
    settings = SETTINGS.model_copy(update={"epochs": len(script)})
    batches = Batches(lambda epoch: [np.arange(8), np.arange(8, 24)], [np.arange(24)])
    return fit(model, x, y, (x, y), settings, context, batches=batches, score=lambda: next(scores)), model


def test_the_score_decides_which_epoch_is_the_best():
    done, _ = scored([(0.5, 0.6), (0.5, 0.9), (0.5, 0.7)])

    assert done.best.epoch == 2
    assert [(line.accuracy, line.val_accuracy) for line in done.history] == [(0.5, 0.6), (0.5, 0.9), (0.5, 0.7)]


def test_a_stage_that_is_done_is_not_run_again(tmp_path):
    first, model = scored([(0.5, 0.6), (0.5, 0.9), (0.5, 0.7)], tmp_path)
    again, other = scored([(0.0, 0.0)] * 3, tmp_path, progress=pytest.fail)

    assert again == first
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["state-embedding.npz"]
