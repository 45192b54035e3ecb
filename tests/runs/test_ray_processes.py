"""Processes of a local Ray: those that tasks name wait for them, with the network that they have."""

import os
import time
from dataclasses import replace

import pytest

from steelbench.ray_session import connected
from steelbench.runs.ray_runner import driver
from steelbench.runs.ray_runner.cluster import Needs, Tasks

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def test_a_local_ray_keeps_a_process_for_the_tasks_that_name_it():
    """Also while another computes, when Ray would end it after a second."""

    def work(seconds):
        time.sleep(seconds)
        return os.getpid()

    pids = {"0": [], "1": []}
    with connected(None, {}, lambda _: None, driver.SETTINGS):
        found = Tasks(replace(Needs.of(ray.nodes()), ahead=True))
        for name, seconds in (("0", 0), ("1", 5), ("0", 0), ("1", 0)):
            found.start(work, pids[name].append, seconds, share="shard", processes=name)
            while found.waiting:
                found.hear_next(60)

    assert all(len(own) == 2 and own[0] == own[1] for own in pids.values())
    assert pids["0"] != pids["1"]
