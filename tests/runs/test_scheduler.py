"""The scheduler: who is alive, who may extract, and in which order. Workers are played; events, no sleeps."""

import threading
from contextlib import ExitStack, contextmanager

import pytest

from steelbench.features.spec import ImageRef, Part
from steelbench.records import RunKey
from steelbench.runs import scheduler
from steelbench.runs.jobs import Event, Job, RunData, Task
from steelbench.runs.worker_process import worker_environment

# A test that waits so long has failed; a good one never waits.
SECONDS = 20
DATA = RunData(root="d", bit_depth=None, classes=["a"], images=[ImageRef(path="0.png", digest="0")], splits=[])


def key(name):
    return RunKey(backbone=name, method="softmax")


def make_job(name, *methods):
    tasks = [
        Task(key=RunKey(backbone=name, method=method), settings=settings, fingerprint="f", offered=True)
        for method, settings in methods or [("softmax", {})]
    ]
    return Job(
        results="r",
        cache="c",
        parts=[Part(backbone=name, image_size=32, origin={"kind": "random"})],
        engine="auto",
        precision="float32",
        verify="sample",
        track=False,
        tasks=tasks,
        data=DATA,
    )


class Stage:
    """Play of the workers: each moment of each worker is an event, which tests wait for or hold back.

    A worker goes through started, asks, extracting, extracted, ended. It stops before each moment that is held back.
    """

    def __init__(self, fail=(), cached=()):
        self.fail, self.cached = fail, cached
        self.reached, self.held = {}, {}
        self.changed = threading.Condition()
        self.log, self.gpus = [], {}

    def hold(self, name, moment):
        """Let a worker stop before a moment until the returned event is set."""
        return self.held.setdefault((name, moment), threading.Event())

    def wait_for(self, name, moment):
        with self.changed:
            assert self.changed.wait_for(lambda: (name, moment) in self.log, SECONDS), (name, moment, self.log)

    def reach(self, name, moment):
        if (name, moment) in self.held:
            assert self.held[name, moment].wait(SECONDS), (name, moment)
        with self.changed:
            self.log.append((name, moment))
            self.changed.notify_all()

    def run_job(self, job, results, on_event, wait_for_turn, workers):
        name = job.backbone
        self.gpus[name] = job.gpus
        self.reach(name, "started")
        try:
            if name in self.fail:
                return {key(name): "it broke"}
            if name not in self.cached:
                self.reach(name, "asks")
                if not job.gpus:
                    wait_for_turn()
                self.reach(name, "extracting")
                self.reach(name, "extracted")
            on_event(Event(kind="extracted"))
            return {}
        finally:
            self.reach(name, "ended")

    def most(self, start, *ends):
        """The largest number of workers that were between two moments at once."""
        inside, largest = set(), 0
        for name, moment in self.log:
            inside = inside | {name} if moment == start else inside - {name} if moment in ends else inside
            largest = max(largest, len(inside))
        return largest

    @property
    def extracted(self):
        return [name for name, moment in self.log if moment == "extracting"]


@pytest.fixture(autouse=True)
def gpus(monkeypatch):
    """The GPUs that the machine has, none until a test says so."""
    names = []
    monkeypatch.setattr(scheduler, "usable_gpus", lambda: names)
    return names


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Runs jobs named by letters in a thread, `most` at once; on leaving they have all ended: (stage, failures)."""

    @contextmanager
    def start(stage, names, most):
        monkeypatch.setattr(scheduler, "most_alive", lambda: most)
        monkeypatch.setattr(scheduler, "run_job", stage.run_job)
        failures = {}
        jobs = [make_job(name) for name in names]
        thread = threading.Thread(
            target=lambda: failures.update(scheduler.run_jobs(jobs, tmp_path, lambda job, event: None)), daemon=True
        )
        thread.start()
        yield failures
        thread.join(SECONDS)
        assert not thread.is_alive(), stage.log

    return start


@pytest.mark.parametrize("most", [2, 3])
@pytest.mark.parametrize(
    ("fail", "cached"), [((), ()), (("b",), ()), (("a", "b"), ("d",)), (("e",), ("c",)), ((), ("a", "d"))]
)
def test_one_extracts_at_a_time_few_are_alive_and_failures_come_back(play, fail, cached, most):
    stage = Stage(fail, cached)

    with play(stage, "abcde", most) as failures:
        pass

    assert sorted(stage.extracted) == [name for name in "abcde" if name not in fail and name not in cached]
    assert stage.most("extracting", "extracted", "ended") <= 1
    assert stage.most("started", "ended") <= most
    assert failures == {key(name): "it broke" for name in fail}


@pytest.mark.parametrize("most", [2, 3])
def test_others_get_ready_while_one_extracts(play, most):
    stage = Stage()
    hold = stage.hold("a", "extracted")

    with play(stage, "abcd", most):
        for name in "abcd"[1:most]:
            stage.wait_for(name, "asks")
        hold.set()

    assert stage.most("started", "ended") == most


def test_one_that_has_extracted_trains_while_the_next_extracts(play):
    stage = Stage()
    hold = stage.hold("a", "ended")

    with play(stage, "ab", 2):
        stage.wait_for("b", "extracted")
        assert ("a", "ended") not in stage.log
        hold.set()


class Telling(threading.Condition):
    """Says when somebody begins to wait: the ticket is drawn by then."""

    def __init__(self):
        super().__init__()
        self.waiting = threading.Semaphore(0)

    def wait_for(self, predicate, timeout=None):
        self.waiting.release()
        return super().wait_for(predicate, timeout)


def test_turns_are_taken_first_come_first_served():
    turns, order = scheduler.Turns(), []
    turns.changed = Telling()

    def take(number):
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,), daemon=True) for number in range(5)]
    with turns:
        assert turns.changed.waiting.acquire(timeout=SECONDS)
        for thread in threads:
            thread.start()
            assert turns.changed.waiting.acquire(timeout=SECONDS)
        assert order == []
    for thread in threads:
        thread.join(SECONDS)

    assert order == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("gib", "most"), [(4, 2), (11.9, 2), (12.1, 3), (64, 3)])
def test_a_small_machine_has_two_workers_at_a_time(monkeypatch, gib, most):
    monkeypatch.setattr(scheduler, "total_memory_gib", lambda: gib)

    assert scheduler.most_alive() == most


def test_each_worker_has_a_gpu_to_itself_and_the_next_one_gets_the_one_that_is_free(play, gpus):
    gpus += ["1", "3"]
    stage = Stage(fail=("c",))
    first, second = stage.hold("a", "ended"), stage.hold("b", "ended")

    with play(stage, "abcde", 3):
        # Both at once: neither waits for the other, and no third one is alive.
        stage.wait_for("a", "extracted")
        stage.wait_for("b", "extracted")
        assert stage.gpus.keys() == {"a", "b"}
        second.set()
        # They take over from `b`, also after `c`, which fails.
        for name in "cde":
            stage.wait_for(name, "ended")
        first.set()

    assert sorted([stage.gpus["a"], stage.gpus["b"]]) == [["1"], ["3"]]
    assert stage.gpus["c"] == stage.gpus["d"] == stage.gpus["e"] == stage.gpus["b"]
    assert [name for name, moment in stage.log if moment == "started" and name not in "ab"] == list("cde")


@pytest.mark.parametrize("names", [[], ["0"]])
def test_with_one_gpu_or_none_workers_share_what_there_is(play, gpus, names):
    gpus += names
    stage = Stage()

    with play(stage, "abc", 3):
        pass

    assert stage.gpus == {"a": [], "b": [], "c": []}
    assert stage.most("extracting", "extracted", "ended") == 1


FINETUNE, SOFTMAX = ("finetune", {"trainable": "all"}), ("softmax", {})
SUPCON, ON_FEATURES = ("supcon", {"trainable": "all"}), ("supcon", {"trainable": "adapter"})


@pytest.mark.parametrize(
    ("jobs", "lent"),
    [
        ([(SOFTMAX, FINETUNE)], [["0", "1", "2"]]),
        ([(SOFTMAX,)], [["0"]]),
        # Its loss compares the images of a batch.
        ([(SUPCON,)], [["0"]]),
        ([(ON_FEATURES,)], [["0"]]),
        ([(FINETUNE,), (FINETUNE,)], [["0"], ["1"]]),
    ],
)
def test_a_single_fine_tuning_has_all_gpus(gpus, jobs, lent):
    gpus += ["0", "1", "2"]
    jobs = [make_job(name, *methods) for name, methods in zip("ab", jobs, strict=False)]
    pool, found = scheduler.Gpus(jobs), []
    with ExitStack() as stack:
        for job in jobs:
            found.append(stack.enter_context(pool.lend(job)).gpus)

    assert found == lent
    assert not any(job.gpus for job in jobs)


@pytest.mark.parametrize(("gib", "count", "most"), [(8, 8, 2), (16, 8, 4), (512, 8, 8), (512, 2, 2)])
def test_as_many_workers_as_gpus_if_there_is_memory(monkeypatch, gpus, gib, count, most):
    gpus += map(str, range(count))
    monkeypatch.setattr(scheduler, "total_memory_gib", lambda: gib)

    assert scheduler.Gpus([make_job("a"), make_job("b")]).most_alive == most


def test_a_worker_sees_the_gpus_that_it_has_and_the_users_choice_else(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")

    assert worker_environment()["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert worker_environment(["3"])["CUDA_VISIBLE_DEVICES"] == "3"
    assert worker_environment(["1", "3"])["CUDA_VISIBLE_DEVICES"] == "1,3"


def test_events_come_with_their_job(monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(scheduler, "run_job", Stage().run_job)

    scheduler.run_jobs([make_job(name) for name in "ab"], tmp_path, lambda job, event: heard.append(job.backbone))

    assert sorted(heard) == ["a", "b"]


def test_a_fault_ends_all_workers_and_starts_no_other(monkeypatch, tmp_path):
    ended, started, told = [], [], threading.Event()

    class Workers(scheduler.Workers):
        def end(self):
            ended.append(list(started))
            told.set()

    def run_job(job, results, on_event, wait_for_turn, workers):
        started.append(job.backbone)
        if job.backbone == "a":
            raise RuntimeError("a fault")
        # Its process would be killed now.
        assert told.wait(SECONDS)
        return {}

    monkeypatch.setattr(scheduler, "most_alive", lambda: 2)
    monkeypatch.setattr(scheduler, "Workers", Workers)
    monkeypatch.setattr(scheduler, "run_job", run_job)

    with pytest.raises(RuntimeError, match="a fault"):
        scheduler.run_jobs([make_job(name) for name in "abcdef"], tmp_path, lambda job, event: None)
    assert len(ended) == 1 and set(started) <= {"a", "b", "c"}
    assert not (tmp_path / "unfinished" / "data.json").exists()


def test_no_jobs_are_done_at_once(tmp_path):
    assert scheduler.run_jobs([], tmp_path, lambda job, event: None) == {}
    assert not list(tmp_path.iterdir())
