"""The forecast: from measured rates and what the cache holds, without starting anything where both are known."""

import numpy as np
import pytest

from steelbench.data.corruptions import CORRUPTIONS
from steelbench.errors import SteelbenchError
from steelbench.features.cache import FeatureStore
from steelbench.features.spec import ImageRef, Part
from steelbench.records import RunKey
from steelbench.runs import forecast as module
from steelbench.runs.forecast import forecast
from steelbench.runs.jobs import Job, RunData, SplitRef, Task, Unlabelled
from steelbench.runs.step_forecast import forecast_steps

NAME, DIM = "mobilenet_v2_035", 1280
WEIGHTS = {"kind": "imagenet", "md5": "abc", "digest": "whatever"}


def make_job(cache, images=10, tasks=2, kind="imagenet", image_size=32, **more):
    task = Task(key=RunKey(backbone=NAME, method="softmax"), settings={}, fingerprint="f", offered=True)
    every = list(range(images))
    data = RunData(
        root="d",
        bit_depth=None,
        classes=["a", "b"],
        images=[ImageRef(path=f"{i}.png", label=i % 2, digest=f"{i:064}") for i in every],
        splits=[SplitRef(seed=0, fold=0, train=every, validation=[], test=[])],
    )
    origin = {"kind": kind, "md5": "abc" if kind == "imagenet" else ""}
    fields = {
        "results": "r", "cache": str(cache), "engine": "keras", "precision": "float32", "verify": "sample",
        "track": False, "parts": [Part(backbone=NAME, image_size=image_size, origin=origin)], "tasks": [task] * tasks,
        "data": data,
    }  # fmt: skip
    return Job(**{**fields, **more})


def fill(cache, digests, weights, rate=20.0, name=NAME, **more):
    space = FeatureStore(
        cache, name, DIM,
        {"weights": weights, "image_size": 32, "bit_depth": None, "engine": "keras", "precision": "float32", **more},
    )  # fmt: skip
    with space.locked(), space.writer() as write:
        write(digests, np.zeros((len(digests), DIM), np.float32))
    space.write_measurements({"images_per_second": rate, "load_seconds": 7.0, "memory_gib": 1.5})


@pytest.fixture(autouse=True)
def nothing_is_started(monkeypatch):
    def refuse(jobs, results, on_event):
        assert not jobs, "a worker was started"

    monkeypatch.setattr(module, "run_jobs", refuse)


def ask(job, tmp_path):
    return forecast([job], tmp_path, lambda job, event: None)[0]


def test_missing_images_cost_their_time(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(4)], WEIGHTS, rate=20.0)
    few, many = (ask(make_job(tmp_path, images=count), tmp_path) for count in (10, 2010))

    assert (few.images, few.missing, few.rate) == (10, 6, 20.0)
    assert many.missing == 2006
    # 2000 images more at 20 per second, and up to 32 instead of 10 for the saved models at half that rate.
    assert many.seconds - few.seconds == pytest.approx(2000 / 20 + 2 * (32 - 10) / 20 * 2)
    assert few.memory_gib > 1.5


def test_a_full_cache_of_other_weights_does_not_count(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(10)], {**WEIGHTS, "md5": "other"})

    assert ask(make_job(tmp_path), tmp_path).missing == 10


def test_features_of_augmented_views_do_not_count(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(4)], WEIGHTS)
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS, view=0, augment="light")

    assert ask(make_job(tmp_path), tmp_path).missing == 6


@pytest.mark.parametrize("other", [{"precision": "bfloat16"}, {"image_size": 64}, {"engine": "openvino"}])
def test_another_way_of_computing_does_not_count(tmp_path, other):
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS)
    fill(tmp_path, [f"{i:064}" for i in range(10)], {**WEIGHTS, "md5": "other"}, **other)

    job = make_job(tmp_path, **other)
    assert ask(job, tmp_path).missing == 10


def test_fresh_weights_count_only_with_their_calibration(tmp_path):
    job = make_job(tmp_path, kind="random")
    digests = [image.digest for image in job.data.images]
    fill(tmp_path, digests, {"kind": "random", "calibration": "of other images"})
    assert ask(job, tmp_path).missing == 10

    fill(tmp_path, digests, {"kind": "random", "calibration": job.data.calibration_digest})
    assert ask(job, tmp_path).missing == 0


def test_a_backbone_that_was_never_measured_is_measured(tmp_path, monkeypatch):
    started = []

    def run_jobs(jobs, results, on_event):
        started.extend(jobs)
        fill(tmp_path, ["0" * 64], WEIGHTS)

    monkeypatch.setattr(module, "run_jobs", run_jobs)

    found = ask(make_job(tmp_path), tmp_path)

    assert [(job.limit, job.tasks) for job in started] == [(module.PROBE_IMAGES, [])]
    assert found.missing == 9


def test_a_backbone_that_cannot_be_measured_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "run_jobs", lambda jobs, results, on_event: {})

    with pytest.raises(SteelbenchError, match="could not be measured"):
        ask(make_job(tmp_path), tmp_path)


def ensemble(job):
    other = job.parts[0].model_copy(update={"backbone": "mobilenet_v2"})
    return job.model_copy(update={"parts": [*job.parts, other]})


def test_an_ensemble_costs_what_its_parts_do(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(4)], WEIGHTS, rate=20.0)
    fill(tmp_path, [f"{i:064}" for i in range(1)], WEIGHTS, rate=5.0, name="mobilenet_v2")
    job = make_job(tmp_path, images=10, tasks=0)

    both = ask(ensemble(job), tmp_path)

    assert (both.images, both.missing) == (10, 9)
    assert both.rate == pytest.approx(1 / (1 / 20 + 1 / 5))
    assert both.seconds == pytest.approx(7 + 6 / 20 + 7 + 9 / 5)
    assert both.memory_gib > 3


def test_what_an_earlier_job_sees_costs_a_later_ensemble_nothing(tmp_path):
    fill(tmp_path, ["0" * 64], WEIGHTS, rate=20.0)
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS, rate=5.0, name="mobilenet_v2")
    job = make_job(tmp_path, images=10, tasks=0)

    alone, both = forecast([job, ensemble(job)], tmp_path, lambda job, event: None)

    assert (alone.missing, both.missing) == (9, 0)
    assert both.seconds == pytest.approx(7 + 7)


def test_a_network_of_several_jobs_is_measured_once(tmp_path, monkeypatch):
    started = []

    def run_jobs(jobs, results, on_event):
        for job in jobs:
            started.append(job.backbone)
            fill(tmp_path, ["0" * 64], WEIGHTS, name=job.backbone)

    monkeypatch.setattr(module, "run_jobs", run_jobs)
    job = make_job(tmp_path)

    forecast([job, ensemble(job)], tmp_path, lambda job, event: None)

    assert started == [NAME, "mobilenet_v2"]


def test_images_without_labels_are_to_be_seen_and_heads_are_trained_twice(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS, rate=20.0)
    job = make_job(tmp_path, tasks=1)
    images = [ImageRef(path=f"/u/{i}.png", label=-1, digest=f"{i:064}") for i in range(8, 13)]
    unlabelled = Unlabelled(images=images, ties=[0] * 10, confidence=0.9)
    more = job.model_copy(update={"data": job.data.model_copy(update={"unlabelled": unlabelled})})

    without, found = ask(job, tmp_path), ask(more, tmp_path)

    assert (found.images, found.missing) == (15, 3)
    assert found.seconds - without.seconds == pytest.approx(3 / 20 + module.HEAD_SECONDS)


def steps(jobs, tmp_path, timing="own", robust=()):
    found = forecast(jobs, tmp_path, lambda job, event: None)
    return forecast_steps(jobs, found, tmp_path, jobs[0].data, timing, robust)


def test_what_follows_the_runs_costs_its_time(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS, rate=20.0)
    job = make_job(tmp_path)
    test = [SplitRef(seed=0, fold=0, train=[0], validation=[], test=list(range(1, 9)))]
    job = job.model_copy(update={"data": job.data.model_copy(update={"splits": test})})

    assert steps([job], tmp_path, "off") == {}
    timed = steps([job], tmp_path)
    assert list(timed) == ["timing"] and timed["timing"] == pytest.approx(8 + 8 + 2 * 1)
    # Each class is left out once, a head for each.
    asked = steps([job.model_copy(update={"unknown": job.tasks[:1]})], tmp_path, "off")
    assert asked == {"unknown defects": 2 * module.HEAD_SECONDS}
    # 8 test images, each clean and under every corruption at five strengths.
    measured = steps([job], tmp_path, "off", [f"{NAME}-softmax"])
    assert measured["robustness"] == pytest.approx(8 + 8 * (5 * len(CORRUPTIONS) + 1) * (1 / 20 + 0.01))


def test_untrained_networks_and_rows_that_were_not_asked_for_are_not_measured(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(10)], {"kind": "random", "calibration": ""}, rate=20.0)

    assert steps([make_job(tmp_path, kind="random")], tmp_path, "off", [f"{NAME}-softmax"]) == {}
    assert steps([make_job(tmp_path)], tmp_path, "off", ["other"]) == {}


def test_a_job_that_only_tests_with_unknown_defects_is_forecast(tmp_path):
    fill(tmp_path, [f"{i:064}" for i in range(10)], WEIGHTS)
    job = make_job(tmp_path)

    only = job.model_copy(update={"unknown": job.tasks, "tasks": [], "homogenize": "global"})

    assert ask(only, tmp_path).tasks == 0 and steps([only], tmp_path, "off")["unknown defects"] > 0
