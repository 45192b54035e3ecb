"""The parts of the Ray runner, without Ray: parcels, what is asked of nodes, and the driver with played tasks."""

import json
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from each import each

from steelbench.cli.exit import main
from steelbench.errors import SteelbenchError
from steelbench.features.cache import FeatureStore, spaces
from steelbench.features.spec import ImageRef, Part
from steelbench.records import RunKey
from steelbench.runs.jobs import Event, Job, RunData, SplitRef, Task
from steelbench.runs.ray_runner import tasks as node
from steelbench.runs.ray_runner.cluster import GIB, Needs, Tasks, given_up, task_environment
from steelbench.runs.ray_runner.driver import Driver
from steelbench.runs.ray_runner.functions import Functions
from steelbench.runs.ray_runner.orders import Described, Failure, Outcome, Shard, Starters, own_versions
from steelbench.runs.ray_runner.parcels import (
    Outbox,
    Parcel,
    StoredFeatures,
    bring_home,
    pack_images,
    pack_refs,
    path_there,
)

ONE = Needs(cpus=2, gpus=0, memory=GIB, slots=1, ahead=True)


def parcel(**files):
    return Parcel({name: np.frombuffer(data, np.uint8) for name, data in files.items()})


def parcel_of(name):
    return Parcel({name: np.zeros(1, np.uint8)})


def test_files_arrive_as_they_were(tmp_path):
    Parcel({"a/b.bin": np.frombuffer(b"one", np.uint8), "c": np.zeros(0, np.uint8)}).unpack(tmp_path)

    assert (tmp_path / "a" / "b.bin").read_bytes() == b"one" and (tmp_path / "c").read_bytes() == b""


HOSTILE = ("../x", "a/../../x", "/etc/x", "", "..", "C:\\x", "a\\..\\..\\x", "a\0b", "\\\\host\\x")


@each("name", HOSTILE)
def test_no_file_is_written_outside_of_the_folder(tmp_path, name):
    both = Parcel({"good": np.zeros(1, np.uint8), name: np.zeros(1, np.uint8)})

    with pytest.raises(SteelbenchError, match="cannot travel"):
        both.unpack(tmp_path / "inner")

    assert not list(tmp_path.rglob("*"))


@each("name", (*HOSTILE[:4], "config.json", "runs", "runs/a/b/c", "unfinished/x", "runs/result.json"))
def test_a_results_folder_takes_only_what_jobs_make(tmp_path, name):
    with pytest.raises(SteelbenchError, match=r"cannot travel|no job makes"):
        bring_home(parcel_of(name), tmp_path)

    assert not list(tmp_path.rglob("*"))


def test_a_run_comes_home_as_one_and_replaces_what_was_there(tmp_path):
    for old in ("runs/r/stale.csv", "unfinished/r/state.npz"):
        (tmp_path / old).parent.mkdir(parents=True)
        (tmp_path / old).touch()

    names = ("runs/r/result.json", "runs/r/head.npz", "models/m.h5", "tensorboard/r/train/events")
    bring_home(Parcel({name: np.frombuffer(name.encode(), np.uint8) for name in names}), tmp_path)

    found = {path.relative_to(tmp_path).as_posix(): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {name: name for name in names}


def test_an_outbox_sends_each_file_once_and_again_when_it_changed(tmp_path):
    for name in ("runs/old/result.json", "unfinished/r/state"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    outbox = Outbox(tmp_path)
    for name in ("runs/r/result.json", "models/r.json", "models/.r-0000.h5", "config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert set(outbox.take(("runs/r/",)).files) == {"runs/r/result.json"}
    assert set(outbox.take().files) == {"models/r.json"}
    (tmp_path / "models" / "r.json").write_text("longer")
    assert set(outbox.take().files) == {"models/r.json"}


def test_crops_travel_as_the_file_that_they_are_cut_from(tmp_path):
    for name in ("a.png", "b.png#0,0,1,1"):
        (tmp_path / name).write_bytes(name.encode())

    found = pack_images(tmp_path, ["a.png#0,0,4,4", "a.png#4,4,4,4", "b.png#0,0,1,1"])

    assert set(found.files) == {"data/a.png", "data/b.png#0,0,1,1"}


def test_features_are_kept_once(tmp_path):
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    found = StoredFeatures(
        "net", {"backbone": "net", "dim": 2, "engine": "keras"}, ["a", "b", "c"], features, {"r": 1.0}
    )
    store = FeatureStore(tmp_path, "net", 2, {"engine": "keras"})
    with store.locked(), store.writer() as write:
        write(["b"], features[1:2])

    found.keep(tmp_path)
    found.keep(tmp_path)

    store.read()
    assert np.array_equal(store.gather(["a", "b", "c"]), features)
    assert [space.images for space in spaces(tmp_path)] == [3]
    assert store.measurements() == {"r": 1.0}


def alive(**resources):
    return {"Alive": True, "Resources": {"memory": 8 * GIB, **resources}}


@each(
    ("nodes", "cpus", "gpus", "slots", "ahead"),
    [
        ([alive(CPU=1), alive(CPU=1)], 1, 0, 2, False),
        ([alive(CPU=2)], 2, 0, 1, True),
        ([alive(CPU=4), alive(CPU=4), alive(CPU=0)], 4, 0, 2, True),
        # On the larger node three of 2.01 processors fit.
        ([alive(CPU=4), alive(CPU=8)], 4, 0, 4, True),
        ([alive(CPU=16, GPU=4), alive(CPU=2)], 4, 1, 4, False),
        ([alive(CPU=2), {**alive(CPU=1), "Alive": False}], 2, 0, 1, True),
        ([alive(CPU=2, memory=3 * GIB)], 2, 0, 1, False),
    ],
)
def test_tasks_fit_the_smallest_node(nodes, cpus, gpus, slots, ahead):
    found = Needs.of(nodes)

    assert found == Needs(cpus, gpus, 2 * GIB, slots, ahead)
    fit = [int(node["Resources"]["CPU"] / found.cpus_of("shard")) for node in nodes if node["Alive"]]
    assert gpus or sum(fit) == slots


@each("cpus", (1, 2, 3, 4, 64))
def test_one_shard_fits_a_node_and_beside_it_heads(cpus):
    needs = Needs.of([alive(CPU=cpus)])

    assert needs.cpus_of("shard") <= cpus < 2 * needs.cpus_of("shard")
    assert (needs.cpus_of("shard") + needs.cpus_of("core") <= cpus) == needs.ahead == (cpus > 1)


def test_tasks_ask_for_no_more_memory_than_a_node_has():
    assert Needs.of([alive(CPU=2), alive(CPU=2, memory=GIB)]).memory == GIB


def test_a_cluster_without_processors_is_refused():
    with pytest.raises(SteelbenchError, match="no node"):
        Needs.of([alive()])


def test_tasks_compute_in_the_environment_of_the_local_runner(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("SECRET", "s")

    near, far = task_environment(local=True), task_environment(local=False)

    assert near["OPENBLAS_NUM_THREADS"] == "1" and near[node.THREADS] == "3" and "PYTHONPATH" in near
    assert "SECRET" not in near and "PYTHONPATH" not in far and "PATH" not in far


def test_the_reason_of_a_task_that_ray_gave_up():
    class OutOfMemoryError(Exception):
        pass

    class WorkerCrashedError(Exception):
        pass

    assert "ran out of memory, each of the 3 times" in given_up(OutOfMemoryError())
    assert "process or its node ended" in given_up(WorkerCrashedError())
    assert given_up(ValueError("first\nsecond")) == "ValueError: first"


def test_starters_are_the_first_images_and_those_of_the_calibration():
    images = [ImageRef(path=f"{row}.png", digest=str(row)) for row in range(100)]
    split = SplitRef(seed=0, fold=0, train=list(range(40, 90)), validation=[], test=[])
    data = RunData(root="r", bit_depth=None, classes=["a"], images=images, splits=[split])

    found = Starters.of(data)

    assert found.images[:32] == images[:32]
    assert [found.images[row] for row in found.calibration_rows] == [images[row] for row in data.calibration_rows]


class Here(Tasks):
    """Runs tasks in this process when their answer is asked for."""

    def __init__(self, needs=ONE):
        super().__init__(needs)
        self.most, self.started = 0, []

    def put(self, value):
        return value

    def start(self, function, hear, *args, share, processes):
        self.waiting[object()] = (function, hear, args)
        self.started.append((function.__name__, processes))
        self.most = max(self.most, len(self.waiting))

    def hear_next(self, seconds=None):
        if not self.waiting:
            time.sleep(seconds)
            return
        function, hear, args = self.waiting.pop(next(iter(self.waiting)))
        found = function(*args)
        for answer in found if function is run else [found]:
            hear(answer)


def describe(order, whole, *parcels):
    if order.part.backbone == "broken":
        return Failure("it broke")
    return Described({"backbone": order.part.backbone, "dim": 2}, "keras", 4, [], {}, 1.0)


def extract(order, images, *parcels):
    assert set(images.files) == {f"data/{image.path}" for image in order.images}
    return Shard(np.array([[int(image.digest), 0] for image in order.images], np.float32), 1.0, 0.5)


def run(order, data, *supplies):
    job = Job.model_validate({**json.loads(order.job), "data": data})
    stored = [own for own in supplies if isinstance(own, StoredFeatures)]
    assert all(own.features[:, 0].tolist() == [int(image.digest) for image in data.images] for own in stored)
    for task in job.tasks:
        name = task.key.run_name
        yield Outcome([Event(kind="done", run=name)], parcel_of(f"runs/{name}/result.json"))
    yield Outcome([], Parcel({}))


PLAYED = Functions(describe, extract, run)


@pytest.fixture
def played(tmp_path):
    """A function that runs jobs of some backbones with played tasks."""
    root = tmp_path / "data"
    root.mkdir()
    for row in range(50):
        cv2.imwrite(str(root / f"{row}.png"), np.zeros((4, 4), np.uint8))
    images = [ImageRef(path=f"{row}.png", digest=str(row), label=0) for row in range(50)]
    split = SplitRef(seed=0, fold=0, train=list(range(40)), validation=[], test=list(range(40, 50)))
    data = RunData(root=str(root), bit_depth=None, classes=["a"], images=images, splits=[split])

    def play(*backbones, functions=PLAYED, needs=ONE, hear=lambda job, event: None):
        jobs = [
            Job(
                results=str(tmp_path / "results"), cache=str(tmp_path / "cache"), engine="auto", precision="float32",
                parts=[Part(backbone=part, image_size=32, origin={"kind": "random"}) for part in name.split("+")],
                verify="sample", track=False, data=data,
                tasks=[
                    Task(key=RunKey(backbone=name, method="softmax"), settings={}, fingerprint="f", offered=True),
                    Task(key=RunKey(backbone=name, method="linear"), settings={}, fingerprint="f", offered=True),
                ],
            )
            for name in backbones
        ]  # fmt: skip
        tasks = Here(needs)
        return Driver(jobs, tmp_path / "results", hear, tasks, functions).run(), tasks

    play.folder = tmp_path
    return play


def test_every_image_is_computed_once_and_every_run_comes_home(played):
    computed, seen = [], []

    def counted(order, *more):
        computed.extend((order.encoder.part.backbone, image.digest) for image in order.images)
        return extract(order, *more)

    failures, tasks = played(
        "a", "b", "a+b", functions=Functions(describe, counted, run), hear=lambda job, event: seen.append(event)
    )

    assert failures == {}
    assert sorted(computed) == sorted((name, str(row)) for name in "ab" for row in range(50))
    assert len(list((played.folder / "results" / "runs").glob("*/result.json"))) == 6
    progress = [(event.done, event.total) for event in seen if event.kind == "progress"]
    assert progress == sorted(progress) and progress[-1][0] == progress[-1][1]
    # However many shards there are, few are on the way.
    assert tasks.most <= 3


def first_and_last(started, task):
    places = [place for place, own in enumerate(started) if own == task]
    return places[0], places[-1]


def test_the_next_network_is_loaded_before_its_turn_and_heads_train_beside_its_shards(played):
    _, tasks = played("a", "b", "c", "d")

    # Each has processes of its own, and the fourth those of the first.
    shards = {name: first_and_last(tasks.started, ("extract", name)) for name in "012"}
    begun = [place for place, own in enumerate(tasks.started) if own[0] == "describe"]
    assert [tasks.started[place][1] for place in begun] == ["0", "1", "2", "0"]
    assert begun[:2] == [0, 1] and begun[2] > shards["0"][0]
    heads = [place for place, own in enumerate(tasks.started) if own[0] == "run"]
    assert [tasks.started[place][1] for place in heads] == ["0", "1", "2", "0"]
    assert heads[0] < shards["1"][1] and heads[0] < begun[3]


def test_where_nothing_fits_beside_shards_no_network_is_loaded_ahead(played):
    _, tasks = played("a", "b", needs=Needs(cpus=1, gpus=0, memory=GIB, slots=1, ahead=False))

    assert tasks.started.index(("describe", "1")) > first_and_last(tasks.started, ("extract", "0"))[1]


def test_two_commands_with_the_same_networks_in_another_order_end(played):
    """Each waits for a store that the other writes to, and lets go of its own meanwhile."""
    computed, results = [], []

    def slow(order, *more):
        time.sleep(0.02)
        computed.extend((order.encoder.part.backbone, image.digest) for image in order.images)
        return extract(order, *more)

    def command(*names):
        results.append(played(*names, functions=Functions(describe, slow, run))[0])

    threads = [threading.Thread(target=command, args=names, daemon=True) for names in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert results == [{}, {}]
    assert len(computed) == len(set(computed)) == 100


def test_a_network_that_fails_fails_its_own_runs_only(played):
    failures, _ = played("a", "broken", "a+broken")

    assert {key.backbone for key in failures} == {"broken", "a+broken"} and set(failures.values()) == {"it broke"}
    assert len(failures) == 4
    assert {path.parent.name for path in (played.folder / "results" / "runs").glob("*/result.json")} == {
        "a-softmax-s0-f0",
        "a-linear-s0-f0",
    }


def test_what_came_back_before_an_interruption_is_kept(played):
    answers = []

    def interrupted(order, *more):
        if len(answers) == 2:
            raise KeyboardInterrupt
        answers.append(order.images)
        return extract(order, *more)

    with pytest.raises(KeyboardInterrupt):
        played("a", functions=Functions(describe, interrupted, run))

    again = []

    def counted(order, *more):
        again.extend(order.images)
        return extract(order, *more)

    played("a", functions=Functions(describe, counted, run))
    assert len(again) == 50 - sum(map(len, answers)) < 50


@each("row", (0, 30, 49))
def test_an_image_that_is_gone_fails_the_runs_and_not_the_program(played, row):
    path = played.folder / "data" / f"{row}.png"
    path.rename(path.with_suffix(".gone"))

    failures, _ = played("a")

    assert len(failures) == 2 and all("no such file" in text for text in failures.values())
    path.with_suffix(".gone").rename(path)


def test_a_node_with_other_versions_is_refused():
    order = node.EncoderOrder(None, None, "auto", "float32", None, {**own_versions(), "keras": "0.1"})

    found = node.describe(order, ())

    assert isinstance(found, Failure) and "keras" in found.reason and "0.1" in found.reason


def test_an_address_needs_the_runner(capsys):
    assert main(["run", "--data", "demo", "--ray-address", "10.0.0.1:6379"]) == 2
    assert "--runner ray" in capsys.readouterr().err


def test_homogenised_images_without_labels_need_the_local_runner(capsys, tmp_path):
    options = ["--runner", "ray", "--unlabelled", str(tmp_path), "--homogenize", "global"]

    assert main(["run", "--data", "demo", *options]) == 2
    error = capsys.readouterr().err
    assert "--unlabelled" in error and "--homogenize global" in error


def test_images_of_another_folder_travel_by_their_content(tmp_path):
    for name in ("data/a.png", "other/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(name.encode())
    images = [ImageRef(path="a.png", digest="1"), ImageRef(path=str(tmp_path / "other" / "a.png"), digest="2")]

    pack_refs(tmp_path / "data", images).unpack(tmp_path / "task")

    found = [(tmp_path / "task" / "data" / path_there(image)).read_text() for image in images]
    assert found == ["data/a.png", "other/a.png"]
    assert not any(path_there(image).startswith(("/", "..")) for image in images)


def test_a_silent_address_is_found_before_anything_is_read(capsys, tmp_path):
    pytest.importorskip("ray")
    options = ["--weights", "random", "--backbones", "mobilenet_v2_035", "--results", str(tmp_path / "r")]

    assert main(["run", "--data", "demo", *options, "--runner", "ray", "--ray-address", "127.0.0.1:1"]) == 2
    assert "no cluster answers" in capsys.readouterr().err and not (tmp_path / "r").exists()


HIDDEN = """
import importlib.util, json, sys
usual = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.split(".")[0] == "ray" else usual(name, *more)
sys.modules["ray"] = None
from steelbench.cli.exit import main
print([main(words) for words in json.loads(sys.argv[1])])
"""


def test_only_the_runner_needs_ray_and_says_what_to_install(tiny_images, tmp_path):
    run = ["run", "--data", str(tiny_images(images=12)), "--results", str(tmp_path / "r"), "--weights", "random"]
    run += ["--backbones", "mobilenet_v2_035", "--dry-run"]
    commands = [["list"], ["run", "--help"], run, [*run, "--runner", "ray"], [*run[:-1], "--runner", "ray"]]

    done = subprocess.run(
        [sys.executable, "-c", HIDDEN, json.dumps(commands)], capture_output=True, text=True, timeout=120
    )

    assert done.stdout.splitlines()[-1] == "[0, 0, 0, 2, 2]", done.stderr
    assert done.stderr.count("pip install 'steelbench[cluster]'") == 2
    assert not (tmp_path / "r").exists()


def test_the_runner_is_no_part_of_a_results_folder():
    from steelbench.runs.preparation import NO_RECORD

    assert {"runner", "ray_address"} <= NO_RECORD
