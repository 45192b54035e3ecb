"""Jobs one behind the other: one sees images at a time, two or three are alive, failures reach the caller."""

import threading
import time

import pytest

from steelbench.runs import scheduler
from steelbench.runs.jobs import Event, Job


def make_job(name):
    return Job(
        results="r", cache="c", data_root="d", bit_depth=None, backbone=name, image_size=32, origin={"kind": "random"},
        engine="auto", precision="float32", verify="sample", track=False, classes=["a", "b"], images=[], splits=[],
        tasks=[],
    )  # fmt: skip


class Log:
    """Who is alive, and who sees images, at every moment."""

    def __init__(self):
        self.lock, self.alive, self.seeing = threading.Lock(), set(), set()
        self.most_alive = self.most_seeing = 0
        self.order = []

    def change(self, group, name, entering):
        with self.lock:
            (group.add if entering else group.discard)(name)
            self.most_alive = max(self.most_alive, len(self.alive))
            self.most_seeing = max(self.most_seeing, len(self.seeing))


def fake_run_job(log, fail=(), cached=()):
    def run_job(job, results, on_event, wait_for_turn, workers):
        name = job.backbone
        log.change(log.alive, name, True)
        time.sleep(0.01)
        try:
            if name in fail:
                return {f"{name}-softmax-s0-f0": "it broke"}
            if name not in cached:
                wait_for_turn()
                log.order.append(name)
                log.change(log.seeing, name, True)
                time.sleep(0.02)
                log.change(log.seeing, name, False)
            on_event(Event(kind="extracted"))
            time.sleep(0.03)
            return {}
        finally:
            log.change(log.alive, name, False)

    return run_job


@pytest.mark.parametrize("fail", [(), ("b",), ("a", "b"), ("e",)])
@pytest.mark.parametrize("cached", [(), ("c",), ("a", "d")])
@pytest.mark.parametrize("most", [2, 3])
def test_one_sees_images_and_few_are_alive(monkeypatch, tmp_path, fail, cached, most):
    log = Log()
    monkeypatch.setattr(scheduler, "most_alive", lambda: most)
    monkeypatch.setattr(scheduler, "run_job", fake_run_job(log, fail, cached))

    failures = scheduler.run_jobs([make_job(name) for name in "abcde"], tmp_path, lambda job, event: None)

    assert log.order == [name for name in "abcde" if name not in fail and name not in cached]
    assert log.most_seeing <= 1
    assert log.most_alive <= most
    assert failures == {f"{name}-softmax-s0-f0": "it broke" for name in fail}


@pytest.mark.parametrize("most", [2, 3])
def test_others_get_ready_or_finish_while_one_computes(monkeypatch, tmp_path, most):
    log = Log()
    monkeypatch.setattr(scheduler, "run_job", fake_run_job(log))
    monkeypatch.setattr(scheduler, "most_alive", lambda: most)

    scheduler.run_jobs([make_job(name) for name in "abcd"], tmp_path, lambda job, event: None)

    assert log.most_alive == most


@pytest.mark.parametrize(("gib", "most"), [(4, 2), (11.9, 2), (12.1, 3), (64, 3)])
def test_a_small_machine_has_two_workers_at_a_time(monkeypatch, gib, most):
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": int(gib * 2**30 / 4096)}
    monkeypatch.setattr(scheduler.os, "sysconf", sizes.__getitem__)

    assert scheduler.most_alive() == most


def test_events_come_with_their_job(monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(scheduler, "run_job", fake_run_job(Log()))

    scheduler.run_jobs([make_job(name) for name in "ab"], tmp_path, lambda job, event: heard.append(job.backbone))

    assert heard == ["a", "b"]


def test_a_fault_ends_all_workers(monkeypatch, tmp_path):
    ended = []

    def run_job(job, results, on_event, wait_for_turn, workers):
        monkeypatch.setattr(workers, "end", lambda: ended.append(job.backbone))
        raise RuntimeError("a fault")

    monkeypatch.setattr(scheduler, "run_job", run_job)

    with pytest.raises(RuntimeError, match="a fault"):
        scheduler.run_jobs([make_job("a")], tmp_path, lambda job, event: None)
    assert ended == ["a"]


def test_no_jobs_are_done_at_once(tmp_path):
    assert scheduler.run_jobs([], tmp_path, lambda job, event: None) == {}
