"""Extraction that is killed at random moments leaves no wrong feature behind, and what it left is used."""

import hashlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steelbench.features.cache import FeatureStore

pytestmark = pytest.mark.slow

DIM, IMAGES, KILLS = 64, 400, 15
# A network that needs no TensorFlow: the features are the pixels. Each batch waits for a byte, until input is closed.
CODE = f"""
import hashlib, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from steelbench.features import cache
from steelbench.features.extraction import extract
from steelbench.features.spec import ImageRef

cache.SHARD_SECONDS = 0
encoder = SimpleNamespace(get_layer=lambda name: SimpleNamespace(height=16))

def compute(batches):
    for batch in batches:
        sys.stdin.buffer.read(1)
        print("batch", flush=True)
        yield np.stack([np.resize(image.ravel(), {DIM}) for image in batch])

files = sorted(Path(sys.argv[1]).iterdir())
images = [ImageRef(path=str(file), digest=hashlib.sha256(file.read_bytes()).hexdigest()) for file in files]
store = cache.FeatureStore(Path(sys.argv[2]), "tiny", {DIM}, {{}})
print("ready", flush=True)
print(extract(images, store, root=Path(), encoder=encoder, compute=compute, batch=4))
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    import cv2

    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        cv2.imwrite(str(folder / f"{number:04}.png"), rng.integers(0, 256, (20, 20, 3), dtype=np.uint8))
    return folder


def start(pictures, cache):
    command = [sys.executable, "-c", CODE, str(pictures), str(cache)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def computed(process):
    """Let it go on to its end; the number of images that it computed."""
    process.stdin.close()
    return int(process.stdout.read().split()[-1])


def kill_in_batch(process, number):
    """Kill it while it stores the features of one of its batches; 0: while it opens the store."""
    process.stdin.write("." * number)
    process.stdin.flush()
    for _ in range(number):
        if process.stdout.readline() != "batch\n":
            break
    process.send_signal(signal.SIGKILL)


def features(pictures, cache):
    space = FeatureStore(Path(cache), "tiny", DIM, {})
    space.read()
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(pictures.iterdir())]
    return {digest: space.gather([digest])[0] for digest in digests if digest in space}


def test_killed_at_random_moments_it_never_leaves_a_wrong_feature(pictures, tmp_path):
    clean, killed = tmp_path / "clean", tmp_path / "killed"
    with start(pictures, clean) as process:
        assert computed(process) == IMAGES
    expected = features(pictures, clean)
    assert len(expected) == IMAGES

    moments = random.Random(0)
    grown = [0]
    for _ in range(KILLS):
        with start(pictures, killed) as process:
            kill_in_batch(process, moments.randrange(6))
        found = features(pictures, killed)
        assert all(np.array_equal(value, expected[digest]) for digest, value in found.items())
        grown.append(len(found))

    assert grown == sorted(grown), "something that was there is gone"
    assert grown[-1] > 0
    with start(pictures, killed) as process:
        assert computed(process) == IMAGES - grown[-1]
    after = features(pictures, killed)
    assert after.keys() == expected.keys()
    assert all(np.array_equal(value, expected[digest]) for digest, value in after.items())


def test_two_at_once_compute_each_image_once(pictures, tmp_path):
    with start(pictures, tmp_path) as one, start(pictures, tmp_path) as two:
        # One of them holds the store, the other waits for it.
        one.stdin.close(), two.stdin.close()
        counts = [computed(process) for process in (one, two)]

    assert sum(counts) == IMAGES
    assert len(features(pictures, tmp_path)) == IMAGES
