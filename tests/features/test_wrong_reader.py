"""A reader that gives pixels in 0..1 where 0..255 are expected: the run must say that something is wrong."""

import numpy as np
import pytest

from steelbench.cli.exit import main
from steelbench.data import images
from steelbench.records import Summary, read_record
from steelbench.runs import job_execution, scheduler

pytestmark = pytest.mark.slow

NAME = "mobilenet_v2_035"


@pytest.fixture
def in_this_process(monkeypatch):
    """Jobs run here, where a test can put a wrong reader in."""

    def run_job(job, results, on_event, wait_for_turn, workers):
        failures, keys = {}, {task.key.run_name: task.key for task in job.tasks}

        def hear(event):
            if event.kind == "failed":
                failures[keys[event.run]] = event.text
            on_event(event)

        job_execution.Worker(job, hear, lambda: None).run()
        return failures

    monkeypatch.setattr(scheduler, "run_job", run_job)


def run(data, results, weights):
    options = ["--backbones", NAME, "--weights", "imagenet", "--weights-dir", str(weights), "--methods", "linear"]
    code = main(["run", "--data", str(data), "--results", str(results), "--image-size", "96", *options])
    return code, read_record(results / "results.json", Summary)


def blind(summary):
    return [notice for notice in summary.warnings if "hardly change from image to image" in notice.text]


@pytest.mark.parametrize("wrong", [False, True])
def test_pixels_in_0_to_1_are_noticed(tiny_images, tmp_path, in_this_process, weights_folder, monkeypatch, wrong):
    # What one reader saw must not be found in the other's cache.
    monkeypatch.setenv("STEELBENCH_CACHE", str(tmp_path / "cache"))
    if wrong:
        from steelbench.features import extraction

        def scaled(read):
            return lambda *given: (read(*given) / 255).astype(np.float32)

        for module in (extraction, images):
            monkeypatch.setattr(module, "read_image", scaled(module.read_image))

    _, summary = run(tiny_images(images=20, classes=3), tmp_path / "results", weights_folder)

    assert [(notice.level, notice.row) for notice in blind(summary)] == [("serious", f"{NAME}-linear")] * wrong
