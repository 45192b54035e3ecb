"""Timing of saved models: which are timed, what becomes of those that cannot be, and what a time is the sum of."""

import json
import os
import stat
import sys

import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data.splits import Split
from steelbench.experiment import Experiment, Softmax
from steelbench.features.engines import ENGINES
from steelbench.features.spec import ImageRef
from steelbench.files import write_json
from steelbench.models.head import Dense, Head
from steelbench.records import Cost, EngineTime, RunRecord, Summary, cost_file, read_record
from steelbench.runs.jobs import RunData, SplitRef
from steelbench.runs.results_folder import FIXED, clear, is_complete
from steelbench.runs.timing import time_models, untimed

TIME = {
    "precision": "float32", "device": "CPU", "threads": 2, "batch": 8, "repetitions": 30, "ms_p50": 5.0, "ms_p99": 6.0,
    "ms_mad": 0.1, "images_per_second": 300.0, "others": 0.0,
}  # fmt: skip


def record(method="softmax", *, seed=0, engine="keras", fingerprint="f", backbone="vgg19", **more):
    name = f"{backbone}-{method}"
    return RunRecord(
        backbone=backbone, method=method, seed=seed, fold=0, settings={}, fingerprint=fingerprint, classes=["a", "b"],
        n_train=6, n_validation=2, n_test=2, image_size=32, weights={"kind": "imagenet"}, engine=engine,
        precision="float32", params=7, model=f"models/{name}.h5" if seed == 0 else None, metrics={}, seconds={}, **more,
    )  # fmt: skip


def finished(results, *records):
    for own in records:
        write_json(results / "runs" / own.run_name / "result.json", own)
        if own.model:
            (results / "models").mkdir(exist_ok=True)
            (results / own.model).touch()


def timed(results, own, *engines, **fields):
    times = [EngineTime(engine=engine, **TIME) for engine in engines]
    write_json(cost_file(results, own.name), Cost(**{"fingerprint": own.fingerprint, "times": times} | fields))


def names(results, timing="own"):
    return [task.run.name for task in untimed(results, timing)]


def test_models_of_one_network_follow_each_other(tmp_path):
    finished(tmp_path, record("softmax"), record("linear", backbone="b"), record("knn"), record(seed=1))

    assert names(tmp_path) == ["b-linear", "vgg19-knn", "vgg19-softmax"]
    assert names(tmp_path, "off") == []


def test_what_was_timed_is_not_timed_again_unless_it_is_another_run(tmp_path):
    done, again, damaged, failed = (record(name) for name in ("softmax", "linear", "knn", "supcon"))
    finished(tmp_path, done, again, damaged, failed)
    timed(tmp_path, done, "keras")
    timed(tmp_path, again, "keras", fingerprint="older")
    cost_file(tmp_path, damaged.name).write_text("{")
    timed(tmp_path, failed, problem="it cannot run")

    assert names(tmp_path) == ["vgg19-knn", "vgg19-linear"]


def test_a_model_that_is_gone_is_not_timed(tmp_path):
    finished(tmp_path, record())
    (tmp_path / record().model).unlink()

    assert names(tmp_path) == []


@pytest.mark.skipif(not ENGINES["openvino"].installed, reason="openvino is not installed")
def test_all_engines_are_timed_on_request(tmp_path):
    own = record(engine="openvino")
    finished(tmp_path, own, record("linear", engine="openvino+keras"))
    timed(tmp_path, own, "openvino")

    assert [(task.run.method, task.engines) for task in untimed(tmp_path, "own")] == [("linear", ["keras"])]
    assert [task.engines for task in untimed(tmp_path, "all")] == [["keras", "openvino"]] * 2


DATA = RunData(
    root="d",
    bit_depth=None,
    classes=["a", "b"],
    images=[ImageRef(path=f"{row}.png", digest=str(row)) for row in range(9)],
    splits=[SplitRef.of(Split(*map(np.array, ([0, 1], [2], [3, 4, 5]))), 0, 0)],
)
EVENT = '{"kind": "progress", "step": "timing", "done": 1, "total": 1}'


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Puts a shell script where the timing process's Python would be; `$4` is the request."""

    def play(script):
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(path))

    return play


def test_a_process_that_dies_leaves_a_reason_for_each_model_that_it_did_not_reach(process, tmp_path):
    first, second = record("knn"), record("softmax")
    finished(tmp_path, first, second)
    written = Cost(fingerprint="f", times=[EngineTime(engine="keras", **TIME)]).model_dump_json()
    path = cost_file(tmp_path, first.name)
    process(f"cp $4 {tmp_path}/request; mkdir {path.parent}; echo '{written}' > {path}; kill -9 $$")

    time_models(tmp_path, DATA, "own", lambda *_: None)

    told = json.loads((tmp_path / "request").read_text())
    assert told["images"] == ["3.png", "4.png", "5.png"], "test images"
    assert read_record(cost_file(tmp_path, first.name), Cost).times
    assert read_record(cost_file(tmp_path, second.name), Cost).problem.startswith("its process was ended by signal 9")
    assert names(tmp_path) == []


def test_progress_is_passed_on_and_nonsense_is_not(process, tmp_path):
    finished(tmp_path, record())
    process(f"echo nonsense; echo '{EVENT}'")
    told = []

    time_models(tmp_path, DATA, "own", lambda *step: told.append(step))

    assert told == [("timing", "models", 0, 1), ("timing", "models", 1, 1)]
    assert read_record(cost_file(tmp_path, record().name), Cost).problem == "its process ended with 0: no message"
    assert not list((tmp_path / "unfinished").iterdir())


def test_ctrl_c_ends_the_process(process, tmp_path):
    finished(tmp_path, record())
    process(f"echo $$ > {tmp_path}/pid; echo '{EVENT}'; exec sleep 60")

    def progress(step, name, done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        time_models(tmp_path, DATA, "own", progress)

    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert names(tmp_path) == ["vgg19-softmax"], "the next command times it"


def test_force_times_anew_and_a_cost_newer_than_the_report_is_not_in_it(tmp_path):
    own, other = record("softmax"), record("linear")
    finished(tmp_path, own, other)
    config = dict.fromkeys(FIXED, "x")
    write_json(tmp_path / "config.json", config)
    for name in ("results.json", "leaderboard.csv", "report.html"):
        (tmp_path / name).touch()
    assert is_complete(tmp_path)
    for row in (own, other):
        timed(tmp_path, row, "keras")
    later = (tmp_path / "report.html").stat().st_mtime + 1
    os.utime(cost_file(tmp_path, own.name), (later, later))
    assert not is_complete(tmp_path)

    clear(tmp_path, config, [Experiment(backbone="vgg19", method=Softmax())])
    assert [path.stem for path in (tmp_path / "cost").iterdir()] == [other.name]

    clear(tmp_path, {**config, "data_digest": "other data"}, [])
    assert not (tmp_path / "cost").exists()


def dense(rng, *shape):
    return Dense(rng.normal(size=shape).astype(np.float32), np.zeros(shape[1], np.float32), "softmax")


@pytest.mark.parametrize("engine", [name for name, row in ENGINES.items() if row.installed])
def test_a_cost_is_that_of_all_networks_of_an_ensemble_and_of_the_head(tmp_path, engine):
    import keras
    from keras import layers

    from steelbench.models.saved_model import save, stitch
    from steelbench.models.surgery import join
    from steelbench.runs.timing import TimingTask
    from steelbench.runs.timing_worker import Network, cost_of

    def encoder(size, filters):
        image = keras.Input((None, None, 3), name="image")
        made = layers.Conv2D(filters, 3, padding="same", name="only")(
            layers.Resizing(size, size, name="resizing")(image)
        )
        return keras.Model(image, layers.GlobalAveragePooling2D(name="embedding")(made))

    rng = np.random.default_rng(0)
    head = Head((dense(rng, 7, 2),))
    save(stitch(join({"a": encoder(8, 4), "b": encoder(16, 3)}), head, "both"), tmp_path / "both.h5")
    images = list(rng.integers(0, 256, (2, 20, 30, 3)).astype(np.uint8))

    network = Network(tmp_path / "both.h5", images, threads=2)
    cost = cost_of(TimingTask(run=record(engine=engine), engines=[engine]), network, head, lambda _: "CPU")

    assert cost.multiply_adds == 64 * 27 * 4 + 256 * 27 * 3 + 7 * 2
    weights = (27 * 4 + 4) + (27 * 3 + 3) + (7 * 2 + 2)
    assert cost.memory_bytes == 4 * (weights + 64 * (3 + 4) + 256 * (3 + 3))
    (time,) = cost.times
    assert (time.engine, time.threads, time.batch, time.repetitions) == (engine, 2, 8, 30)
    assert 0 < time.ms_p50 <= time.ms_p99
    assert time.images_per_second > 0


@pytest.mark.slow
def test_the_same_command_times_what_was_not_timed_and_changes_no_answer(tiny_images, tmp_path):
    """A folder of two models without times, as older versions left it; then one of them has a time already."""
    steel, results = tiny_images(images=8), tmp_path / "results"
    command = ["run", "--data", str(steel), "--results", str(results), "--weights", "random", "--image-size", "32"]
    command += ["--backbones", "mobilenet_v2_035", "--methods", "linear,knn"]
    assert main(command) == 0
    before = {path: path.read_bytes() for path in results.glob("runs/*/*")}
    linear, knn = (
        read_record(results / f"runs/mobilenet_v2_035-{name}-s0-f0/result.json", RunRecord)
        for name in ("linear", "knn")
    )
    assert not (results / "cost").exists()
    timed(results, knn, knn.engine)
    kept = cost_file(results, knn.name).read_bytes()

    assert main([*command, "--timing", "own"]) == 0

    assert {path: path.read_bytes() for path in results.glob("runs/*/*")} == before
    assert cost_file(results, knn.name).read_bytes() == kept
    rows = {row.name: row for row in read_record(results / "results.json", Summary).rows}
    cost = rows[linear.name].cost
    assert cost == read_record(cost_file(results, linear.name), Cost)
    assert cost.problem == "" and cost.multiply_adds > 1e6 and cost.memory_bytes > 4 * linear.params
    assert [time.engine for time in cost.times] == [linear.engine]
    assert rows[knn.name].cost.times[0].ms_p50 == TIME["ms_p50"]

    written = (results / "results.json").stat().st_mtime_ns
    assert main([*command, "--timing", "own"]) == 0
    assert (results / "results.json").stat().st_mtime_ns == written, "there is nothing to do"
