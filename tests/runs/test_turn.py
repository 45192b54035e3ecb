"""Which worker waits for the processor: every one but that which computes on a GPU of its own."""

import pytest

from steelbench.features.spec import ImageRef, Part
from steelbench.runs import job_execution
from steelbench.runs.jobs import Job, RunData


@pytest.mark.parametrize(
    ("lent", "seen", "engine", "waits"),
    [
        ([], ("/device:GPU:0",), "auto", True),
        (["1"], ("/device:GPU:0",), "auto", False),
        (["1"], ("/device:GPU:0",), "keras", False),
        # OpenVINO computes on the processor, and so does TensorFlow where it cannot use the GPU.
        (["1"], ("/device:GPU:0",), "openvino", True),
        (["1"], (), "auto", True),
    ],
)
def test_a_worker_with_a_gpu_of_its_own_waits_for_no_other(monkeypatch, lent, seen, engine, waits):
    monkeypatch.setattr(job_execution, "seen_gpus", lambda: seen)
    data = RunData(root="d", bit_depth=None, classes=["a"], images=[ImageRef(path="0.png", digest="0")], splits=[])
    parts = [Part(backbone="vgg19", image_size=32, origin={"kind": "random"})]
    job = Job(
        results="r", cache="c", parts=parts, engine=engine, precision="float32", verify="sample", track=False, tasks=[],
        gpus=lent, data=data,
    )  # fmt: skip
    asked, events = [], []

    job_execution.Worker(job, events.append, lambda: asked.append(1))._take_turn()

    assert bool(asked) == waits == any(event.kind == "ready" for event in events)
