"""Training on several devices: how batches are divided, and that two devices learn what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from steelbench.training.loop.replicas import shares

TESTS = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("replicas", [2, 3, 8])
@pytest.mark.parametrize("count", [1, 2, 5, 8, 31, 32])
def test_the_mean_of_the_shares_means_is_the_mean_of_the_batch(count, replicas):
    losses = np.random.default_rng(count).exponential(size=count)

    rows, weights = shares(count, replicas)

    assert rows.shape == weights.shape and len(rows) == replicas
    assert np.mean([np.mean(losses[own] * weight) for own, weight in zip(rows, weights, strict=True)]) == pytest.approx(
        losses.mean(), rel=1e-6
    )
    # Each sample counts once, in its order; one that fills up counts for nothing.
    assert rows[weights > 0].tolist() == list(range(count))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `two_devices.py` prints, in a process of its own."""
    places = [str(TESTS), str(TESTS.parent)]
    done = subprocess.run(
        [sys.executable, TESTS / "training" / "two_devices.py", tmp_path_factory.mktemp("state")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
# BatchNorm that learns takes its statistics over both shares; augmented images are those that one device sees.
@pytest.mark.parametrize("case", ["frozen", "learning"])
def test_two_devices_learn_what_one_does(found, case):
    compared = found[case]

    assert compared["moved"] > 5e-3 and compared["learned"]
    assert compared["probabilities"] < 1e-6 and compared["weights"] < 1e-5
    one, two = (np.array(history) for history in compared["histories"])
    epoch, validation = one[:, [0, 5]], one[:, [3, 4]]
    np.testing.assert_allclose(two[:, [0, 5]], epoch)
    np.testing.assert_allclose(two[:, [3, 4]], validation, rtol=1e-5)
    # On training images it counts the one that fills a share up.
    np.testing.assert_allclose(two[:, [1, 2]], one[:, [1, 2]], rtol=0.05)


@pytest.mark.slow
def test_the_trained_encoder_has_no_trace_of_the_devices_and_the_record_has_their_number(found):
    for case in ("frozen", "learning"):
        one, two = found[case]["trainable"]
        assert found[case]["plain"] and one == two
        assert found[case]["notes"] == [{}, {"replicas": 2}]


@pytest.mark.slow
def test_a_killed_training_goes_on_with_as_many_devices_and_no_other_number(found):
    assert found["continued"] and found["digests differ"]
