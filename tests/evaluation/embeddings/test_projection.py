"""The projection places classes, and refuses embeddings on which scikit-learn's t-SNE ends the process."""

import subprocess
import sys

import numpy as np
import pytest

from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.projection import project


def clusters(n=60, spread=0.02, seed=0):
    labels = np.arange(n) % 3
    noise = np.random.default_rng(seed).standard_normal((n, 8))
    return Embedded((np.eye(3, 8)[labels] + spread * noise).astype(np.float32), labels, np.arange(n))


def alone(vectors):
    """Images of one class."""
    vectors = np.asarray(vectors, np.float32)
    return Embedded(vectors, np.zeros(len(vectors), np.int64), np.arange(len(vectors)))


def test_classes_that_lie_apart_lie_apart_on_the_map():
    images = clusters()
    found = project(images)
    labels = images.labels[found.rows]
    centres = np.stack([found.points[labels == label].mean(axis=0) for label in range(3)])
    within = max(np.linalg.norm(found.points[labels == label] - centres[label], axis=1).mean() for label in range(3))
    between = min(np.linalg.norm(centres[a] - centres[b]) for a in range(3) for b in range(a))

    assert between > 2 * within


def test_the_points_are_those_of_the_same_seed_and_do_not_depend_on_the_length_of_a_vector():
    images = clusters()
    found = project(images)

    assert found.points.dtype == np.float32 and found.points.shape == (60, 2)
    assert np.array_equal(found.rows, np.arange(60))
    assert np.array_equal(found.points, project(images).points)
    # A power of two changes no digit of the unit vectors.
    assert np.array_equal(found.points, project(Embedded(4 * images.vectors, images.labels, images.groups)).points)


def test_of_more_images_than_wanted_some_are_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr("steelbench.evaluation.embeddings.projection.MOST_POINTS", 20)
    first, again, other = (project(clusters(), seed).rows for seed in (0, 0, 1))

    assert len(first) == 20 and np.array_equal(first, np.sort(first)) and first.max() < 60
    assert np.array_equal(first, again) and not np.array_equal(first, other)


# On some of these t-SNE ends the process, so another process projects them.
CONSTANT = {
    "zeros": "np.zeros((30, 128))",
    "ones": "np.ones((30, 128))",
    "1e38": "np.full((30, 128), 1e38)",
    "one direction": "np.outer(np.linspace(1, 9, 30), np.arange(1, 129))",
}


def test_constant_embeddings_have_no_map_and_do_not_end_the_process():
    code = f"""
import numpy as np
from steelbench.evaluation.embeddings.embedded import Embedded
from steelbench.evaluation.embeddings.projection import project
for vectors in ({", ".join(CONSTANT.values())}):
    print(project(Embedded(np.float32(vectors), np.arange(30) % 3, np.arange(30))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["None"] * len(CONSTANT)


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((0, 8)),
        np.eye(1, 8),
        np.eye(2, 8),
        np.arange(30)[:, None],
        np.full((30, 8), np.nan),
        np.where(np.eye(30, 8), np.inf, 1),
    ],
    ids=["no image", "one image", "two images", "one dimension", "nan", "infinity"],
)
def test_too_few_or_broken_embeddings_have_no_map(vectors):
    assert project(alone(vectors)) is None


@pytest.mark.parametrize(
    "vectors",
    [np.eye(3, 8), np.vstack([np.tile(np.eye(1, 8), (29, 1)), -np.eye(1, 8)])],
    ids=["three images", "one that differs"],
)
def test_the_smallest_difference_in_direction_is_enough(vectors):
    points = project(alone(vectors)).points

    assert points.shape == (len(vectors), 2) and np.isfinite(points).all()
