"""`steelbench run --runner ray` on a cluster of three nodes: the local results, whatever dies, fails or is stopped."""

import contextlib
import inspect
import os
import time
import uuid
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.csv_files import read_csv
from steelbench.evaluation.label_first import CANDIDATES_FILE
from steelbench.features.cache import FeatureStore, spaces
from steelbench.runs.ray_runner import driver, tasks
from steelbench.runs.ray_runner.cluster import Needs, Tasks
from steelbench.runs.ray_runner.functions import Functions
from steelbench.runs.ray_runner.orders import Failure

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

NAMES = "mobilenet_v2_035,efficientnet_lite0"


@pytest.fixture(scope="module")
def cluster():
    """A head without processors, which the tests are connected to, and three nodes of one processor."""
    from ray.cluster_utils import Cluster

    # As `connected` does for a local Ray.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    store = {"object_store_memory": 100 * 2**20}
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
    found.start = partial(found.add_node, num_cpus=1, **store)
    for _ in range(3):
        found.start()
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def steel(tiny_images):
    return tiny_images(images=40)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def command(steel, results, *more):
    options = ["--weights", "random", "--image-size", "32", "--epochs", "2", "--backbones", NAMES, "--folds", "3"]
    return ["run", "--data", str(steel), "--results", str(results), *options, "--methods", "softmax,supcon", *more]


@pytest.fixture(scope="module")
def local(steel, tmp_path_factory):
    """Results and cache of the local runner."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEELBENCH_CACHE", str(folder / "cache"))
        assert main(command(steel, folder / "results")) == 0
    return folder


def assert_same(ours, local):
    """The results and the features of two folders are the same, seconds aside."""
    both = [folder / "results" for folder in (ours, local)]
    tables = [
        [
            {key: cell for key, cell in row.items() if "seconds" not in key}
            for row in read_csv(folder / "leaderboard.csv")
        ]
        for folder in both
    ]
    assert tables[0] == tables[1]
    names = [{path.relative_to(folder).as_posix() for path in folder.rglob("*")} for folder in both]
    assert names[0] == names[1]
    for name in sorted(names[0]):
        if name.startswith("runs/") and name.endswith((".csv", ".npz")):
            assert (both[0] / name).read_bytes() == (both[1] / name).read_bytes(), name
        if name.endswith(".h5"):
            assert contents(both[0] / name) == contents(both[1] / name), name
    assert features(ours / "cache") == features(local / "cache")


def contents(path):
    """The arrays and the attributes, the layers' names among them."""
    found = {}

    def add(name, item):
        data = item[()].tobytes() if isinstance(item, h5py.Dataset) else b""
        found[name] = data, {key: np.asarray(value).tolist() for key, value in item.attrs.items()}

    with h5py.File(path) as file:
        add("/", file)
        file.visititems(add)
    return found


def features(cache):
    found = {}
    for space in spaces(cache):
        store = FeatureStore(cache, space.backbone, int(space.description["dim"]), space.description)
        store.read()
        found |= {(space.folder.name, digest): store.gather([digest]).tobytes() for digest in space.digests()}
    return found


class Watch:
    """Counts what nodes begin, in files, and does something when as many of all tasks are done."""

    def __init__(self, folder, monkeypatch, at=()):
        self.folder, self.at = folder, dict(at)
        folder.mkdir()
        usual = driver.run_jobs_on_ray
        place = str(folder)

        def extract(order, *more):
            Path(place, f"{order.encoder.part.backbone}.{order.images[0].digest}.{uuid.uuid4().hex}").touch()
            return tasks.extract_shard(order, *more)

        def run(order, *more):
            Path(place, f"job.{tasks.json.loads(order.job)['parts'][0]['backbone']}.{uuid.uuid4().hex}").touch()
            yield from tasks.run_job(order, *more)

        def run_jobs(jobs, results, on_event, **more):
            def hear(job, event):
                if event.step == "tasks":
                    self.hear(event.done, event.total)
                on_event(job, event)

            return usual(jobs, results, hear, functions=Functions(extract=extract, run=run), **more)

        monkeypatch.setattr(driver, "run_jobs_on_ray", run_jobs)

    def hear(self, done, total):
        for moment, act in list(self.at.items()):
            if moment(done, total):
                del self.at[moment]
                act()

    @property
    def begun(self):
        """How often each piece of work was begun."""
        names = [path.name.rpartition(".")[0] for path in self.folder.iterdir()]
        return {name: names.count(name) for name in names}


def busy_node(cluster):
    """A node that runs a task now, by the processes below its raylet that compute."""
    import psutil

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for found in cluster.worker_nodes:
            below = psutil.Process(found.all_processes["raylet"][0].process.pid).children(recursive=True)
            with contextlib.suppress(psutil.Error):
                titles = [" ".join(own.cmdline()) for own in below]
                if any("ray::" in title and not ("IDLE" in title or "Agent" in title) for title in titles):
                    return found
        time.sleep(0.05)
    raise AssertionError("no node is busy")


def test_a_run_that_is_stopped_and_goes_on_gives_the_local_results(
    cluster, steel, local, own_cache, tmp_path, monkeypatch, capfd
):
    def stop():
        raise KeyboardInterrupt

    ray_too = ["--runner", "ray", "--ray-address", cluster.address]
    watch = Watch(tmp_path / "watch", monkeypatch, {lambda done, total: done >= 2: stop})

    stopped = main(command(steel, tmp_path / "results", *ray_too))
    kept = len(features(own_cache))
    finished = main(command(steel, tmp_path / "results", *ray_too))

    assert (stopped, finished) == (130, 0)
    assert kept > 0
    assert_same(tmp_path, local)
    assert max(watch.begun.values()) <= 2
    assert "Traceback" not in capfd.readouterr().err
    # The runner is no part of the folder: the local one finds that nothing is left to do.
    begun = watch.begun
    assert main(command(steel, tmp_path / "results")) == 0 and watch.begun == begun


def test_nodes_that_die_change_nothing(cluster, steel, local, own_cache, tmp_path, monkeypatch):
    killed = []

    def kill():
        found = busy_node(cluster)
        killed.append(found)
        cluster.remove_node(found, allow_graceful=False)

    moments = {
        lambda done, total: done >= 2: kill,
        # Beyond the shards, so that heads are under way.
        lambda done, total: done > total - 12: kill,
    }
    watch = Watch(tmp_path / "watch", monkeypatch, moments)

    code = main(command(steel, tmp_path / "results", "--runner", "ray", "--ray-address", cluster.address))

    assert code == 0 and len(killed) == 2
    assert_same(tmp_path, local)
    assert max(watch.begun.values()) <= 2
    for _ in killed:
        cluster.start()


class InTurn(Tasks):
    """Runs tasks in this process, one after the other."""

    def put(self, value):
        return value

    def start(self, function, hear, *args, share, processes):
        self.waiting[object()] = (function, hear, args)

    def hear_next(self, seconds=None):
        function, hear, args = self.waiting.pop(next(iter(self.waiting)))
        found = function(*args)
        for answer in found if inspect.isgenerator(found) else [found]:
            hear(answer)


@pytest.fixture
def run_in_turn(steel, tmp_path, monkeypatch):
    """A function that runs one backbone, in this process if it gets a function that runs jobs, and returns a folder."""
    # Only what is computed in this process is compared, and other tests go on in it.
    monkeypatch.setattr(tasks, "_deterministic", lambda: None)

    def run(name, job, *more):
        monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / name / "cache"))
        cluster = InTurn(Needs(cpus=1, gpus=0, memory=2**30, slots=1, ahead=False))
        played = partial(driver.run_jobs_on_ray, cluster=cluster, functions=Functions(run=job or tasks.run_job))
        with monkeypatch.context() as patch:
            if job is not None:
                patch.setattr("steelbench.runs.run._runner", lambda *_: contextlib.nullcontext(played))
            options = ["--backbones", "mobilenet_v2_035", "--image-size", "32", "--epochs", "2"]
            options += ["--weights", "random", "--timing", "off"]
            results = ["--data", str(steel), "--results", str(tmp_path / name / "results")]
            assert main(["run", *results, *options, *more]) == 0
        return tmp_path / name

    return run


def test_heads_are_the_same_on_the_encoder_of_their_process_and_on_one_that_is_made_for_them(run_in_turn, monkeypatch):
    from steelbench.features import frozen_encoder

    made = []
    usual = frozen_encoder.encoder_with_weights

    def counted(name, *more, **options):
        made.append(name)
        return usual(name, *more, **options)

    def forgetful(order, *more):
        tasks._last.clear()
        yield from tasks.run_job(order, *more)

    monkeypatch.setattr(frozen_encoder, "encoder_with_weights", counted)
    options = ["--folds", "2", "--methods", "softmax,linear"]

    kept = run_in_turn("kept", tasks.run_job, *options)
    once = len(made)
    again = run_in_turn("again", forgetful, *options)

    assert (once, len(made)) == (1, 3)
    assert_same(kept, again)


def test_images_without_labels_give_what_they_give_the_local_runner(run_in_turn, tiny_images):
    options = ["--unlabelled", str(tiny_images(images=18, seed=1)), "--confidence", "0.5", "--methods", "linear"]

    ours, local = (run_in_turn(name, job, *options) for name, job in (("ours", tasks.run_job), ("local", None)))

    assert_same(ours, local)
    (found,) = (ours / "results" / "runs").glob(f"*/{CANDIDATES_FILE}")
    assert len(read_csv(found)) == 54


@pytest.fixture
def connected(cluster):
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def test_a_task_that_fails_is_heard_once_and_one_whose_process_dies_after_its_retries(connected, tmp_path):
    found, here = Tasks(Needs.of(ray.nodes())), str(tmp_path)

    def fails():
        Path(here, f"fails-{uuid.uuid4().hex}").touch()
        raise ValueError("by itself")

    def dies():
        Path(here, f"dies-{uuid.uuid4().hex}").touch()
        os._exit(1)

    def steps():
        yield 1
        yield 2

    heard = {"fails": [], "dies": [], "steps": []}
    for name, function in (("fails", fails), ("dies", dies), ("steps", steps)):
        found.start(function, heard[name].append, share="core", processes="a")
    deadline = time.monotonic() + 120
    while found.waiting and time.monotonic() < deadline:
        found.hear_next(5)

    assert heard["steps"] == [1, 2]
    assert heard["fails"] == [Failure("ValueError: by itself")] and len(list(tmp_path.glob("fails-*"))) == 1
    assert "process or its node ended" in heard["dies"][0].reason and len(list(tmp_path.glob("dies-*"))) == 3
