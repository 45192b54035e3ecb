"""What all tests share: a cache of their own, tiny data sets made on the spot, and where real data may lie."""

import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import small_networks as small_networks_module

from steelbench.runs import worker_process

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
TEXTURES = ("rows", "columns", "checks", "blank")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that at the end short ones fill both processes."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Tests, and the processes they start, never touch the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEELBENCH_CACHE", str(folder))
        # Timing starts a process that imports TensorFlow, at the end of every run.
        patch.setenv("STEELBENCH_TIMING", "off")
        yield folder


@pytest.fixture(scope="session", autouse=True)
def warm_workers(tmp_path_factory):
    """Workers of runs in this process are forked from one that has imported TensorFlow (`warm_workers.py`).

    Those of `python -m steelbench`, and of tests that put another program in the place of Python, start as usual; so do
    all where processes cannot be waited for by a file descriptor, such as on macOS.
    """
    if not hasattr(os, "pidfd_open"):
        yield
        return
    program, place = Path(__file__).with_name("warm_workers.py"), tmp_path_factory.mktemp("warm") / "socket"
    usual, servers = worker_process.start_process, []

    def start_process(module, request, errors, gpus=()):
        if sys.executable != PYTHON or module == "timing_worker":
            return usual(module, request, errors, gpus)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environment = worker_process.worker_environment(gpus)
        if not servers:
            # Where pyarrow is installed, pandas imports it, and its allocator would start a thread.
            alone = {**environment, "JE_ARROW_MALLOC_CONF": "background_thread:false"}
            servers.append(subprocess.Popen([PYTHON, "-P", program, place], **pipes, env=alone))
        while not place.exists():
            assert servers[0].poll() is None, "the process that forks workers has ended"
            time.sleep(0.02)
        command = [PYTHON, "-IS", program, place, module, request]
        return subprocess.Popen(command, **pipes, stderr=errors, env=environment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_process, "start_process", start_process)
        yield
    for server in servers:
        server.communicate()


@pytest.fixture(scope="module")
def small_networks(warm_workers):
    """The MobileNets have three blocks, in this process and in the workers that it starts (`small_networks.py`)."""
    if not hasattr(os, "pidfd_open"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(small_networks_module.VARIABLE, "1")
        for name, row in small_networks_module.rows().items():
            patch.setitem(small_networks_module.BACKBONES, name, row)
        yield


def _folder_or_skip(variable, usual):
    """What the variable names, else `../shared/<usual>` beside the repository; skips the test if it is not there."""
    place = Path(os.environ.get(variable) or ROOT.parent / "shared" / usual)
    if not place.is_dir():
        pytest.skip(f"{place} does not exist; {variable} names another folder")
    return place


@pytest.fixture(scope="session")
def data_folder():
    """The folder with NEU, X-SDD and Severstal; only for tests marked slow."""
    return _folder_or_skip("STEELBENCH_DATA", "data")


@pytest.fixture(scope="session")
def weights_folder():
    """The folder with files of pretrained weights; only for tests marked slow."""
    return _folder_or_skip("STEELBENCH_WEIGHTS_DIR", "weights")


def texture(name, rng, side=48):
    """A gray uint8 [side, side] image; the classes differ in structure, not in brightness."""
    y, x = np.mgrid[:side, :side] + rng.integers(0, 8, 2)[:, None, None]
    wave = {
        "blank": 0 * x,
        "checks": np.where((x // 4 + y // 4) % 2, 1, -1),
        "columns": np.where(x // 4 % 2, 1, -1),
        "rows": np.where(y // 4 % 2, 1, -1),
    }[name]
    gray = rng.uniform(110, 140) + rng.uniform(40, 60) * wave + rng.normal(0, 6, (side, side))
    return np.clip(np.rint(gray), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory):
    """A factory: `tiny_images(images=12, classes=3, seed=0, ...)` writes PNG class folders and returns their folder.

    Every call makes a folder of its own, `images` files of 32 to 64 pixels for each class; no two images are equal.
    `classes` is a number (up to 4) or names, which may be any, and take the textures in turn.
    """

    def make(images=12, classes=3, seed=0, suffix=".png"):
        names = TEXTURES[:classes] if isinstance(classes, int) else tuple(classes)
        assert 0 < len(names) <= len(TEXTURES), "there are four textures"
        root = tmp_path_factory.mktemp("tiny")
        rng = np.random.default_rng(seed)
        for name, kind in zip(names, TEXTURES, strict=False):
            (root / name).mkdir()
            for number in range(images):
                _, data = cv2.imencode(suffix, texture(kind, rng, int(rng.integers(32, 65))))
                (root / name / f"{number:03}{suffix}").write_bytes(data.tobytes())
        return root

    return make
