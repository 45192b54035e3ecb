"""The file beside a saved model that says what its images are compared with; it may come from anyone."""

import hashlib
import re

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.evaluation.unknown import Mahalanobis, Neighbours
from steelbench.models import unfamiliar_file as module
from steelbench.models.unfamiliar_file import dimension, fits, read_reference, unfamiliar_file, write_reference


def vectors(count=20, size=5):
    return np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)


def neighbours():
    return Neighbours.fit(vectors(), 3)


def mahalanobis():
    return Mahalanobis.fit(vectors(), np.arange(20) % 2)


@pytest.fixture
def path(tmp_path):
    return unfamiliar_file(tmp_path / "a-softmax-lr0.1.h5")


def test_the_file_is_called_like_its_model(path):
    assert path.name == "a-softmax-lr0.1.unfamiliar.npz"


@pytest.mark.parametrize("make", [neighbours, mahalanobis])
def test_what_is_read_scores_as_what_was_written(path, make):
    reference = make()
    digest = write_reference(path, reference)

    found = read_reference(path, digest, 3 if make is neighbours else None)

    assert dimension(found) == dimension(reference) == 5
    np.testing.assert_array_equal(found(vectors(7)), reference(vectors(7)))


def write(path, **arrays):
    np.savez(path, **arrays)
    return hashlib.sha256(path.read_bytes()).hexdigest()


SQUARE = np.eye(5, dtype=np.float32)


@pytest.mark.parametrize(
    ("arrays", "k", "words"),
    [
        ({"reference": SQUARE.astype(np.float64)}, 1, "float64"),
        ({"reference": np.array([[None]])}, 1, "holds object"),
        ({"reference": SQUARE[0]}, 1, "no matrix"),
        ({"reference": SQUARE[:0]}, 1, "no matrix"),
        ({"reference": SQUARE * np.float32(np.nan)}, 1, "no matrix"),
        ({"reference": SQUARE}, 6, "5 images"),
        ({"means": SQUARE}, None, "whitening"),
        ({"whitening": SQUARE, "means": SQUARE[:, :4]}, None, "do not fit"),
        ({"whitening": SQUARE[:4], "means": SQUARE}, None, "do not fit"),
    ],
)
def test_other_arrays_are_refused(path, arrays, k, words):
    digest = write(path, **arrays)

    with pytest.raises(SteelbenchError, match=words):
        read_reference(path, digest, k)


def test_a_missing_replaced_cut_or_large_file_is_refused(path, monkeypatch):
    with pytest.raises(SteelbenchError, match=re.escape(str(path))):
        read_reference(path, "", 3)
    digest = write_reference(path, neighbours())
    with pytest.raises(SteelbenchError, match="sha256"):
        read_reference(path, "0" * 64, 3)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SteelbenchError):
        read_reference(path, hashlib.sha256(path.read_bytes()).hexdigest(), 3)
    digest = write_reference(path, neighbours())
    monkeypatch.setattr(module, "MAX_BYTES", -65_000)
    with pytest.raises(SteelbenchError, match="more than"):
        read_reference(path, digest, 3)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(path):
    np.savez_compressed(path, reference=np.zeros((4000, 4000), np.float32))

    assert path.stat().st_size < 1_000_000
    with pytest.raises(SteelbenchError, match="its arrays have 64000128 bytes, expected at most"):
        read_reference(path, hashlib.sha256(path.read_bytes()).hexdigest(), 3)


def test_what_is_too_large_for_a_model_is_known_before_it_is_written():
    assert fits(mahalanobis())
    assert not fits(Neighbours(np.zeros((4000, 4000), np.float32), 10))
