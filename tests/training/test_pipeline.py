"""Jobs one behind the other: one sees images at a time, at most two are alive, failures and faults reach the caller."""

import threading
import time

import pytest

from steelbench.training import pipeline
from steelbench.training.job import Event, Job


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
def test_one_sees_images_and_two_are_alive(monkeypatch, tmp_path, fail, cached):
    log = Log()
    monkeypatch.setattr(pipeline, "run_job", fake_run_job(log, fail, cached))

    failures = pipeline.run_jobs([make_job(name) for name in "abcde"], tmp_path, lambda job, event: None)

    assert log.order == [name for name in "abcde" if name not in fail and name not in cached]
    assert log.most_seeing <= 1
    assert log.most_alive <= 2
    assert failures == {f"{name}-softmax-s0-f0": "it broke" for name in fail}


def test_the_next_gets_ready_while_one_computes(monkeypatch, tmp_path):
    log = Log()
    monkeypatch.setattr(pipeline, "run_job", fake_run_job(log))

    pipeline.run_jobs([make_job(name) for name in "abc"], tmp_path, lambda job, event: None)

    assert log.most_alive == 2


def test_events_come_with_their_job(monkeypatch, tmp_path):
    heard = []
    monkeypatch.setattr(pipeline, "run_job", fake_run_job(Log()))

    pipeline.run_jobs([make_job(name) for name in "ab"], tmp_path, lambda job, event: heard.append(job.backbone))

    assert heard == ["a", "b"]


def test_a_fault_ends_all_workers(monkeypatch, tmp_path):
    ended = []

    def run_job(job, results, on_event, wait_for_turn, workers):
        monkeypatch.setattr(workers, "end", lambda: ended.append(job.backbone))
        raise RuntimeError("a fault")

    monkeypatch.setattr(pipeline, "run_job", run_job)

    with pytest.raises(RuntimeError, match="a fault"):
        pipeline.run_jobs([make_job("a")], tmp_path, lambda job, event: None)
    assert ended == ["a"]


def test_no_jobs_are_done_at_once(tmp_path):
    assert pipeline.run_jobs([], tmp_path, lambda job, event: None) == {}
